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
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def cascades(run: Path, cascade: str, as_json: bool) -> int:
    r"""Ask a cheap model first and a larger one where it is not sure: what that would come to.

    From stored logits, without training. CASCADE is the start of an id: how to export that one;
    without it, the best on validation.

    \b
    raysearch cascades runs/sst2-quick
    raysearch cascades runs/sst2-quick 3fa9 --json
    """
    from raysearch.analysis import read_run
    from raysearch.analysis.cascade import cascades as listed
    from raysearch.analysis.cascade import why
    from raysearch.analysis.confirmation import confirmation

    found = read_run(run)
    made, missing = listed(found), why(found)
    if not made and missing:
        done = confirmation(found)
        first = "" if done.estimates or done.why else f"; first: raysearch confirm {run}"
        raise InputError(f"{run}: {missing}{first}")
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
    for line in _beside(found, chosen):
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


def _named(run: Path, made: tuple[Cascade, ...], name: str) -> Cascade | None:
    """The cascade that the start of an id means; the best on validation without one."""
    if not name:
        return max(made, key=lambda c: (c.validation, -c.infer_flops), default=None)
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
    shown = [c for c in made if c.test is not None]
    print(
        f"Chosen on validation ({_span(c.validation_rows for c in made)} rows), "
        + (
            f"shown on test ({_span(c.test_rows for c in shown)} rows), "
            f"{_span(c.draws for c in shown)} fresh draws; 95 % intervals over draws and rows, "
            "differences paired."
            if shown
            else "not shown on test."
        )
    )
    print(
        "A text goes on where the first member's largest probability is below the threshold; "
        f"{PRETRAINING}."
    )


def _span(values: Any) -> str:
    known = sorted(set(values))
    return f"{known[0]:,}" if len(known) == 1 else f"{known[0]:,} to {known[-1]:,}"


def _beside(run: Run, cascade: Cascade) -> list[str]:
    """How the cascade differs from each member alone, on test and in inference."""
    flops = run.table.drop_duplicates("point_id").set_index("point_id")["infer_flops"]
    out = []
    for which, member in (("first", cascade.first), ("second", cascade.second)):
        ratio = cascade.infer_flops / float(flops[member])
        many = f"{ratio:,.0f} times" if ratio >= 10 else f"{100 * ratio:.0f} % of"
        line = f"  against the {which} alone: {many} its infer FLOPs"
        if member in cascade.against:
            value, low, high = cascade.against[member]
            line += f", on test {value:+.3f} [{low:+.3f}, {high:+.3f}]"
        out.append(line)
    return out
