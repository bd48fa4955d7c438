"""Closed-form 95 % intervals of scores over the rows of one draw.

They hold the noise of the rows alone, not that of other draws of data or initialisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ends: TypeAlias = tuple[float, float]

Z95 = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Formula:
    """An interval from a score and the number of its rows alone; the page has it as data."""

    kind: str
    """`binomial` (a share), `stretched` (a share laid over other bounds) or `correlation`."""
    low: float
    high: float
    """Between which the score lies."""
    spread: float = 0.0
    """How the variance differs from the kind's own. Of a share p it is times 1 + spread (1 - p), of
    a correlation r, on the scale of atanh, times 1 + spread r^2."""

    def interval(self, score: float, rows: int) -> Ends:
        """Return the ends: Wilson's for shares, Fisher's z for correlations.

        Source: Wilson 1927, JASA 22; Fisher 1921, Metron 1.

        >>> [round(x, 3) for x in SHARE.interval(0.8, 100)]
        [0.711, 0.867]
        >>> [round(x, 3) for x in FISHER.interval(0.5, 103)]
        [0.339, 0.632]
        """
        if self.kind == "correlation":
            if rows <= 3 or abs(score) >= 1:
                return (-1.0, 1.0) if rows <= 3 else (score, score)
            half = Z95 / math.sqrt(rows - 3) * math.sqrt(1 + self.spread * (score * score))
            return math.tanh(math.atanh(score) - half), math.tanh(math.atanh(score) + half)
        wide = self.high - self.low
        p = min(max((score - self.low) / wide, 0.0), 1.0)
        low, high = wilson(p, rows / (1 + self.spread * (1 - p)))
        return self.low + wide * low, self.low + wide * high


SHARE = Formula("binomial", 0.0, 1.0)
FISHER = Formula("correlation", -1.0, 1.0)
BALANCED_MCC = Formula("stretched", -1.0, 1.0)
"""Where two classes are as many, and predicted as often, MCC is 2 p - 1 of the share p that
is right.

Of more classes it is too wide. Where a class is rare it is too narrow: 92 of 100 such intervals
hold the truth at 30 % of the rows and 75 at 10 %. `mcc_interval` holds 95, but takes the rows.
"""
BALANCED_F1 = Formula("binomial", 0.0, 1.0, 1.0)
"""Where half the rows are positive and as many are predicted so: the variance is F (1 - F) (2 - F)
over the rows. It is too wide where more are positive (98 of 100 at 68 %) and too narrow where fewer
are (91 at 37 %, 63 at 10 %). `f1_interval` holds 95, but takes the rows."""
RANKS = Formula("correlation", -1.0, 1.0, 0.5)
"""Of a rank correlation. Source: Bonett and Wright 2000, Psychometrika 65."""


def wilson(p: float, rows: float) -> Ends:
    """Return Wilson's interval of a share p of so many rows."""
    scale = 1 + Z95**2 / rows
    middle = (p + Z95**2 / (2 * rows)) / scale
    half = Z95 / scale * math.sqrt(p * (1 - p) / rows + Z95**2 / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def f1_interval(parts: Floats) -> Ends:
    """Return the interval of F1 from hits, predicted and true positives of each row (n, 3).

    Of the rows that are or are called positive, a share J is both, and F1 is 2 J / (1 + J): the
    interval is Wilson's of J. No assumption about how many rows are positive is made.

    Source: arXiv:2309.14621 (Wilson indirect method).

    >>> [round(x, 3) for x in f1_interval(np.repeat([[1.0, 1, 1], [0, 1, 0]], [80, 20], axis=0))]
    [0.831, 0.929]
    """
    hit, predicted, true = parts.sum(axis=0).tolist()
    rows = predicted + true - hit
    if rows == 0:
        return 0.0, 1.0
    low, high = wilson(hit / rows, rows)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def mcc_interval(parts: Floats) -> Ends:
    """Return the interval of MCC from one-hot hits, predictions and labels of each row (n, 3 C).

    By the delta method on Fisher's scale. Of two classes it is that of the phi coefficient.

    Source: Bishop, Fienberg and Holland 1975, Discrete Multivariate Analysis, chapter 11.
    """
    n = len(parts)
    hit, guess, true = np.split(parts, 3, axis=1)
    p, t = guess.mean(axis=0), true.mean(axis=0)
    a, b = 1 - float(p @ p), 1 - float(t @ t)
    if n <= 3 or a * b < 1e-12:
        return -1.0, 1.0
    top, bottom = float(hit.sum()) / n - float(p @ t), math.sqrt(a * b)
    r = top / bottom
    if abs(r) >= 1 - 1e-12:
        return BALANCED_MCC.interval(r, n)  # no variance: the delta method does not apply
    slope = (hit.sum(axis=1) - guess @ t - true @ p) / bottom + r * (guess @ p / a + true @ t / b)
    half = Z95 * float(slope.std()) / math.sqrt(n) / (1 - r * r)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
