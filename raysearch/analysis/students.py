"""Trials that have learned from a teacher, and tables of n-grams: what of a teacher they retain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raysearch.analysis import Run, winners
from raysearch.analysis.bootstrap import BOUNDS, ends_of
from raysearch.analysis.confirmation import Confirmation, confirmation
from raysearch.analysis.exiting import flops_of
from raysearch.analysis.knob_words import TABLE
from raysearch.record import OperatingPoint, TrialRecord

CELL = ("procedure", "model", "vocabulary", "labels_train")
"""Of each the best trial is shown: the commonest n-grams and hashed ones are two questions."""
WHOLE = "float32"
"""How a table is stored as trained."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A finished trial that others have learned from."""

    record: TrialRecord
    best: OperatingPoint
    """Of its points the best on validation."""

    @property
    def words(self) -> str:
        """Model and procedure."""
        return f"{self.record.config.rung}, {self.record.config.procedure}"


@dataclass(frozen=True, slots=True)
class Student:
    """The best trial on validation of its cell: taught, or a table from labels alone."""

    record: TrialRecord
    teacher: Teacher | None
    """Who it is held against; None: no teacher of its label budget is in the run."""
    taught: bool
    """Whether it has learned from a teacher; False: it is held against the best one there is."""

    @property
    def words(self) -> str:
        """The trial in words."""
        config = self.record.config
        kind = vocabulary_of(self.record)
        named = [config.rung, config.procedure, *([kind] if kind else [])]
        return ", ".join([*named, f"{self.record.labels_used:,} labels"])


@dataclass(frozen=True, slots=True)
class Retained:
    """A student's score over its teacher's, on the same test rows."""

    value: float
    score: float
    """The student's own."""
    teacher: float
    """The teacher's."""
    ends: tuple[float, float] | None
    """The 95 % interval over draws and rows, paired; None: one of the two is not confirmed."""
    draws: int
    """Fresh draws; 0: the search's own trials."""
    rows: int
    """Of the test split."""


def is_table(point: OperatingPoint) -> bool:
    """Whether a point is a table of n-grams, cut and stored as its knobs say."""
    return point.knobs.keys() >= TABLE and isinstance(point.knobs["rows"], int)


def has_tables(run: Run) -> bool:
    """Whether any trial of a run has such points."""
    return any(is_table(p) for r in run.records for p in r.points)


def vocabulary_of(record: TrialRecord) -> str:
    """How a table's n-grams were chosen; empty for other models."""
    table = any(is_table(p) for p in record.points)
    return str(record.hyper.get("vocabulary", "")) if table else ""


def whole(record: TrialRecord) -> OperatingPoint | None:
    """The table as it was trained, neither cut nor rounded; None where the model is no table."""
    tables = [p for p in record.points if is_table(p) and p.knobs["table"] == WHOLE]
    return max(tables, key=lambda p: (int(p.knobs["rows"]), p.point_id), default=None)


def students(run: Run) -> tuple[Student, ...]:
    """The best of each cell among trials with a teacher and tables, by procedure, model, budget."""
    search = {r.id: r for r in run.records if r.phase != "confirm" and r.status == "DONE"}
    mine = {k for k, r in search.items() if r.config.teachers or whole(r) is not None}
    table = run.table[run.table["id"].isin(mine) & run.table["phase"].ne("confirm")]
    if not len(table):
        return ()
    kinds = {k: vocabulary_of(search[k]) for k in mine}
    found = winners(table.assign(vocabulary=table["id"].map(kinds)), CELL)
    # The teacher nearest above: of a chain the last.
    above = {k: search.get(c.id) for k in mine for c in search[k].config.teachers[:1]}
    made = confirmation(run)
    known = {r.id: _teacher(r) for r in above.values() if r is not None}
    best: dict[int, Teacher] = {}
    for teacher in known.values():
        n = teacher.record.config.data.train
        if n not in best or _order(made, teacher) < _order(made, best[n]):
            best[n] = teacher
    out = []
    for name in found["id"]:
        record = search[str(name)]
        taught = bool(record.config.teachers)
        giver = above.get(record.id) if taught else None
        held = known[giver.id] if giver is not None else None
        out.append(Student(record, held if taught else best.get(record.config.data.train), taught))
    return tuple(out)


def _teacher(record: TrialRecord) -> Teacher:
    def order(point: OperatingPoint) -> tuple[float, float, str]:
        seen = point.scores.get("validation", {}).get(record.score, -math.inf)
        return -seen, flops_of(point), point.point_id

    return Teacher(record, min(record.points, key=order))


def _order(made: Confirmation, teacher: Teacher) -> tuple[bool, float, float, str]:
    """Confirmed ones first, then by validation; ties to the cheaper."""
    at = made.at(teacher.best.point_id)
    seen = teacher.best.scores.get("validation", {}).get(teacher.record.score, -math.inf)
    if at is not None and math.isfinite(made.estimates[at].validation):
        seen = made.estimates[at].validation
    return at is None, -seen, flops_of(teacher.best), teacher.record.id


def retained(run: Run, point: OperatingPoint, teacher: Teacher) -> Retained | None:
    """What a student's point retains of its teacher's score; 1 means all of it.

    Of two confirmed points from their fresh draws, rows and draws resampled alike for both. None
    where one of them has no score on test, or the teacher's is not above 0 (in any resample): a
    share of it means nothing.
    """
    score = teacher.record.score
    made = confirmation(run)
    i, j = made.at(point.point_id), made.at(teacher.best.point_id)
    if i is not None and j is not None:
        return _confirmed(made, i, j, score)
    own, above = (_tested(p, score) for p in (point, teacher.best))
    if own is None or above is None or above <= 0:
        return None
    return Retained(own / above, own, above, None, 0, point.rows.get("test", 0))


def _confirmed(made: Confirmation, i: int, j: int, score: str) -> Retained | None:
    own, above = made.estimates[i], made.estimates[j]
    below = [above.score, *above.per_draw, float(made.resampled[:, j].min())]
    if min(below) <= 0:
        return None
    each = np.array(own.per_draw) / np.array(above.per_draw)
    low, high = ends_of(made.resampled[:, i] / made.resampled[:, j], each)
    if BOUNDS.get(score, (-math.inf, math.inf))[0] >= 0:
        low = max(low, 0.0)
    value = own.score / above.score
    return Retained(value, own.score, above.score, (low, high), own.draws, own.test_rows)


def _tested(point: OperatingPoint, score: str) -> float | None:
    value = point.scores.get("test", {}).get(score, math.nan)
    return value if math.isfinite(value) else None
