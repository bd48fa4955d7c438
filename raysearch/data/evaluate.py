"""Scores from logits: the method predicts, the house judges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, matthews_corrcoef

from raysearch.data.rows import Logits


def scores(logits: Logits, label: NDArray[np.int64] | NDArray[np.float32]) -> dict[str, float]:
    """Scores of logits (n, C) against labels (n,); regression when the labels are floats.

    Classification gives accuracy, macro_f1 (over the classes that occur in labels or
    predictions), mcc and nll [nats]; regression gives pearson (0 for a constant prediction) and
    mse. Ties of the largest logit go to the lower class.

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
    if np.issubdtype(label.dtype, np.floating):
        return _regression(logits[:, 0].astype(np.float64), label.astype(np.float64))
    z = logits.astype(np.float64)
    predicted = z.argmax(axis=1)
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return {
        "accuracy": float((predicted == label).mean()),
        "macro_f1": float(f1_score(label, predicted, average="macro", zero_division=0)),
        # scikit-learn warns where one class is all there is, and says 0 as well
        "mcc": float(matthews_corrcoef(label, predicted)) if np.ptp([label, predicted]) else 0.0,
        "nll": float(-log_p[np.arange(len(label)), label].mean()),
    }


def _regression(predicted: NDArray[np.float64], label: NDArray[np.float64]) -> dict[str, float]:
    mse = float(((predicted - label) ** 2).mean())
    if len(label) < 2 or np.ptp(predicted) == 0 or np.ptp(label) == 0:
        return {"pearson": 0.0, "mse": mse}
    return {"pearson": float(np.corrcoef(predicted, label)[0, 1]), "mse": mse}


def majority(
    train: NDArray[np.int64] | NDArray[np.float32], test: NDArray[np.int64] | NDArray[np.float32]
) -> dict[str, float]:
    """Scores of always answering the training labels' commonest class (or their mean)."""
    if np.issubdtype(test.dtype, np.floating):
        return scores(np.full((len(test), 1), float(np.mean(train)), np.float32), test)
    classes = int(max(train.max(initial=0), test.max(initial=0))) + 1
    logits = np.zeros((len(test), classes), np.float32)
    logits[:, int(np.bincount(train.astype(np.int64), minlength=classes).argmax())] = 1
    return scores(logits, test)
