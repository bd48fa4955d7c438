"""The point that the first page recommends before a control is touched."""

from __future__ import annotations

from raysearch.analysis import Run
from raysearch.analysis.named import find
from raysearch.analysis.report import Report, report
from raysearch.errors import InputError
from raysearch.panels.answer import answer
from raysearch.panels.collect import collect


def recommended(run: Run) -> str | None:
    """Return its id; None where no point is scored on validation and test."""
    points = collect(run, spend=False)
    choice = answer(points).choice
    return None if choice is None else points.ids[choice]


def look(run: Run, point: str = "") -> Report | None:
    """Take a close look at a named point, or at the recommended; None where there is none.

    Raises:
        InputError: a point is named, and there is no such or its logits are gone.
    """
    if point:
        return report(run, str(find(run, point)["point_id"]))
    best = recommended(run)
    if best is None:
        return None
    try:
        return report(run, best)
    except InputError:  # a folder of records without its Store still has pages
        return None
