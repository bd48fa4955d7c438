"""What each row adds to a score, and scores from weighted sums of it.

Rows that are taken again and again, as a bootstrap does, need their predictions read once alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from raysearch.score_intervals import Ends, Floats, f1_interval, mcc_interval

Labels: TypeAlias = npt.NDArray[Any]
"""Class ids (n,) or, for regression, numbers (n,)."""


@dataclass(frozen=True, slots=True)
class Sums:
    """A score that sums over rows decide."""

    parts: Callable[[Floats, Labels, bool], Floats]
    """(logits (n, C), labels (n,), centred) -> numbers of each row (n, f)."""
    total: Callable[[Floats, Floats], Floats]
    """(sums of the parts (..., f), rows (...)) -> scores (...)."""
    interval: Callable[[Floats], Ends] | None = None
    """Parts (n, f) of one draw -> a 95 % interval, where they give more than score and rows do."""


def right(logits: Floats, labels: Labels, centred: bool = True) -> Floats:
    """Return whether the largest logit is the label's, (n, 1); ties go to the lower class."""
    out: Floats = (logits.argmax(axis=1) == labels).astype(np.float64)
    return out[:, None]


def by_class(logits: Floats, labels: Labels, centred: bool = True) -> Floats:
    """Return what is right, predicted and true, one-hot each (n, 3 C)."""
    one_hot, true = np.eye(logits.shape[1]), labels.astype(np.int64)
    hit = one_hot[true] * right(logits, labels)
    return np.hstack([hit, one_hot[logits.argmax(axis=1)], one_hot[true]])


def counts(logits: Floats, labels: Labels) -> Floats:
    """Return the sums of `by_class` (3 C,). O(n + C)."""
    predicted, true = logits.argmax(axis=1), labels.astype(np.int64)
    wide = max(logits.shape[1], int(true.max(initial=0)) + 1)
    each = [np.bincount(x, minlength=wide) for x in (true[predicted == true], predicted, true)]
    return np.hstack(each).astype(np.float64)


def of_second(logits: Floats, labels: Labels, centred: bool = True) -> Floats:
    """Return what is right, predicted and true of the second class (n, 3)."""
    predicted, true = logits.argmax(axis=1) == 1, labels == 1
    return np.stack([predicted & true, predicted, true], axis=1).astype(np.float64)


def moments(logits: Floats, labels: Labels, centred: bool = False) -> Floats:
    """Return prediction, label, their squares and product, and 1 (n, 6).

    Centred they are in units of the labels' spread about their mean, so that squares keep their
    digits.
    """
    x, y = logits[:, 0].astype(np.float64), labels.astype(np.float64)
    if centred and len(y):
        origin, unit = y.mean(), float(y.std()) or 1.0
        x, y = (x - origin) / unit, (y - origin) / unit
    return np.stack([x, y, x * x, y * y, x * y, np.ones(len(x))], axis=1)


def _mean(sums: Floats, rows: Floats) -> Floats:
    return np.asarray(sums[..., 0] / np.maximum(rows, 1e-12))


def _macro_f1(sums: Floats, rows: Floats) -> Floats:
    hit, predicted, true = np.split(sums, 3, axis=-1)
    both = predicted + true
    f1 = np.where(both > 0, 2 * hit / np.maximum(both, 1e-12), 0.0)
    return np.asarray(f1.sum(axis=-1) / np.maximum((both > 0).sum(axis=-1), 1))


def _f1(sums: Floats, rows: Floats) -> Floats:
    hit, both = sums[..., 0], sums[..., 1] + sums[..., 2]
    return np.where(both > 0, 2 * hit / np.maximum(both, 1e-12), 0.0)


def _mcc(sums: Floats, rows: Floats) -> Floats:
    hit, predicted, true = np.split(sums, 3, axis=-1)
    n = np.asarray(rows, np.float64)
    top = hit.sum(axis=-1) * n - (predicted * true).sum(axis=-1)
    spread = (n * n - (predicted * predicted).sum(axis=-1)) * (n * n - (true * true).sum(axis=-1))
    return np.where(spread > 1e-9, top / np.sqrt(np.maximum(spread, 1e-9)), 0.0)


def _correlation(sums: Floats, rows: Floats) -> Floats:
    x, y, xx, yy, xy, n = np.moveaxis(sums, -1, 0)
    top = n * xy - x * y
    bottom = np.sqrt(np.maximum(n * xx - x * x, 0) * np.maximum(n * yy - y * y, 0))
    return np.where(bottom > 1e-12, top / np.maximum(bottom, 1e-12), 0.0)


def _squares(sums: Floats, rows: Floats) -> Floats:
    _, _, xx, yy, xy, n = np.moveaxis(sums, -1, 0)
    return np.asarray((xx - 2 * xy + yy) / np.maximum(n, 1e-12))


RIGHT = Sums(right, _mean)
MACRO_F1 = Sums(by_class, _macro_f1)
F1 = Sums(of_second, _f1, f1_interval)
MCC = Sums(by_class, _mcc, mcc_interval)
CORRELATION = Sums(moments, _correlation)
SQUARES = Sums(lambda logits, labels, centred: moments(logits, labels), _squares)


def rank_correlation(parts: Floats, weights: Floats) -> Floats:
    """Return Spearman's correlation (b,) of rows (n, 2) taken `weights` (b, n) times each.

    No sum over rows decides it: a row's rank hangs on which others are taken. So every resample is
    ranked anew, ties at their mean rank; the rows are sorted once for all. O(n log n + b n).
    """
    n = weights.sum(axis=1, keepdims=True)
    x, y = (_ranks(column, weights) - (n + 1) / 2 for column in parts.T)
    top = (weights * x * y).sum(axis=1)
    bottom = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
    return np.where(bottom > 1e-9, top / np.maximum(bottom, 1e-9), 0.0)


def _ranks(column: Floats, weights: Floats) -> Floats:
    """Return mean ranks (b, n), from 1, of a column (n,).

    Its rows are taken `weights` (b, n) times.
    """
    order = np.argsort(column, kind="stable")
    new = np.diff(column[order], prepend=np.nan) != 0
    tied = np.add.reduceat(weights[:, order], np.flatnonzero(new), axis=1)
    middle = tied.cumsum(axis=1) - tied / 2 + 0.5
    out = np.empty_like(weights)
    out[:, order] = middle[:, new.cumsum() - 1]
    return out
