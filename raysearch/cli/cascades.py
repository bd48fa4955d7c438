"""The verb that lists what two models in a row would come to: cascades."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.analysis.cascade import Cascade

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

    found = read_run(run)
    if first is not None and second is not None:
        made, missing = _of_two(found, first, second)
    elif first is None and second is None:
        made, missing = _worth_having(found)
    else:
        raise InputError("--first and --second: both are needed, or neither")
    chosen = _named(run, made, cascade)
    if as_json:
        print(json.dumps(_json(found, made, missing), allow_nan=False))
        return 0
    if not made or chosen is None:
        print("No cascade beats the confirmed points alone on validation score and infer FLOPs.")
        return 0
    _show(found, made)
    if missing:
        print(f"Missing: {missing}.")
    print(f"\n{chosen.point_id[:DIGITS]}: {chosen.words}")
    for line in _beside(chosen):
        print(line)
    for command in commands(run, chosen):
        print(f"  {command}")
    return 0


def commands(run: Path, cascade: Cascade) -> list[str]:
    """What exports the members, and labels a table with both."""
    where = shlex.quote(str(run))
    return [
        f"raysearch export {where} {cascade.first} --to first",
        f"raysearch export {where} {cascade.second} --to second",
        f"raysearch predict first IN.csv -o OUT.csv --otherwise second "
        f"--threshold {cascade.threshold:g}",
    ]


def _worth_having(run: Run) -> tuple[tuple[Cascade, ...], str]:
    from raysearch.analysis.cascade import cascades as listed
    from raysearch.analysis.cascade import why
    from raysearch.analysis.confirmation import confirmation

    made, missing = listed(run), why(run)
    if not made and missing:
        done = confirmation(run)
        hint = "" if done.estimates or done.why else f"; first: raysearch confirm {run.folder}"
        raise InputError(f"{run.folder}: {missing}{hint}")
    return made, missing


def _of_two(run: Run, first: str, second: str) -> tuple[tuple[Cascade, ...], str]:
    from raysearch.analysis.cascade import of_pair
    from raysearch.analysis.point_lookup import find

    ids = [find(run, name)[1].point_id for name in (first, second)]
    if ids[0] == ids[1]:
        raise InputError(
            f"{run.folder}: --first '{first}' and --second '{second}' are one point, {ids[0]}"
        )
    return of_pair(run, *ids)


def _named(run: Path, made: tuple[Cascade, ...], name: str) -> Cascade | None:
    """The cascade that the start of an id means; the best on validation without one."""
    if not name:
        return max(made, key=lambda c: (c.validation, -c.validation_flops), default=None)
    hits = [c for c in made if c.point_id.startswith(name.lower())]
    if len(hits) == 1:
        return hits[0]
    known = ", ".join(c.point_id[:DIGITS] for c in hits or made) or "none"
    which = "may be" if hits else "is not one of"
    raise InputError(f"{run}: cascade '{name}' {which} {known}")


def _json(run: Run, made: tuple[Cascade, ...], missing: str) -> dict[str, Any]:
    listed = []
    for c in made:
        value = {k: v for k, v in asdict(c).items() if v is not None}
        listed.append({**value, "commands": commands(run.folder, c)})
    return {"score": run.records[0].score, "cascades": listed, "missing": missing}


def _show(run: Run, made: tuple[Cascade, ...]) -> None:
    """One line a cascade: validation selects, test reports."""
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
    said = shown_words(made)
    paired = "; 95 % intervals over draws and rows, differences paired" if any(tested) else ""
    print(f"{said[0].upper()}{said[1:]}{paired}.")
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
    """How the cascade differs from each member alone, on test and in inference."""
    out = []
    for which, member in (("first", cascade.first), ("second", cascade.second)):
        ratio = cascade.infer_flops / cascade.alone[member]
        many = f"{ratio:,.0f} times" if ratio >= 10 else f"{100 * ratio:.0f} % of"
        line = f"  against the {which} alone: {many} its infer FLOPs"
        if member in cascade.against:
            value, low, high = cascade.against[member]
            line += f", on test {value:+.3f} [{low:+.3f}, {high:+.3f}]"
        out.append(line)
    return out
