"""Options that several verbs share, and how their texts are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from raysearch.errors import InputError
from raysearch.scores import main_scores

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path)
OR = " or "


def group(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator out of several options, in the order they are listed in the help."""

    def decorate(f: F) -> F:
        for option in reversed(options):
            f = option(f)
        return f

    return decorate


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
    click.option(
        "--pool", metavar="NAME|FILE", help="Texts for students; else the task's own unlabelled."
    ),
    click.option("--pool-lines", is_flag=True, help="Each line of the pool's texts is a text."),
)

prices: Callable[[Any], Any] = group(
    click.option("--price-per-cpu-hour", metavar="X", help="Dollars of an hour of the CPU."),
    click.option("--price-per-gpu-hour", metavar="X", help="Dollars of an hour of one GPU."),
    click.option("--price-per-label", metavar="X", help="Dollars of one label."),
)

share: Callable[[Any], Any] = click.option(
    "--share-teacher", metavar="K", help="Students that share a teacher's bill.  [the study's: 8]"
)

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
    click.option("--methods", metavar="A,B", help="Only these methods; +X adds to a run's."),
    click.option("--models", metavar="A,B", help="Only these model sizes (ls models)."),
    click.option("--labels", metavar="N,N", help="Label budgets, as 32,100,1000."),
    click.option("--trials", metavar="N|+N", help="Trials in all; +N adds to a run's."),
    click.option(
        "--draws", type=int, metavar="K", help="Confirm the best on K fresh draws; 0: do not."
    ),
    click.option("--searcher", metavar="NAME", help="tpe, random, nsga2 or grid."),
    click.option(
        "--seed", type=int, metavar="N", help="Seed of the search and of own data's splits."
    ),
    click.option("--hours", type=float, metavar="H", help="Stop after this wall time."),
    click.option("--gpu-hours", type=float, metavar="H", help="Stop after this GPU time."),
    click.option("--flops", type=float, metavar="X", help="Stop after this many FLOPs."),
    click.option("--dollars", type=float, metavar="X", help="Stop at this cost (needs prices)."),
    click.option("--precision", metavar="auto|fp32|bf16", help="What matrix products run in."),
    click.option("--concurrency", type=int, metavar="N", help="Trials at once."),
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


PRICES = {
    "cpu_hour": "price_per_cpu_hour",
    "gpu_hour": "price_per_gpu_hour",
    "label": "price_per_label",
}


def prices_of(given: Mapping[str, Any]) -> dict[str, float]:
    """The prices that are given, by their name in a study; InputError for one that is none."""
    out = {}
    for name, key in PRICES.items():
        value = positive(given.get(key), "--" + key.replace("_", "-"), zero=True)
        if value is not None:
            out[name] = value
    return out


def gpus_of(given: Mapping[str, Any]) -> float | None:
    """Read --gpus-per-trial; None stays None, InputError for what cannot be held."""
    text = given.get("gpus_per_trial")
    value = positive(text, "--gpus-per-trial", zero=True)
    if value is not None and value > 1 and not value.is_integer():
        raise InputError(f"--gpus-per-trial: '{text}' must be a part of one GPU, or whole ones")
    return value


def number(text: str | None, option: str) -> float | None:
    """Read a finite number, as 5, 1e6, 2.5k or 3M; None stays None, InputError otherwise.

    >>> number("2.5k", "--volume")
    2500.0
    """
    if text is None:
        return None
    given, text = text, text.replace("−", "-")
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+", text):  # as the sentences print it
        text = text.replace(",", "")
    factor = {"k": 1e3, "K": 1e3, "M": 1e6}.get(text[-1:], 1.0)
    try:
        value = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{option}: '{given}' is not a number, as 5 or 1e6")
    return value


def positive(text: str | None, option: str, *, zero: bool = False) -> float | None:
    """Read a number above 0 (or from 0 on); None stays None, InputError otherwise."""
    value = number(text, option)
    if value is not None and (value < 0 or (value == 0 and not zero)):
        raise InputError(f"{option}: '{text}' must be {'0 or more' if zero else 'above 0'}")
    return value


def names(text: str) -> tuple[str, ...]:
    """Split `a,b`; InputError when nothing is named.

    >>> names("a, b")
    ('a', 'b')
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise InputError(f"'{text}': must be names, as a,b")
    return found


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Split `32,100,1000` into whole numbers above 0; InputError otherwise.

    >>> numbers("32,1k", "--labels")
    (32, 1000)
    """
    out = []
    for part in names(text):
        shown, factor = (part[:-1], 1000) if part[-1:] in "kK" else (part, 1)
        try:
            value = float(shown) * factor
        except ValueError:
            value = 0.5
        if value < 1 or not value.is_integer():
            raise InputError(f"{option}: '{part}' is not a whole number above 0, as 32,100,1000")
        out.append(int(value))
    return tuple(out)


def share_of(given: Mapping[str, Any]) -> int | None:
    """Read --share-teacher; None stays None, InputError for what is no whole number above 0."""
    text = given.get("share_teacher")
    if text is None:
        return None
    value = positive(text, "--share-teacher")
    if value is None or not value.is_integer():
        raise InputError(f"--share-teacher: '{text}' is not a whole number above 0, as 8")
    return int(value)


def trials(text: str, before: int) -> int:
    """Read `50` or, on an existing run, `+50`; InputError otherwise.

    >>> trials("+50", 24), trials("30", 24)
    (74, 30)
    """
    try:
        value = int(text)
    except ValueError:
        raise InputError(f"--trials: '{text}' is not a whole number, as 50 or +50") from None
    total = before + value if text.startswith("+") else value
    if value < 1:
        raise InputError(f"--trials: '{text}' must be above 0")
    return total


def added(text: str, before: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Read `a,b`, or `+x` on top of what was there.

    >>> added("+c", ("a", "b"), ())
    ('a', 'b', 'c')
    """
    parts = names(text)
    if not any(p.startswith("+") for p in parts):
        return parts
    base = list(before if before is not None else known)
    return tuple(dict.fromkeys(base + [p.removeprefix("+") for p in parts]))
