"""The verb that lists what two models in a row would come to: cascades."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raysearch.cli import options

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.analysis.cascade_point import Cascade

DIGITS = 8
"""Of an id in the table."""


@click.command("cascades")
@click.argument("run", type=options.FOLDER)
@click.argument("cascade", required=False, default="")
@click.option("--first", metavar="ID", help="Of two confirmed points the one that is asked first.")
@click.option("--second", metavar="ID", help="The one that answers where it is not sure.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def cascades(run: Path, cascade: str, first: str | None, second: str | None, as_json: bool) -> int:
    r"""Ask a cheap model first and a larger one where it is not sure: what that would come to.

    From stored logits, without training. CASCADE is the start of an id: how to export that one;
    without it, the best on validation. Pairs are those of the best point of each method, model and
    label budget, unless --first and --second name two.

    \b
    raysearch cascades runs/sst2-quick
    raysearch cascades runs/sst2-quick 3fa9 --json
    raysearch cascades runs/sst2-quick --first 9c41 --second e07b
    """
    from raysearch.analysis import read_run
    from raysearch.workflow.cascades import cascades_json, commands, list_cascades, pick_cascade

    read = read_run(run)
    made, missing = list_cascades(read, first, second)
    chosen = pick_cascade(run, made, cascade)
    if as_json:
        print(json.dumps(cascades_json(read, made, missing), allow_nan=False))
        return 0
    if not made or chosen is None:
        print("No cascade beats the confirmed points alone on validation score and infer FLOPs.")
        return 0
    _show(read, made)
    if missing:
        print(f"Missing: {missing}.")
    print(f"\n{chosen.point_id[:DIGITS]}: {chosen.words}")
    for line in _beside(chosen):
        print(line)
    for command in commands(run, chosen):
        print(f"  {command}")
    return 0


def _show(run: Run, made: tuple[Cascade, ...]) -> None:
    """Print one line per cascade: validation selects, test reports."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from raysearch.analysis.frontier import PRETRAINING
    from raysearch.panels.cascade_words import shown_words

    score = run.records[0].score
    table = Table(
        title=f"Cascades: {score} against infer FLOPs",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in ("id", "cascade"):
        table.add_column(name, justify="left", no_wrap=name == "id")
    for name in ("labels", "validation", "test", "go on", "infer FLOPs"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in made:
        table.add_row(
            c.point_id[:DIGITS],
            Text(c.words),
            f"{c.labels:,}",
            f"{c.validation:.3f}",
            "-" if c.test is None else f"{c.test:.3f} [{c.low:.3f}, {c.high:.3f}]",
            f"{100 * c.on:.0f} %",
            f"{c.infer_flops:.2g}",
        )
    Console(width=max(120, Console().width), highlight=False).print(table)
    tested = [c.test is not None for c in made]
    words = shown_words(made)
    paired = "; 95 % intervals over draws and rows, differences paired" if any(tested) else ""
    print(f"{words[0].upper()}{words[1:]}{paired}.")
    where = "test" if any(tested) else "validation"
    more = " (validation where test is -)" if any(tested) and not all(tested) else ""
    print(
        "A text goes on where the first member's largest probability is below the threshold; how "
        f"many do, and infer FLOPs, are of {where}{more}; {PRETRAINING}."
    )
    beaten = [c for c in made if c.beaten_by]
    if beaten:
        by = ", ".join(f"{c.point_id[:DIGITS]} by {c.beaten_by[:DIGITS]}" for c in beaten)
        print(
            f"{len(beaten):,} of {len(made):,} are not worth having: a confirmed point alone is as "
            f"good on validation or better, and no dearer: {by}."
        )


def _beside(cascade: Cascade) -> list[str]:
    """Return how the cascade differs from each member alone, on test and in inference."""
    out = []
    for which, member in (("first", cascade.first), ("second", cascade.second)):
        ratio = cascade.infer_flops / cascade.alone[member]
        part = f"{ratio:,.0f} times" if ratio >= 10 else f"{100 * ratio:.0f} % of"
        line = f"  against the {which} alone: {part} its infer FLOPs"
        if member in cascade.against:
            value, low, high = cascade.against[member]
            line += f", on test {value:+.3f} [{low:+.3f}, {high:+.3f}]"
        out.append(line)
    return out
