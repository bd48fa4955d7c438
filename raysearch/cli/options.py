"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from raysearch.config.option import Section, StudyOption, options_of
from raysearch.config.study import Study
from raysearch.scores import main_scores

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path)
OR = " or "


def group(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator out of several options, in the order they are listed in the help."""

    def decorate(f: F) -> F:
        for option in reversed(options):
            f = option(f)
        return f

    return decorate


def click_option(option: StudyOption) -> Callable[[F], F]:
    """Return the click option of a study's field; a text that has a reader stays a text."""
    if option.plain is bool:
        return click.option(option.flag, option.name, is_flag=True, help=option.option.help)
    return click.option(
        option.flag,
        option.name,
        type=option.plain if option.parse is None else str,
        metavar=option.option.metavar,
        help=option.option.help,
    )


def from_study(*sections: Section, model: type[BaseModel] = Study) -> Callable[[Any], Any]:
    """Return one decorator with the options of a study's model, of all sections or of some."""
    return group(*map(click_option, options_of(model, *sections)))


def one_of_study(name: str) -> Callable[[Any], Any]:
    """Return the click option of that name, for a verb that takes it alone."""
    return next(click_option(o) for o in options_of(Study) if o.name == name)


folders: Callable[[Any], Any] = group(
    click.option(
        "--data-dir",
        type=FOLDER,
        envvar="RAYSEARCH_DATA_DIR",
        metavar="DIR",
        help="Folder of data sets as DIR/TASK/{train,validation,test}.parquet; or the hub.",
    ),
    click.option(
        "--models-dir",
        type=FOLDER,
        envvar="RAYSEARCH_MODELS_DIR",
        metavar="DIR",
        help="Folder of checkpoints (config.json, model.safetensors, tokenizer.json); or the hub.",
    ),
)

data_dir: Callable[[Any], Any] = click.option(
    "--data-dir",
    type=FOLDER,
    envvar="RAYSEARCH_DATA_DIR",
    metavar="DIR",
    help="Folder of data sets, where they no longer lie where the run found them.",
)

data: Callable[[Any], Any] = group(
    click.option(
        "--task",
        metavar="NAME|FILE|hf:ID",
        help="A task of the catalog, a .csv, .tsv, .jsonl or .parquet file, a hub id.  [toy]",
    ),
    click.option("--text", metavar="COLUMN", help="Own data: column of the text."),
    click.option("--label", metavar="COLUMN", help="Own data: column of the label."),
    click.option("--group", metavar="COLUMN", help="Own data: equal values stay on one side."),
    click.option("--unlabelled", type=FOLDER, metavar="FILE", help="Own data: more texts."),
    click.option("--score", metavar="NAME", help=f"Own data: {OR.join(main_scores())}."),
    click.option(
        "--template",
        multiple=True,
        metavar="TEXT",
        help="Own data, for prompting: as '{text} It was {mask}.'; may be given several times.",
    ),
    click.option(
        "--words", metavar="L=W,W;L=W", help="Own data, for prompting: words for each label."
    ),
    from_study("data"),
)

prices: Callable[[Any], Any] = from_study("prices")

share: Callable[[Any], Any] = from_study("sharing")

gpus: Callable[[Any], Any] = click.option(
    "--gpus-per-trial",
    metavar="X",
    help="GPUs of a trial that gains from one, as 0.5 or 1; 0: none.  [by its predicted need]",
)

address: Callable[[Any], Any] = click.option(
    "--address", metavar="ADDR", help="A running Ray cluster: auto on one of its nodes."
)

storage: Callable[[Any], Any] = click.option(
    "--storage",
    envvar="RAYSEARCH_STORAGE",
    metavar="DIR|URI",
    help="What all nodes see: a folder, s3://BUCKET/PATH, gs://BUCKET/PATH.",
)

down: Callable[[Any], Any] = click.option(
    "--down-when-done",
    is_flag=True,
    help="On the head of a cluster that `ray up` made: take it down at the end.",
)

search: Callable[[Any], Any] = group(
    prices,
    share,
    click.option(
        "--study", metavar="NAME|FILE", help="What to search (ls studies).  [default: quick]"
    ),
    from_study("search", "limits", "machine"),
    gpus,
    address,
    storage,
    down,
    click.option(
        "--out", type=FOLDER, metavar="DIR", help="Folder of the run.  [default: runs/TASK-STUDY]"
    ),
    click.option("--yes", is_flag=True, help="Start a long study without asking."),
    click.option("--dry-run", is_flag=True, help="Price the study and stop."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
)
