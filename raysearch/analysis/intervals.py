"""Intervals of one score over the rows of one draw, by formula.

Where there are fresh draws, `raysearch.analysis.bootstrap` takes their place.
"""

from __future__ import annotations

import math

from raysearch.analysis.bootstrap import BOUNDS, Z95


def interval(score: float, rows: int, name: str = "accuracy") -> tuple[float, float]:
    """Return a 95 % interval of one score over the rows of one draw.

    Wilson's for shares (accuracy; for F1 scores an approximation), Fisher's z for correlations.
    It holds the noise of the rows alone, not that of other draws of data or initialisation.

    Source: Wilson 1927, JASA 22; Fisher 1921, Metron 1.

    >>> [round(x, 3) for x in interval(0.8, 100)]
    [0.711, 0.867]
    >>> [round(x, 3) for x in interval(0.5, 103, "pearson")]
    [0.339, 0.632]
    """
    if rows < 1:
        raise ValueError(f"interval: at least 1 row needed, {rows} given")
    if _is_correlation(name) or score < 0:
        if rows <= 3 or abs(score) >= 1:
            return (-1.0, 1.0) if rows <= 3 else (score, score)
        half = Z95 / math.sqrt(rows - 3)
        return math.tanh(math.atanh(score) - half), math.tanh(math.atanh(score) + half)
    p = min(score, 1.0)
    scale = 1 + Z95**2 / rows
    middle = (p + Z95**2 / (2 * rows)) / scale
    half = Z95 / scale * math.sqrt(p * (1 - p) / rows + Z95**2 / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def careful(validation: float, rows: int, score: str) -> float:
    """What a validation score is worth for a choice: the lower end of its interval over its rows.

    Small label budgets have few validation rows, and the best of many scores on ten rows is luck.
    Among points of equally many rows the order is that of the scores.

    >>> round(careful(0.9, 10, "accuracy"), 2), round(careful(0.8, 256, "accuracy"), 2)
    (0.6, 0.75)
    """
    known = score in BOUNDS and rows > 0
    return interval(validation, rows, score)[0] if known else validation


def difference(
    a: float, rows_a: int, b: float, rows_b: int, name: str = "accuracy"
) -> tuple[float, float]:
    """Return a 95 % interval of a - b, taken as independent (wider than a paired one).

    Newcombe's hybrid: each score's own `interval` joined, so that it works near 0 and 1.

    Source: Newcombe 1998, Statistics in Medicine 17, method 10.

    >>> [round(x, 3) for x in difference(0.8, 100, 0.7, 100)]
    [-0.02, 0.217]
    """
    low_a, high_a = interval(a, rows_a, name)
    low_b, high_b = interval(b, rows_b, name)
    d = a - b
    return d - math.hypot(a - low_a, high_b - b), d + math.hypot(high_a - a, b - low_b)


def _is_correlation(name: str) -> bool:
    return any(word in name for word in ("pearson", "spearman", "matthews", "corr"))
