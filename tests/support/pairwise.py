"""Few combinations in which any two values of two factors meet, of the many that there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from typing import Any


def pairwise(*factors: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return combinations of one value of each factor that hold every pair of values.

    Each next one is the combination with the most pairs that are missing, the first of equals.

    >>> pairwise("ab", (1, 2), "xy")
    [('a', 1, 'x'), ('a', 2, 'y'), ('b', 1, 'y'), ('b', 2, 'x')]
    """
    cases = list(product(*(range(len(f)) for f in factors)))
    missing = {pair for one in cases for pair in _pairs(one)}
    out = []
    while missing:
        best = max(cases, key=lambda one: len(missing.intersection(_pairs(one))))
        missing.difference_update(_pairs(best))
        out.append(tuple(f[i] for f, i in zip(factors, best, strict=True)))
    return out


def _pairs(places: Sequence[int]) -> Iterable[tuple[tuple[int, int], tuple[int, int]]]:
    """Two factors and the place of each one's value: every pair of them."""
    return combinations(enumerate(places), 2)
