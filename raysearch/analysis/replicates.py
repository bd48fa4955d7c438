"""Fresh draws of what the search has chosen: which trials they are, and what they cost to run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from raysearch.analysis.bootstrap import FEWEST
from raysearch.config.trial import canonical
from raysearch.record import OperatingPoint, TrialRecord

FreshDraws = tuple[TrialRecord, OperatingPoint, dict[int, TrialRecord]]
"""A trial of the search, one of its points, and its finished draws by number."""


def draws_of(records: Sequence[TrialRecord], study: Mapping[str, Any]) -> dict[str, FreshDraws]:
    """Find the confirming draws that have a point like a point of the search, by point id."""
    by_recipe: dict[str, dict[int, TrialRecord]] = {}
    grid = is_crossing(records, study)
    for record in records:
        # What used no labels has nothing to draw again: it is shown, and never confirmed.
        if (grid or record.phase == "confirm") and record.status == "DONE" and record.labels_used:
            by_recipe.setdefault(record.config.seedless_id, {})[record.config.data.seed] = record
    # A recipe is a hash: reckoned for those alone that share a cell with a draw.
    cells = {_cell(r) for draws in by_recipe.values() for r in draws.values()}
    out: dict[str, FreshDraws] = {}
    for record in records:
        if record.phase == "confirm" or record.status != "DONE" or _cell(record) not in cells:
            continue
        replicates = by_recipe.get(record.config.seedless_id, {})
        for point in record.points:
            fresh = {d: r for d, r in replicates.items() if matching_point(r, point) is not None}
            if fresh:
                out.setdefault(point.point_id, (record, point, fresh))
    return out


def is_crossing(records: Sequence[TrialRecord], study: Mapping[str, Any]) -> bool:
    """Return whether this is a crossing: nothing was chosen of its first draw, which so is fresh.

    Where the task is cross-fitted that draw was judged on other rows, and does not count.
    """
    return bool(study.get("procedures")) and not any(r.config.data.folds for r in records)


def _cell(record: TrialRecord) -> tuple[str, str, int, str]:
    """Return method, model, labels and knobs: what a trial and its draws have in common."""
    config = record.config
    return config.method, config.rung, config.data.train, repr(sorted(config.hyper.items()))


def matching_point(record: TrialRecord, point: OperatingPoint) -> OperatingPoint | None:
    """Return the draw's point with the same knobs, scored on test."""
    knobs = canonical(dict(point.knobs))
    for other in record.points:
        if canonical(dict(other.knobs)) == knobs and "test" in other.scores:
            return other
    return None


def average_over_replicates(
    records: Sequence[TrialRecord], study: Mapping[str, Any]
) -> tuple[TrialRecord, ...]:
    """Return the records, with what is a result of training taken from the fresh draws.

    Where texts leave a model with exits, and so what it computes, differs from draw to draw, and
    the search has chosen among its own: a point with draws enough for an estimate has their mean
    inference FLOPs, and their mean share of texts at each exit.
    """
    if not any(p.exits for r in records for p in r.points):
        return tuple(records)
    averaged = {
        (record.id, point_id): _averaged(point, fresh)
        for point_id, (record, point, fresh) in draws_of(records, study).items()
        if point.exits and len(fresh) >= FEWEST
    }

    def of(record: TrialRecord, point: OperatingPoint) -> OperatingPoint:
        return averaged.get((record.id, point.point_id), point)

    return tuple(replace(r, points=tuple(of(r, p) for p in r.points)) for r in records)


def _averaged(point: OperatingPoint, fresh: Mapping[int, TrialRecord]) -> OperatingPoint:
    twins = [t for r in fresh.values() if (t := matching_point(r, point)) is not None]
    flops = [c for t in twins if (c := t.infer_flops) is not None and math.isfinite(c)]
    exits = [t.exits for t in twins if len(t.exits) == len(point.exits)]
    return replace(
        point,
        infer_flops=float(np.mean(flops)) if flops else point.infer_flops,
        exits=[float(s) for s in np.mean(exits, axis=0)] if exits else point.exits,
    )
