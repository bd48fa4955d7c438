"""Where a classifier or a regressor goes wrong: by class, by pair of classes, by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def confusion(predicted: Ints, label: Ints, classes: int) -> Ints:
    """Count answers by true class (rows) and predicted class (columns): (C, C). O(n).

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    flat = label.astype(np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def per_class(counts: Ints) -> Floats:
    """Return precision, recall, F1 and support (C, 4) from a confusion matrix (C, C).

    As in scikit-learn, precision of a class that occurs and is never predicted is 0; NaN stands
    where a number has no meaning: recall of a class that does not occur, precision and F1 of one
    that neither occurs nor is predicted.

    >>> per_class(np.array([[3, 1], [2, 4]])).round(3).tolist()
    [[0.6, 0.75, 0.667, 4.0], [0.8, 0.667, 0.727, 6.0]]
    """
    hit = np.diag(counts).astype(np.float64)
    predicted, true = counts.sum(axis=0), counts.sum(axis=1)
    present = predicted + true > 0
    nothing = np.full(len(hit), np.nan)
    precision = np.divide(hit, predicted, out=np.where(present, 0.0, np.nan), where=predicted > 0)
    recall = np.divide(hit, true, out=nothing.copy(), where=true > 0)
    f1 = np.divide(2 * hit, predicted + true, out=nothing.copy(), where=present)
    return np.stack([precision, recall, f1, true.astype(np.float64)], axis=1)


def normalised(counts: Ints) -> Floats:
    """Return shares of each true class (rows add up to 1; all NaN for a class that does not occur).

    >>> normalised(np.array([[3, 1], [0, 0]])).tolist()
    [[0.75, 0.25], [nan, nan]]
    """
    total = counts.sum(axis=1, keepdims=True)
    share = np.full(counts.shape, np.nan)
    return np.asarray(np.divide(counts, total, out=share, where=total > 0))


@dataclass(frozen=True, slots=True)
class Hard:
    """A row that the draws get wrong."""

    id: int
    """Row number, as the logits have it."""
    wrong: int
    draws: int
    """That judged the row."""
    label: float
    """Class id, or the number."""
    prediction: float
    """The commonest wrong class (ties: the lower id), or the mean of the predicted numbers."""
    confidence: float
    """Mean probability of the wrong answers; for numbers the mean distance to the label."""


def hardest(
    ids: Ints, label: Ints, predicted: Ints, confidence: Floats, most: int = 20
) -> list[Hard]:
    """Return the rows most draws get wrong, of those the most confident mistakes first.

    The draws stand one after the other: every array is (n,), a row number occurs once a draw.
    Ties go to the smaller row number. O(n log n).

    >>> h = hardest(np.array([7, 8, 7, 8]), np.array([0, 1, 0, 1]), np.array([1, 1, 1, 0]),
    ...             np.array([0.9, 0.8, 0.7, 0.6]))
    >>> [(r.id, r.wrong, r.draws, round(r.confidence, 3)) for r in h]
    [(7, 2, 2, 0.8), (8, 1, 2, 0.6)]
    """
    rows, first, place = np.unique(ids, return_index=True, return_inverse=True)
    judged = np.bincount(place, minlength=len(rows))
    off = predicted != label
    wrong = np.bincount(place, weights=off, minlength=len(rows))
    sure = np.bincount(place, weights=confidence * off, minlength=len(rows)) / np.maximum(wrong, 1)
    order = np.lexsort([rows, -sure, -wrong / judged])[:most]
    out = []
    for i in order[wrong[order] > 0]:
        answers = predicted[(place == i) & off]
        out.append(
            Hard(
                int(rows[i]),
                int(wrong[i]),
                int(judged[i]),
                float(label[first[i]]),
                float(np.bincount(answers).argmax()),
                float(sure[i]),
            )
        )
    return out


def furthest(ids: Ints, label: Floats, predicted: Floats, most: int = 20) -> list[Hard]:
    """Return the rows whose predicted numbers are furthest off, averaged over draws.

    As `hardest`, for regression: `wrong` is the number of draws.

    >>> [r.id for r in furthest(np.array([1, 2]), np.array([0.0, 0.0]), np.array([0.1, -3.0]))]
    [2, 1]
    """
    rows, first, place = np.unique(ids, return_index=True, return_inverse=True)
    judged = np.bincount(place, minlength=len(rows))
    mean = np.bincount(place, weights=predicted, minlength=len(rows)) / judged
    gap = np.bincount(place, weights=np.abs(predicted - label), minlength=len(rows)) / judged
    order = np.lexsort([rows, -gap])[:most]
    return [
        Hard(
            int(rows[i]),
            int(judged[i]),
            int(judged[i]),
            float(label[first[i]]),
            float(mean[i]),
            float(gap[i]),
        )
        for i in order
    ]
