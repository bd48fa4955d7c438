"""Trials that have learned from a teacher, and tables of n-grams: what of a teacher they retain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from raysearch import scores
from raysearch.analysis import Run
from raysearch.analysis.bootstrap import ends_of
from raysearch.analysis.confirmation import Confirmation, confirmation
from raysearch.analysis.point_costs import flops_of
from raysearch.analysis.tables import vocabulary_of, whole
from raysearch.analysis.tables import without_int8 as plain
from raysearch.record import OperatingPoint, TrialRecord

LEAST = 0.01
"""A teacher's score below which a share of it means nothing."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A finished trial that others have learned from."""

    record: TrialRecord
    best: OperatingPoint
    """Of its points the best on validation: by the mean over draws where it is confirmed."""

    @property
    def words(self) -> str:
        """Return model and procedure, in words."""
        return f"{self.record.config.rung}, {self.record.config.method_chain}"


@dataclass(frozen=True, slots=True)
class Student:
    """The best trial on validation of its cell: taught, or a table from labels alone.

    Commonest n-grams and hashed ones are two cells.
    """

    record: TrialRecord
    teacher: Teacher | None
    """Who it is held against; None: no teacher of its label budget is in the run."""
    taught: bool
    """Whether it has learned from a teacher; False: it is held against the best one there is."""

    @property
    def words(self) -> str:
        """Return the trial in words."""
        config = self.record.config
        kind = vocabulary_of(self.record)
        named = [config.rung, config.method_chain, *([kind] if kind else [])]
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


def students(run: Run) -> tuple[Student, ...]:
    """Return the best trial of each cell with teacher and tables, by procedure, model, budget.

    Chosen by the mean validation over draws where a trial is confirmed: what is shown of it holds
    every draw, so that none of them alone may choose.
    """
    trained = (r for r in run.records if r.phase != "confirm" and r.status == "DONE" and plain(r))
    search = {r.id: r for r in trained}
    made = confirmation(run)
    won: dict[tuple[str, str, str, int], tuple[_Order, TrialRecord]] = {}
    above: dict[str, TrialRecord] = {}
    for record in search.values():
        config = record.config
        taught_by = record.answered_by[:1]
        if not taught_by and whole(record) is None:
            continue
        # The teacher nearest above: of a chain the last.
        above |= {c.id: search[c.id] for c in taught_by if c.id in search}
        scored = [o for p in plain(record) if math.isfinite((o := _order(made, record, p))[1])]
        if not scored:
            continue
        cell = config.method_chain, config.rung, vocabulary_of(record), config.data.train
        if cell not in won or min(scored) < won[cell][0]:
            won[cell] = min(scored), record
    known = {k: _teacher(made, r) for k, r in above.items()}
    best: dict[int, Teacher] = {}
    for teacher in sorted(known.values(), key=lambda t: _order(made, t.record, t.best)):
        best.setdefault(teacher.record.config.data.train, teacher)
    out = []
    for _, (_, record) in sorted(won.items(), key=lambda item: item[0]):
        givers, budget = record.answered_by, record.config.data.train
        reference = known.get(givers[0].id) if givers else best.get(budget)
        out.append(Student(record, reference, bool(givers)))
    return tuple(out)


def _teacher(made: Confirmation, record: TrialRecord) -> Teacher:
    return Teacher(record, min(plain(record), key=lambda p: _order(made, record, p)))


_Order: TypeAlias = tuple[bool, float, float, str, str]


def _order(made: Confirmation, record: TrialRecord, point: OperatingPoint) -> _Order:
    """Return a key that sorts confirmed ones first, then by validation; ties to the cheaper."""
    at = made.at(point.point_id)
    seen = point.scores.get("validation", {}).get(record.score, -math.inf)
    if at is not None and math.isfinite(made.estimates[at].validation):
        seen = made.estimates[at].validation
    seen = seen if math.isfinite(seen) else -math.inf
    return at is None, -seen, flops_of(point), record.id, point.point_id


def retained(run: Run, point: OperatingPoint, teacher: Teacher) -> Retained | None:
    """Return the share of its teacher's score that a student's point retains; 1 means all of it.

    Of two confirmed points from their fresh draws, rows and draws resampled alike for both. None
    where one of them has no score on test, or the teacher's is below `LEAST` (in any resample): a
    share of it means nothing.
    """
    score = teacher.record.score
    made = confirmation(run)
    i, j = made.at(point.point_id), made.at(teacher.best.point_id)
    if i is not None and j is not None:
        return _confirmed(made, i, j, score)
    own, above = (_tested(p, score) for p in (point, teacher.best))
    if own is None or above is None or above < LEAST:
        return None
    return Retained(own / above, own, above, None, 0, point.rows.get("test", 0))


def _confirmed(made: Confirmation, i: int, j: int, score: str) -> Retained | None:
    own, above = made.estimates[i], made.estimates[j]
    below = [above.score, *above.per_draw, float(made.resampled[:, j].min())]
    if min(below) < LEAST:
        return None
    each = np.array(own.per_draw) / np.array(above.per_draw)
    low, high = ends_of(made.resampled[:, i] / made.resampled[:, j], each)
    if scores.bounds(score)[0] >= 0:
        low = max(low, 0.0)
    value = own.score / above.score
    return Retained(value, own.score, above.score, (low, high), own.draws, own.test_rows)


def _tested(point: OperatingPoint, score: str) -> float | None:
    value = point.scores.get("test", {}).get(score, math.nan)
    return value if math.isfinite(value) else None
