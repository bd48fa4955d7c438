"""The verb that sets a system from outside beside a run's points: add-point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.workflow.external import Added

SHOWN = 8
"""Confirmed points a terminal shows, the best first."""


@click.command("add-point")
@click.argument("run", type=options.FOLDER)
@click.option("--name", metavar="NAME", help="What the system is called.")
@click.option(
    "--predictions",
    type=options.FOLDER,
    metavar="FILE",
    help="CSV, TSV or JSONL with text (and text_pair) or hash, and prediction.",
)
@click.option("--dollars-per-1k", type=float, metavar="X", help="Price of 1,000 texts.")
@click.option("--labels", type=int, metavar="N", help="Labelled examples it has used.")
@click.option("--ms", type=float, metavar="X", help="Milliseconds per text.")
@click.option(
    "--template",
    type=options.FOLDER,
    metavar="FILE",
    help="Write the rows to be predicted, texts and all, and stop.",
)
@options.data_dir
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def add_point(run: Path, **given: Any) -> int:
    r"""Set a system from outside beside a run's points, by its predictions of the test rows.

    \b
    raysearch add-point runs/sst2-quick --template rows.csv
    raysearch add-point runs/sst2-quick --name gpt-x --predictions rows.csv --dollars-per-1k 0.4
    """
    from raysearch.workflow.external import add_system

    if given["template"] is not None:
        return _template(run, given)
    done = add_system(run, given["name"], given["predictions"], given, given["data_dir"])
    if given["as_json"]:
        print(json.dumps(done.to_json(), allow_nan=False))
        return 0
    _show(run, done)
    return 0


def _template(run: Path, given: dict[str, Any]) -> int:
    from raysearch.workflow.external import write_rows

    if given["predictions"] is not None:
        raise InputError("--template: writes the rows to be predicted; --predictions reads them")
    done = write_rows(run, given["template"], given["data_dir"])
    task = done.data.task
    what = f"numbers ({task.score})" if task.regression else "one of the labels"
    if given["as_json"]:
        print(json.dumps({"file": str(done.file), "texts": done.texts, "rows": done.rows}))
        return 0
    print(f"{done.file}: {done.texts:,} texts, without labels; they leave the run on your word")
    names = "" if task.regression else ": " + ", ".join(task.label_names[:8])
    print(f"  add a column 'prediction', {what}{names}")
    return 0


def _show(run: Path, done: Added) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from raysearch.analysis.point_lookup import find, name_of

    added, made, read = done.system, done.made, done.predictions
    ends = added.interval
    span = "" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
    print(f"{added.name}: {added.score} {added.value:.3f}{span} on test ({added.rows:,} rows)")
    shared = f"; {read.shared:,} rows share the prediction of an equal text" if read.shared else ""
    print(f"  predictions read as {read.read_as}{shared}; interval over the test rows alone")
    if done.replaced:
        print(f"  replaces the earlier '{added.name}'")
    if done.why:
        first = f"confirm first: raysearch confirm {run}"
        print(
            f"  no verdict: {done.why}" if made.estimates or made.why else f"  {first} ({done.why})"
        )
        return
    ranked = sorted(
        done.against, key=lambda a: -made.estimates[made.at(a.point_id) or 0].validation
    )
    best = ranked[0]
    words = {"better": "better than", "worse": "worse than"}
    verdict = words.get(best.verdict, "not distinguishable from")
    print(
        f"  {verdict} the best confirmed point ({name_of(*find(done.run, best.point_id))}): "
        f"{best.difference:+.3f} [{best.low:+.3f}, {best.high:+.3f}], paired over rows"
    )
    table = Table(title="Against the confirmed points, the best on validation first")
    table.title_justify = "left"
    for column in ("point", "method, model, labels"):
        table.add_column(column)
    for column in (added.score, "difference", "95 % interval", "verdict"):
        table.add_column(column, justify="right")
    for pair in ranked[:SHOWN]:
        estimate = made.estimates[made.at(pair.point_id) or 0]
        table.add_row(
            pair.point_id[:8],
            Text(name_of(*find(done.run, pair.point_id))),
            f"{estimate.score:.3f}",
            f"{pair.difference:+.3f}",
            f"[{pair.low:+.3f}, {pair.high:+.3f}]".replace("[", r"\["),
            pair.verdict,
        )
    Console(width=110).print(table)
    if len(ranked) > SHOWN:
        print(f"{len(ranked) - SHOWN} more in --json")
