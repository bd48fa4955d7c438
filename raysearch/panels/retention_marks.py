"""Marks of students in a picture: what a point costs, and what it retains of its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raysearch.analysis import Run
from raysearch.analysis.students import Retained, Student, retained
from raysearch.analysis.tables import is_rounded
from raysearch.outputs.described import label_of
from raysearch.panels.text_costs import cost_of
from raysearch.recommend.points import MS, PARTS_OF_MS
from raysearch.record import OperatingPoint

SPEED_UPS = {
    "infer_flops": "times less compute a text than the teacher",
    MS: "times faster a text than the teacher",
}
"""Costs of a text: along x stands how many times less than its teacher a student takes."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One operating point of a student."""

    point_id: str
    words: str
    """Its own knobs; empty for a plain model."""
    rounded: bool
    """A table that is not stored as it was trained."""
    cost: float
    """Its own, in the cost's unit."""
    x: float
    """Where it stands: its speed-up, or its size."""
    kept: Retained


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one student."""

    procedure: str
    model: str
    words: str
    """The trial."""
    validation_rows: int
    teacher: str
    """Its teacher's model and procedure."""
    taught: bool
    marks: tuple[Mark, ...]
    """By x, ascending."""
    whole: str
    """Which of them is the model as it was trained; it may be missing."""


@dataclass(frozen=True, slots=True)
class Pane:
    """One label budget."""

    budget: int
    curves: tuple[Curve, ...]

    @property
    def teachers(self) -> tuple[float, ...]:
        """Return the teachers' scores that shares are of, each once, ascending."""
        return tuple(sorted({m.kept.teacher for c in self.curves for m in c.marks}))


def costs_of(run: Run, cost: str) -> Mapping[str, float]:
    """Return what each point of the search costs, as far as it is known."""
    columns = list(dict.fromkeys([*PARTS_OF_MS, *([] if cost == MS else [cost])]))
    table = run.table[run.table["phase"].ne("confirm")].drop_duplicates("point_id")
    rows = table.dropna(subset="point_id").set_index("point_id")[columns].astype("float64")
    known = {str(p): cost_of(r, cost) for p, r in rows.to_dict("index").items()}
    return {p: v for p, v in known.items() if v is not None}


def mark_of(
    run: Run, one: Student, point: OperatingPoint, costs: Mapping[str, float], cost: str
) -> Mark:
    """Return a point's mark; LookupError names what it lacks."""
    if one.teacher is None:
        raise LookupError("a teacher")
    own, above = costs.get(point.point_id), costs.get(one.teacher.best.point_id)
    if own is None or (cost in SPEED_UPS and above is None):
        raise LookupError(f"{cost} of their own or their teacher's")
    kept = retained(run, point, one.teacher)
    if kept is None:
        raise LookupError("a share of their teacher's score on test")
    rounded = is_rounded(point)
    x = above / own if cost in SPEED_UPS and above is not None else own
    return Mark(point.point_id, label_of(point), rounded, own, x, kept)
