"""Scores from logits; no method computes its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raysearch.data.rows import Logits
from raysearch.scores import CLASSES, NUMBERS, applying


def scores(logits: Logits, label: NDArray[np.int64] | NDArray[np.float32]) -> dict[str, float]:
    """Return the scores of logits (n, C) against labels (n,); regression when these are floats.

    They are those of `raysearch.scores` that so many classes, or numbers, can have.

    >>> s = scores(np.array([[2.0, 0.0], [0.0, 1.0]], np.float32), np.array([0, 0]))
    >>> s["accuracy"]
    0.5

    Raises:
        FloatingPointError: a logit is NaN or infinite.
        ValueError: no rows, or as many labels as rows are not given.
    """
    if len(logits) != len(label) or not len(label):
        raise ValueError(f"scores: {len(logits)} rows of logits against {len(label)} labels")
    if not np.isfinite(logits).all():
        raise FloatingPointError("a prediction is not a finite number")
    kind = NUMBERS if np.issubdtype(label.dtype, np.floating) else CLASSES
    z = logits.astype(np.float64)
    return {s.name: s.of(z, label) for s in applying(kind, logits.shape[1])}


def majority(
    train: NDArray[np.int64] | NDArray[np.float32], test: NDArray[np.int64] | NDArray[np.float32]
) -> dict[str, float]:
    """Return the scores of always predicting the commonest training label (or their mean)."""
    if np.issubdtype(test.dtype, np.floating):
        return scores(np.full((len(test), 1), float(np.mean(train)), np.float32), test)
    classes = int(max(train.max(initial=0), test.max(initial=0))) + 1
    logits = np.zeros((len(test), classes), np.float32)
    logits[:, int(np.bincount(train.astype(np.int64), minlength=classes).argmax())] = 1
    return scores(logits, test)
