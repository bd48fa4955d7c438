"""The point that the first page recommends before a control is touched."""

from __future__ import annotations

from raysearch.analysis import Run
from raysearch.analysis.point_lookup import find
from raysearch.analysis.report import Report, report
from raysearch.analysis.winners import winners
from raysearch.errors import InputError
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect


def recommended(run: Run) -> str | None:
    """Return its id; None where no point has a score on validation.

    Where none is scored on test yet, the best winner on validation stands in; ties: the cheaper.
    """
    points = collect(run, spend=False)
    choice = answer(points).choice
    if choice is not None:
        return points.ids[choice]
    keys = ["score_validation", "infer_flops", "train_flops_full", "id"]
    won = winners(run.table).sort_values(keys, ascending=[False, True, True, True], kind="stable")
    return str(won["point_id"].iloc[0]) if len(won) else None


def recommended_id(run: Run) -> str:
    """Return the point that `recommended` names; of an int8 twin the float point.

    Raises:
        InputError: no point has a score on validation.
    """
    best = recommended(run)
    if best is None:
        raise InputError(f"{run.folder}: no point has a score on validation: none to take")
    record, point = find(run, best)
    if point.knobs.get("int8"):  # taken by name alone
        rest = {k: v for k, v in point.knobs.items() if k != "int8"}
        return next((p.point_id for p in record.points if dict(p.knobs) == rest), best)
    return best


def look(run: Run, point: str = "") -> Report | None:
    """Build the report of a named point, or of the recommended; None where there is none.

    Raises:
        InputError: a point is named, and there is no such or its logits are gone.
    """
    if point:
        return report(run, find(run, point)[1].point_id)
    best = recommended(run)
    if best is None:
        return None
    try:
        return report(run, best)
    except InputError:  # a folder of records without its Store still has pages
        return None
