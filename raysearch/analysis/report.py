"""A close look at one point: by class, by pair of classes, by confidence, by labels, by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysearch import scores
from raysearch.analysis.calibrated import Calibration, Spread, calibrated, spread_of
from raysearch.analysis.classification_report import Hard, confusion, furthest, hardest, per_class
from raysearch.analysis.confirmation import Confirmation, Estimate, confirmation
from raysearch.analysis.report_subject import Draw, Subject, subject
from raysearch.analysis.run import Run
from raysearch.analysis.winners import winners
from raysearch.outputs.calibration import softmax

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """How one class fares."""

    name: str
    precision: Spread
    recall: Spread
    f1: Spread
    support: int
    """Test rows of the class, each counted once."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The best on validation of one label budget, for the method and model of the report."""

    point_id: str
    labels: float
    """Distinct labels used, validation included."""
    score: float
    """On test: confirmed, else of its one draw."""
    low: float | None
    high: float | None
    """95 % interval over draws and rows; None where not confirmed."""
    draws: int
    """Fresh draws; 0: not confirmed."""


@dataclass(frozen=True, slots=True)
class Report:
    """Contents of the report of one point."""

    about: Subject
    estimate: Estimate | None
    """The confirmed score with its interval; None below three fresh draws."""
    score: str
    scores: dict[str, Spread]
    """By score name, on test."""
    alone: tuple[float, float] | None
    """Of one draw: the main score's 95 % interval over its rows; None of several, or where it has
    no formula."""
    rows: int
    """Test rows, each counted once."""
    classes: tuple[ClassRow, ...]
    """Empty for regression."""
    confusion: npt.NDArray[np.int64]
    """(C, C) counts added up over draws: true classes down, predicted across."""
    calibration: Calibration | None
    curve: tuple[CurvePoint, ...]
    hard: tuple[Hard, ...]
    fit: tuple[Floats, Floats] | None
    """Regression: labels (n,) and mean predictions (n,) of the test rows; None otherwise."""


def report(run: Run, point_id: str, *, hardest_rows: int = 20) -> Report:
    """Build the report of a point of a run.

    Raises:
        InputError: the point is unknown, was not scored on test, or its logits are gone.
    """
    made = confirmation(run)
    at = made.at(point_id)
    about = subject(run, point_id, None if at is None else made.drawn)
    draws, pooled = about.draws, about.folds > 0
    ids = np.concatenate([d.ids for d in draws])
    label = np.concatenate([d.label for d in draws])
    logits = np.concatenate([d.logits for d in draws])
    table: tuple[ClassRow, ...] = ()
    counts = np.zeros((0, 0), np.int64)
    calibration, fit = None, None
    if about.regression:
        hard = furthest(ids, label.astype(np.float64), logits[:, 0], hardest_rows)
        fit = _means(ids, label.astype(np.float64), logits[:, 0])
    else:
        answers = logits.argmax(axis=1)
        sure = softmax(logits).max(axis=1)
        hard = hardest(ids, label, answers, sure, hardest_rows)
        each = np.stack([_counts(d) for d in draws])
        counts = each.sum(axis=0)
        table = _classes(about.names, each, pooled, ids, label)
        calibration = calibrated(draws, pooled)
    return Report(
        about,
        None if at is None else made.estimates[at],
        about.record.score,
        _scores(draws, pooled, about.regression),
        _alone(draws, about.record.score) if len(draws) == 1 else None,
        len(np.unique(ids)),
        table,
        counts,
        calibration,
        curve(run, made, about.record.config.method, about.record.config.rung),
        tuple(hard),
        fit,
    )


def curve(run: Run, made: Confirmation, method: str, model: str) -> tuple[CurvePoint, ...]:
    """Return the score against labels of one method and model: the winner of each label budget.

    Budgets whose winner has no test score are left out.
    """
    won = winners(run.table)
    out = []
    for row in won[(won["method"] == method) & (won["model"] == model)].to_dict("records"):
        at = made.at(str(row["point_id"]))
        if at is not None:
            e = made.estimates[at]
            out.append(
                CurvePoint(e.point_id, float(row["labels"]), e.score, e.low, e.high, e.draws)
            )
        elif np.isfinite(own := float(row["score_test"])):
            name = str(row["point_id"])
            out.append(CurvePoint(name, float(row["labels"]), own, None, None, 0))
    return tuple(sorted(out, key=lambda p: p.labels))


def _counts(draw: Draw) -> npt.NDArray[np.int64]:
    return confusion(draw.logits.argmax(axis=1), draw.label, draw.logits.shape[1])


def _classes(
    names: Sequence[str],
    each: npt.NDArray[np.int64],
    pooled: bool,
    ids: npt.NDArray[np.int64],
    label: npt.NDArray[np.int64],
) -> tuple[ClassRow, ...]:
    by_draw = np.stack([per_class(c) for c in each])  # (k, C, 4)
    whole = per_class(each.sum(axis=0))
    _, first = np.unique(ids, return_index=True)
    support = np.bincount(label[first], minlength=len(names))
    out = []
    for c, name in enumerate(names):
        spreads = [
            spread_of(by_draw[:, c, j].tolist(), float(whole[c, j]) if pooled else None)
            for j in range(3)
        ]
        out.append(ClassRow(name, spreads[0], spreads[1], spreads[2], int(support[c])))
    return tuple(out)


def _scores(draws: Sequence[Draw], pooled: bool, regression: bool) -> dict[str, Spread]:
    kind = scores.NUMBERS if regression else scores.CLASSES
    out = {}
    for score in scores.applying(kind, draws[0].logits.shape[1]):
        if score.soft:
            continue
        parts = [score.parts(d.logits, d.label, centred=not pooled) for d in draws]
        each = [score.whole([p]) for p in parts]
        out[score.name] = spread_of(each, score.whole(parts) if pooled else None)
    return out


def _alone(draws: Sequence[Draw], name: str) -> tuple[float, float] | None:
    score, draw = scores.SCORES.get(name), draws[0]
    if score is None:
        return None
    parts = score.parts(draw.logits, draw.label)
    return score.interval(score.whole([parts]), len(parts), parts)


def _means(ids: npt.NDArray[np.int64], label: Floats, predicted: Floats) -> tuple[Floats, Floats]:
    """Return labels and mean predictions by row (n,), in the order of the row numbers."""
    _, first, place = np.unique(ids, return_index=True, return_inverse=True)
    total = np.bincount(place, weights=predicted)
    return label[first], total / np.bincount(place)
