"""One function a score: its value from predictions and labels, and what else is known of it.

A score brings its bounds, the parts of each row that decide it, and its interval. Records, tables,
bootstraps, cascades, pages and the command line take all of it from here: to add a score, write
one decorated function (docs/adding-a-score.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from raysearch import score_intervals as intervals
from raysearch import score_sums
from raysearch.errors import unknown
from raysearch.score_intervals import Ends, Floats, Formula
from raysearch.score_sums import Labels, Sums

Value: TypeAlias = Callable[[Floats, Labels], float]

CLASSES = "classification"
NUMBERS = "regression"
UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Score:
    """A named number of predictions and labels."""

    name: str
    label: str
    """For people."""
    kind: str
    """What is predicted: `CLASSES` or `NUMBERS`."""
    tldr: str
    of: Value
    """(logits (n, C), labels (n,)) -> the score; for regression the logits are numbers (n, 1)."""
    maximise: bool = True
    """Whether larger is better; one that is not cannot be a task's main score."""
    bounds: Ends = UNBOUNDED
    classes: int | None = None
    """How many classes it takes; None: any number."""
    soft: bool = False
    """Whether it reads probabilities, not the predicted class alone."""
    sums: Sums | None = None
    """How sums over rows decide it; None where they do not."""
    reweighted: Callable[[Floats, Floats], Floats] | None = None
    """Without sums: (rows (n, C + 1), logits and label, weights (b, n)) -> scores (b,)."""
    formula: Formula | None = None
    """Of its interval from score and rows alone; None where there is no honest one."""

    def parts(self, logits: Floats, labels: Labels, *, centred: bool = True) -> Floats:
        """Return what `weighted` takes of each row (n, f).

        Args:
            logits: (n, C). Not changed.
            labels: (n,). Not changed.
            centred: whether numbers may get an origin and a unit of their own, which keeps digits
                of sums. Parts of several calls that are joined need one origin: False.
        """
        if self.sums is not None:
            return self.sums.parts(logits, labels, centred)
        return np.column_stack([logits, labels]).astype(np.float64)

    def weighted(self, parts: Floats, weights: Floats) -> Floats:
        """Return the scores (b,) of rows that are taken `weights` (b, n) times each.

        By sums, or by the score's own `reweighted`. Without either the rows are repeated and
        scored anew, right for any score: b calls.
        """
        if self.sums is not None:
            return self.sums.total(weights @ parts, weights.sum(axis=1))
        if self.reweighted is not None:
            return self.reweighted(parts, weights)
        dtype = np.int64 if self.kind == CLASSES else np.float64
        taken = (np.repeat(parts, w.astype(np.int64), axis=0) for w in weights)
        each = [self.of(p[:, :-1], p[:, -1].astype(dtype)) if len(p) else 0.0 for p in taken]
        return np.array(each)

    def whole(self, calls: Sequence[Floats]) -> float:
        """Return the score of all rows together, from the parts of one or several calls."""
        if self.sums is None:
            rows = np.vstack(calls)
            return float(self.weighted(rows, np.ones((1, len(rows))))[0])
        total = np.sum([parts.sum(axis=0) for parts in calls], axis=0)
        return float(self.sums.total(total, np.array(sum(map(len, calls)))))

    def interval(self, value: float, rows: int, parts: Floats | None = None) -> Ends | None:
        """Return the 95 % interval over the rows of one draw; None where there is no formula.

        Args:
            value: the score.
            rows: how many rows it is computed on.
            parts: of these rows (n, f), where available: some intervals need them.
        """
        if parts is not None and self.sums is not None and self.sums.interval is not None:
            return self.sums.interval(parts)
        return None if self.formula is None else self.formula.interval(value, rows)


SCORES: dict[str, Score] = {}
"""Every score by name."""


def score(kind: str, *, label: str = "", **more: Any) -> Callable[[Value], Value]:
    """Register the decorated function as the score of its own name; `more` are `Score`'s fields."""

    def register(of: Value) -> Value:
        tldr = (of.__doc__ or "").strip().partition("\n")[0]
        name = of.__name__
        SCORES[name] = Score(name, label or name.replace("_", " "), kind, tldr, of, **more)
        return of

    return register


def get(name: str, where: str = "scores") -> Score:
    """Return the score of that name; InputError with the nearest name otherwise."""
    if name not in SCORES:
        raise unknown(where, "score", name, SCORES)
    return SCORES[name]


def main_scores() -> tuple[str, ...]:
    """Return the names that a task's main score may have: of those larger is better."""
    return tuple(name for name, s in SCORES.items() if s.maximise)


def applying(kind: str, classes: int) -> list[Score]:
    """Return the scores that predictions of that kind, of so many classes, can have."""
    return [s for s in SCORES.values() if s.kind == kind and s.classes in (None, classes)]


def unsuitable_reason(name: str, classes: int) -> str:
    """Return why a task of so many classes (of none: a regression) cannot have that main score.

    >>> unsuitable_reason("f1", 3)
    'f1 takes 2 classes, the task has 3'
    """
    wanted = SCORES[name].classes
    if wanted is None or wanted == classes:
        return ""
    return f"{name} takes {wanted} classes, the task has {classes}"


