"""Points that used no labels: scored on test once and shown, never chosen (zero-shot prompting)."""

from __future__ import annotations

from collections.abc import Iterable

from raysearch.outputs.described import label_of
from raysearch.record import OperatingPoint, TrialRecord


def used_none(record: TrialRecord) -> bool:
    """Return whether a finished trial of the search used no label, so none is left to choose it."""
    return record.status == "DONE" and record.phase != "confirm" and not record.labels_used


def unlabelled_points(
    records: Iterable[TrialRecord],
) -> list[tuple[TrialRecord, OperatingPoint]]:
    """Return the points that used no labels, cheap inference first; scored on test or not."""
    points = [(r, p) for r in records if used_none(r) for p in r.points]
    return sorted(points, key=lambda of: (_flops(of[1]), of[1].point_id))


def _flops(point: OperatingPoint) -> float:
    return float("inf") if point.infer_flops is None else point.infer_flops


def name_of(record: TrialRecord, point: OperatingPoint) -> str:
    """Name a zero-shot point: method, model, and its own knobs."""
    words = label_of(point)
    return f"{record.config.method_chain} {record.config.rung}" + (f", {words}" if words else "")
