"""What stands under a picture of a crossing: who chose, who reports, what is not there."""

from __future__ import annotations

from collections.abc import Sequence

from raysearch.analysis.frontier import PRETRAINING
from raysearch.panels.crossing import Cell, Crossing

NOTHING = "No finished point of this run has a score on test yet."
UNCOUNTED = PRETRAINING[0].upper() + PRETRAINING[1:] + "."


def caption(grid: Crossing, cells: Sequence[Cell], *left: str) -> str:
    """Return what chose, what reports, on how many draws, and what is not shown or not counted.

    Args:
        grid: the run's crossing.
        cells: those that the picture shows.
        left: sentences on what it leaves out; empty ones are passed over.
    """
    if not cells:
        return " ".join(s for s in ("" if grid.cells else NOTHING, *left) if s)
    chosen = [c.validation_rows for c in cells if c.validation is not None]
    draws = sorted({c.draws for c in cells if c.ends is not None and c.labels})
    parts = [f"chosen on validation ({span(chosen)} rows)"] if chosen else []
    parts += [f"shown on test ({span([c.test_rows for c in cells])} rows)"]
    parts += [f"{span(draws)} draws" if draws else "one draw: not confirmed"]
    text = ", ".join(parts)
    out = [text[0].upper() + text[1:] + "."]
    hollow = sum(c.ends is None for c in cells)
    if draws and hollow:
        out.append(f"Hollow: {hollow:,} without an interval.")
    free = sorted({c.procedure for c in cells if c.validation is None})
    if free:
        out.append(f"{', '.join(free)}: no labels, so chosen by nothing and on no frontier.")
    if grid.untested:
        out.append(f"Winners without a score on test left out: {grid.untested:,}.")
    out += [s for s in left if s]
    return " ".join([*out, UNCOUNTED])


def without(cells: Sequence[Cell], cost: str) -> str:
    """Return how many of the cells lack a cost; empty where none does."""
    missing = sum(cost not in c.costs for c in cells)
    return f"Points without {cost} left out: {missing:,}." if missing else ""


def span(counts: Sequence[int]) -> str:
    """Return the least and the most of them in words.

    >>> span([10, 256]), span([872])
    ('10 to 256', '872')
    """
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
