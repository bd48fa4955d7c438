"""Intervals of one score over the rows of one draw, by formula.

Where there are fresh draws, `raysearch.analysis.bootstrap` takes their place.
"""

from __future__ import annotations

import math

from raysearch import scores
from raysearch.score_intervals import Formula


def interval(score: float, rows: int, name: str = scores.DEFAULT) -> tuple[float, float]:
    """Return a 95 % interval of one score over the rows of one draw, by the score's formula.

    It holds the noise of the rows alone, not that of other draws of data or initialisation.

    Raises:
        ValueError: no rows, or a score that has no formula.

    >>> [round(x, 3) for x in interval(0.8, 100)]
    [0.711, 0.867]
    >>> [round(x, 3) for x in interval(0.5, 103, "pearson")]
    [0.339, 0.632]
    """
    if rows < 1:
        raise ValueError(f"interval: at least 1 row needed, {rows} given")
    known = scores.SCORES.get(name)
    formula = known.formula if known else scores.formula_of(name, score, score)
    if formula is None:
        raise ValueError(f"interval: score '{name}' of {score} has no formula")
    return formula.interval(score, rows)


def careful(validation: float, rows: int, score: str) -> float:
    """Return what a validation score is worth for a choice: the lower end of its interval.

    Small label budgets have few validation rows, and the best of many scores on ten rows is luck.
    Among points of equally many rows the order is that of the scores.

    >>> round(careful(0.9, 10, "accuracy"), 2), round(careful(0.8, 256, "accuracy"), 2)
    (0.6, 0.75)
    """
    known = scores.SCORES.get(score)
    if known is None or known.formula is None or rows < 1:
        return validation
    return known.formula.interval(validation, rows)[0]


def difference(
    a: float, rows_a: int, b: float, rows_b: int, formula: Formula
) -> tuple[float, float]:
    """Return a 95 % interval of a - b, taken as independent (wider than a paired one).

    Newcombe's hybrid: each score's own `interval` joined, so that it works near 0 and 1.

    Source: Newcombe 1998, Statistics in Medicine 17, method 10.

    >>> from raysearch.score_intervals import SHARE
    >>> [round(x, 3) for x in difference(0.8, 100, 0.7, 100, SHARE)]
    [-0.02, 0.217]
    """
    low_a, high_a = formula.interval(a, rows_a)
    low_b, high_b = formula.interval(b, rows_b)
    d = a - b
    return d - math.hypot(a - low_a, high_b - b), d + math.hypot(high_a - a, b - low_b)