def bounds(name: str) -> Ends:
    """Return the bounds of a score; infinite ones for an unknown name."""
    return SCORES[name].bounds if name in SCORES else UNBOUNDED


def formula_of(name: str, lowest: float, highest: float) -> Formula | None:
    """Return the formula for scores between these; None where there is none, or they are outside.

    A name not known here, as a run of another version may have, is a share or a correlation by
    its values.
    """
    if name in SCORES:
        known = SCORES[name].formula
        return known if known and known.low <= lowest and highest <= known.high else None
    if not -1 <= lowest <= highest <= 1:
        return None
    return intervals.SHARE if lowest >= 0 else intervals.FISHER


@score(CLASSES, bounds=(0.0, 1.0), sums=score_sums.RIGHT, formula=intervals.SHARE)
def accuracy(logits: Floats, labels: Labels) -> float:
    """Share of rows whose largest logit is the label's; ties go to the lower class.

    >>> accuracy(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))
    0.5
    """
    return float((logits.argmax(axis=1) == labels).mean())


@score(
    CLASSES,
    label="macro-F1",
    bounds=(0.0, 1.0),
    sums=score_sums.MACRO_F1,
    formula=intervals.SHARE,  # an approximation
)
def macro_f1(logits: Floats, labels: Labels) -> float:
    """Mean F1 of the classes that occur in labels or predictions."""
    hit, predicted, true = np.split(score_sums.counts(logits, labels), 3)
    present = predicted + true > 0
    return float((2 * hit[present] / (predicted + true)[present]).mean())


@score(
    CLASSES,
    label="MCC",
    bounds=(-1.0, 1.0),
    sums=score_sums.MCC,
    formula=intervals.BALANCED_MCC,
)
def mcc(logits: Floats, labels: Labels) -> float:
    """Matthews correlation of predictions and labels; 0 where either is one class alone.

    Source: Gorodkin 2004, Computational Biology and Chemistry 28.
    """
    sums = score_sums.counts(logits, labels)
    return float(score_sums.MCC.total(sums, np.array(float(len(labels)))))


@score(
    CLASSES,
    label="F1",
    classes=2,
    bounds=(0.0, 1.0),
    sums=score_sums.F1,
    formula=intervals.BALANCED_F1,
)
def f1(logits: Floats, labels: Labels) -> float:
    """F1 of the second of two classes, the positive one; 0 where it never occurs.

    Source: arXiv:1804.07461 (GLUE), for MRPC and QQP.

    >>> f1(np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), np.array([1, 0, 0])).__round__(3)
    0.667
    """
    parts = score_sums.of_second(logits, labels)
    return float(score_sums.F1.total(parts.sum(axis=0), np.array(float(len(labels)))))


def _surprise(logits: Floats, labels: Labels, centred: bool = True) -> Floats:
    """Return the negative log-likelihood of each label (n, 1) [nats]."""
    z = logits.astype(np.float64)
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    of_label: Floats = -log_p[np.arange(len(labels)), labels.astype(np.int64)]
    return of_label[:, None]


@score(
    CLASSES,
    maximise=False,
    bounds=(0.0, math.inf),
    soft=True,
    sums=Sums(_surprise, score_sums.RIGHT.total),
)
def nll(logits: Floats, labels: Labels) -> float:
    """Mean negative log-likelihood of the labels [nats]."""
    return float(_surprise(logits, labels).mean())


@score(
    NUMBERS,
    label="Pearson's r",
    bounds=(-1.0, 1.0),
    sums=score_sums.CORRELATION,
    formula=intervals.FISHER,
)
def pearson(logits: Floats, labels: Labels) -> float:
    """Pearson's correlation of predictions and labels; 0 where either is constant."""
    x, y = logits[:, 0].astype(np.float64), labels.astype(np.float64)
    if len(y) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


@score(
    NUMBERS,
    label="Spearman's rho",
    bounds=(-1.0, 1.0),
    reweighted=score_sums.rank_correlation,
    formula=intervals.RANKS,
)
def spearman(logits: Floats, labels: Labels) -> float:
    """Spearman's rank correlation, ties at their mean rank; 0 where either is constant.

    >>> spearman(np.array([[1.0], [2.0], [9.0]]), np.array([0.0, 2.0, 3.0])).__round__(6)
    1.0
    """
    rows = np.column_stack([logits[:, 0], labels]).astype(np.float64)
    return float(score_sums.rank_correlation(rows, np.ones((1, len(rows))))[0])


@score(NUMBERS, maximise=False, bounds=(0.0, math.inf), sums=score_sums.SQUARES)
def mse(logits: Floats, labels: Labels) -> float:
    """Mean squared error."""
    return float(((logits[:, 0].astype(np.float64) - labels.astype(np.float64)) ** 2).mean())


DEFAULT = accuracy.__name__
"""The main score of a task that names none."""
UNEVEN = macro_f1.__name__
"""That of own data whose classes are of very different sizes."""
NUMBER = pearson.__name__
"""That of own data whose labels are numbers."""
