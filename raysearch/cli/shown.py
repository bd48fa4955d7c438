"""A run for a terminal, or as JSON: its frontier and what its page says."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.run.folder import RunFolder

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.recommend.answer import Answer
    from raysearch.recommend.points import Points

COLUMNS = {"train FLOPs": "train_flops_full", "infer FLOPs": "infer_flops", "ms": "ms"}
"""Costs of the terminal's table, by column."""


def show_run(run: Run, page: Path) -> None:
    """Print the frontier and what the page says."""
    from raysearch.analysis.confirmation import confirmation
    from raysearch.analysis.selection_bias import selection_bias
    from raysearch.recommend.answer import answer
    from raysearch.recommend.collect import collect
    from raysearch.recommend.request import to_text

    points = collect(run)
    answered = answer(points)
    if answered.frontier:
        _print_frontier(points, answered)
    for line in to_text(points, answered):
        print(line)
    bias = selection_bias(run.table, confirmation(run))
    if bias is not None:
        print(bias.sentence())
    print(f"\npage: {page}\nrecords: {RunFolder(run.folder).table}")


def shown_json(run: Run) -> dict[str, Any]:
    """Return the recommendation, the confirmed estimates and the winner's bias as plain JSON."""
    from raysearch.analysis.confirmation import confirmation
    from raysearch.analysis.selection_bias import selection_bias
    from raysearch.recommend.answer import answer
    from raysearch.recommend.collect import collect
    from raysearch.recommend.request import to_json

    points = collect(run)
    made = confirmation(run)
    bias = selection_bias(run.table, made)
    return {
        "recommendation": to_json(points, answer(points)),
        "confirmed": [asdict(e) for e in made.estimates],
        "winners_bias": None if bias is None else asdict(bias),
    }


def _print_frontier(points: Points, given: Answer) -> None:
    """Print the frontier as a table: validation selects, test reports."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from raysearch.recommend.differences import interval_of

    axis = next((a.noun for a in points.axes if a.name == given.setting.cost), "cost")
    table = Table(
        title=f"Frontier: {points.score} against {axis}", title_justify="left", box=box.SIMPLE_HEAD
    )
    for name in ("method", "model", "labels", "validation", "test", "draws", *COLUMNS):
        left = name in ("method", "model")
        table.add_column(name, justify="left" if left else "right", no_wrap=not left)
    for i in given.frontier:
        ends = interval_of(points, i)
        fresh = points.place[i] >= 0
        shown = f"{points.test[i]:.3f}"
        if fresh and ends is not None:
            shown += f" [{ends[0]:.3f}, {ends[1]:.3f}]"
        costs = [points.costs.get(key) for key in COLUMNS.values()]
        table.add_row(
            points.methods[points.method[i]],
            points.models[points.model[i]] + points.knobs[i],
            f"{points.labels[i]:,.0f}",
            f"{points.validation[i]:.3f}",
            shown,
            str(points.draws[i]) if fresh else "none",
            *("-" if c is None or not math.isfinite(c[i]) else f"{c[i]:.2g}" for c in costs),
        )
    Console(width=120).print(table)
