"""Tables of n-grams among a run's points: which they are, and which one is as trained."""

from __future__ import annotations

from raysearch.analysis.run import Run
from raysearch.outputs.point_kinds import tables
from raysearch.record import OperatingPoint, TrialRecord

WHOLE = "float32"
"""How a table is stored as trained."""


def is_table(point: OperatingPoint) -> bool:
    """Return whether a point is a table of n-grams, cut and stored by its knobs."""
    return tables.words(point.knobs) is not None


def is_rounded(point: OperatingPoint) -> bool:
    """Return whether a point is a table that is stored in fewer bits than it was trained in."""
    return is_table(point) and point.knobs["table"] != WHOLE


def has_tables(run: Run) -> bool:
    """Return whether any trial of a run has such points."""
    return any(is_table(p) for r in run.records for p in r.points)


def vocabulary_of(record: TrialRecord) -> str:
    """Return how a table's n-grams were chosen; empty for other models."""
    table = any(is_table(p) for p in record.points)
    return str(record.hyper.get("vocabulary", "")) if table else ""


def without_int8(record: TrialRecord) -> tuple[OperatingPoint, ...]:
    """Return a trial's points without the int8 twins that an export has added."""
    return tuple(p for p in record.points if not p.knobs.get("int8"))


def whole(record: TrialRecord) -> OperatingPoint | None:
    """Return the table as it was trained, neither cut nor rounded; None for other models."""
    whole_tables = [p for p in without_int8(record) if is_table(p) and not is_rounded(p)]
    return max(whole_tables, key=lambda p: (int(p.knobs["rows"]), p.point_id), default=None)
