"""What every threshold of a two-model cascade comes to: pure functions on arrays.

A text stays with the first model where its confidence reaches the threshold, else the second
answers. Rows are sorted into levels (how many of the thresholds they reach) once, so that all
thresholds together cost one pass.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysearch.analysis.bootstrap import features, from_sums
from raysearch.engine.calibration import softmax
from raysearch.engine.leaving import grid

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


def thresholds(classes: int) -> Floats:
    """The confidences that are tried, ascending: those of an early exit, all and none left out.

    >>> len(thresholds(2)), thresholds(2)[[0, -1]].tolist()
    (22, [0.54167, 0.99995])
    """
    tried = (k["threshold"] for k in grid(classes, 2) if k["criterion"] == "confidence")
    return np.array(sorted(t for t in tried if isinstance(t, int | float) and t > 0))


def confidence(logits: Logits, temperature: float) -> Floats:
    """The largest probability (n,) of logits (n, C) over a temperature, as an export has it.

    >>> confidence(np.log(np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)), 1.0).round(3).tolist()
    [0.9, 0.8]
    """
    cold = np.asarray(logits, np.float32) / np.float32(temperature)
    return np.asarray(softmax(cold).max(axis=1))


def levels(sure: Floats, tried: Floats) -> Ints:
    """How many of the thresholds (T,), ascending, each confidence (n,) reaches. O(n log T).

    >>> levels(np.array([0.4, 0.5, 0.95]), np.array([0.5, 0.9])).tolist()
    [0, 1, 2]
    """
    return np.asarray(np.searchsorted(tried, sure, side="right"), np.int64)


def sums_by_level(
    level: Ints, predicted: Ints, label: Ints, *, many: int, classes: int, score: str
) -> Floats:
    """Sums (many, f) over the rows of each level of what decides a score. O(n + many f).

    Their total over levels is that of raysearch.analysis.bootstrap.features over the rows.

    >>> level, label = np.array([0, 1, 1]), np.array([1, 0, 1])
    >>> sums_by_level(level, label, label, many=2, classes=2, score="accuracy").ravel().tolist()
    [1.0, 2.0]

    Raises:
        ValueError: a score that is none of classes.
    """
    right = (predicted == label).astype(np.float64)
    if score == "accuracy":
        return np.asarray(np.bincount(level, right, minlength=many)[:, None], np.float64)
    if score not in ("macro_f1", "mcc"):
        raise ValueError(f"score '{score}': a cascade needs classes: accuracy, macro_f1 or mcc")
    at, size, shape = level * classes, many * classes, (many, classes)
    hit = np.bincount(at + label, right, minlength=size)
    said = np.bincount(at + predicted, minlength=size)
    true = np.bincount(at + label, minlength=size)
    return np.hstack([part.reshape(shape).astype(np.float64) for part in (hit, said, true)])


def swept(first: Floats, second: Floats, counts: Ints, score: str) -> tuple[Floats, Floats]:
    """Scores and shares that go on, both (T,), of each of T thresholds, ascending. O(T f).

    Args:
        first: sums (T + 1, f) by level where the first model answers. Not changed.
        second: the same where the second answers.
        counts: rows (T + 1,) of each level.
        score: accuracy, macro_f1 or mcc.

    Returns:
        At threshold t the rows of levels 0..t go on.

    >>> first, second = np.array([[0.0], [1.0]]), np.array([[2.0], [0.0]])
    >>> [out.tolist() for out in swept(first, second, np.array([2, 2]), "accuracy")]
    [[0.75], [0.5]]
    """
    rows = counts.sum()
    stay = first[::-1].cumsum(axis=0)[::-1][1:]
    gone = second.cumsum(axis=0)[:-1]
    whole = np.full(len(gone), float(rows))
    return from_sums(stay + gone, whole, score), counts.cumsum()[:-1] / rows


def judged(
    first: Logits,
    second: Logits,
    sure: Floats,
    threshold: float,
    label: Ints,
    score: str,
) -> Floats:
    """Per-row numbers (n, f) of a cascade, as the bootstrap takes them.

    Args:
        first: logits (n, C) of the model that is asked first. Not changed.
        second: logits (n, C) of the other.
        sure: confidences (n,) of the first.
        threshold: below which the second answers.
        label: class ids (n,).
        score: accuracy, macro_f1 or mcc.

    >>> yes, no = np.array([[0.0, 1.0]] * 2, np.float32), np.array([[1.0, 0.0]] * 2, np.float32)
    >>> judged(yes, no, np.array([0.9, 0.6]), 0.8, np.array([1, 1]), "accuracy").ravel().tolist()
    [1.0, 0.0]
    """
    answers = np.where((sure >= threshold)[:, None], first, second)
    return features(answers.astype(np.float64), label, score)
