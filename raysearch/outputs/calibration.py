"""Calibration of probabilities: temperature scaling and calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

FEWEST = 30
"""Rows below which a temperature would be fitted to noise."""

COLDEST, HOTTEST = 0.05, 20.0
"""Bounds of a temperature: rows that are all right would give 0."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions of like confidence."""

    count: int
    confidence: float
    """Mean probability of the answer."""
    accuracy: float
    """Share of the answers that are right."""


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return probabilities (n, C) of logits (n, C).

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]], np.float32)).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    z = np.asarray(logits, np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def nll(logits: NDArray[np.float32], label: NDArray[np.int64], temperature: float = 1.0) -> float:
    """Return the mean negative log-likelihood of labels (n,) [nats].

    Under softmax(logits / temperature).

    >>> round(nll(np.array([[2.0, 0.0]], np.float32), np.array([0])), 4)
    0.1269
    """
    z = np.asarray(logits, np.float64) / temperature
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return float(-log_p[np.arange(len(label)), label].mean())


def temperature(logits: NDArray[np.float32], label: NDArray[np.int64]) -> float:
    """Return the T > 0 that minimises the NLL of softmax(logits / T); predictions do not change.

    Source: arXiv:1706.04599 section 4.2. The NLL is convex in 1 / T, so that a bounded search over
    log T finds the minimum. 1.0 below 30 rows, for one column, and where nothing is gained.

    >>> z = np.array([[4.0, 0.0]] * 75 + [[0.0, 4.0]] * 25, np.float32)
    >>> round(temperature(z, np.zeros(100, np.int64)), 3)  # 75 % right: log 3 = 4 / T
    3.641
    """
    if len(label) < FEWEST or logits.shape[1] < 2:
        return 1.0
    fit = minimize_scalar(
        lambda t: nll(logits, label, float(np.exp(t))),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    best = float(np.exp(fit.x))
    return best if nll(logits, label, best) < nll(logits, label) else 1.0


def reliability(
    probabilities: NDArray[np.float64], label: NDArray[np.int64], bins: int = 15
) -> list[Bin]:
    """Return predictions binned by their probability, in `bins` equal steps of (0, 1].

    Empty bins are left out. Ties of the largest probability go to the lower class, as in the
    scores.

    >>> reliability(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]), bins=2)
    [Bin(count=2, confidence=0.75, accuracy=0.5)]
    """
    answer = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    right = answer == label
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return [
        Bin(int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean()))
        for k in range(bins)
        if (inside := place == k).any()
    ]


def ece(probabilities: NDArray[np.float64], label: NDArray[np.int64], bins: int = 15) -> float:
    """Return the expected calibration error.

    |accuracy - confidence| of each bin, weighted by its rows. Source: arXiv:1706.04599 section 2.

    >>> round(ece(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]), bins=2), 3)
    0.25
    """
    table = reliability(probabilities, label, bins)
    n = sum(b.count for b in table)
    return sum(b.count * abs(b.accuracy - b.confidence) for b in table) / n if n else 0.0
