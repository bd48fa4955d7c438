"""Who takes part in a map of procedures: confirmed points with a cost, and what chooses them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysearch.analysis import Run
from raysearch.analysis.confirmation import Estimate
from raysearch.analysis.intervals import careful
from raysearch.analysis.point_lookup import labels_by_point
from raysearch.panels.captions import UNCOUNTED, span
from raysearch.panels.crossing import Crossing
from raysearch.panels.panes import half_decades

Floats = npt.NDArray[np.float64]

MOST_STEPS = 12
"""Beyond so many half decades of a cost the steps are whole decades."""
CLOSE = 1.25
"""Label counts closer than this factor share a step, that of the larger."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A point that may stand for its procedure."""

    place: int
    """Among the estimates."""
    procedure: str
    words: str
    labels: float
    """Used."""
    cost: float
    prefer: float
    """What chooses it within its procedure, larger first."""


def contest(run: Run, grid: Crossing, cost: str) -> tuple[list[Choice], str]:
    """Return the points to compare, and a sentence on those left out, empty where none was.

    Validation chooses within a procedure: the mean over fresh draws, `careful` where rows are few.
    A procedure none of whose points has a validation score needs no labels: the model that is
    dearest to run, its largest, stands for it, chosen by no score at all.
    """
    rows = run.table.drop_duplicates("point_id").set_index("point_id").to_dict("index")
    about = [(e, rows[e.point_id]) for e in grid.made.estimates]
    judged = {str(r["procedure"]) for e, r in about if math.isfinite(e.validation)}
    labels = labels_by_point(run)
    out: list[Choice] = []
    bare = unchosen = 0
    for place, (e, row) in enumerate(about):
        procedure, prefer = str(row["procedure"]), e.validation
        if math.isfinite(prefer):
            prefer = careful(prefer, e.validation_rows, str(row["score_name"]))
        elif procedure not in judged and not row["labels"]:
            prefer = float(row["infer_flops"])
        if not math.isfinite(row[cost]):
            bare += 1
        elif not math.isfinite(prefer):
            unchosen += 1
        else:
            words = _words(e, str(row["model"]), float(row["labels"]), labels.get(e.point_id, ""))
            choice = Choice(place, procedure, words, float(row["labels"]), float(row[cost]), prefer)
            out.append(choice)
    known = {e.point_id for e, _ in about}
    reasons = (
        (sum(c.point_id not in known for c in grid.cells), "without fresh draws"),
        (bare, f"without {cost}"),
        (unchosen, "without a validation score"),
        (grid.untested, "without a score on test"),
    )
    left = ", ".join(f"{n:,} {why}" for n, why in reasons if n)
    return out, f"Points left out: {left}." if left else ""


def differ(grid: Crossing, choices: Sequence[Choice]) -> npt.NDArray[np.bool_]:
    """Return whether the paired 95 % interval of two of them excludes 0 (m, m)."""
    at = np.array([c.place for c in choices], dtype=np.intp)
    ends = grid.made.difference[np.ix_(at, at)]
    return np.asarray((ends[..., 1] > 0) | (ends[..., 2] < 0), dtype=np.bool_)


def label_steps(labels: Floats) -> tuple[float, ...]:
    """Label counts as the steps of an axis, close ones joined under the larger.

    >>> label_steps(np.array([20.0, 64.0, 70.0, 0.0, 20.0]))
    (0.0, 20.0, 70.0)
    """
    out: list[float] = []
    for value in sorted({float(v) for v in labels}):
        if out and out[-1] > 0 and value / out[-1] < CLOSE:
            out[-1] = value
        else:
            out.append(value)
    return tuple(out)


def cost_steps(cost: Floats) -> tuple[float, ...]:
    """Return half decades of a cost, the last one above every point; whole ones where many.

    >>> cost_steps(np.array([0.0, 2e9, 5e10])), len(cost_steps(np.array([2e3, 5e13])))
    ((3200000000.0, 10000000000.0, 32000000000.0, 100000000000.0), 11)
    """
    spent = cost[cost > 0]
    if not len(spent):
        return (1.0,) if len(cost) else ()
    low, high = float(spent.min()), float(spent.max())
    made = [v for v in half_decades(low, high) if v >= low]
    if len(made) <= MOST_STEPS:
        return tuple(made)
    return tuple(
        10.0**k for k in range(math.ceil(math.log10(low)), math.ceil(math.log10(high)) + 1)
    )


def caption(grid: Crossing, choices: Sequence[Choice], left: str, sure: float) -> str:
    """Return what chose, what compares, on how much, and what was left out; or why it is empty."""
    if not choices:
        why = grid.made.why or "no point has an interval, and that takes three draws"
        text = f"Nobody can be called a winner: {why.rstrip('.')}."
        return f"{text} {left}".strip()
    used = [grid.made.estimates[c.place] for c in choices]
    seen = [e.validation_rows for e in used if math.isfinite(e.validation)]
    free = len(seen) < len(used)
    chosen = (
        f"on validation ({span(seen)} rows, the lower end of the score's interval)"
        if seen
        else "by no score"
    )
    out = [
        f"Within a procedure the point is chosen {chosen}; procedures are compared on test "
        f"({max(e.test_rows for e in used):,} rows) over {max(e.draws for e in used)} draws, in "
        f"{len(grid.made.resampled):,} resamples of both.",
        f"Hatched: nobody wins {100 * sure:g} % of them with a paired interval that excludes 0.",
        "What needs no labels is chosen by no score: its largest model stands." if free else "",
        left,
        UNCOUNTED,
    ]
    return " ".join(part for part in out if part)


def _words(e: Estimate, model: str, labels: float, knobs: str) -> str:
    used = f"{labels:,.0f} labels" if labels else "no labels"
    whose = ", ".join([model, used, *([knobs] if knobs else [])])
    return f"{whose}: {e.score:.3f} [{e.low:.3f}, {e.high:.3f}]"
