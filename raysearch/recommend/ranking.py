"""Which points may be chosen, in which order, and which of them no other beats on both counts.

`panels/assets/answer.js` mirrors this file line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np
import numpy.typing as npt

from raysearch.recommend.points import Points


def eligible(points: Points, fits: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the points a choice may be made from (n,): the confirmed ones where there are any."""
    confirmed = fits & (points.place >= 0)
    return confirmed if bool(confirmed.any()) else fits


def winners(points: Points, x: npt.NDArray[np.float64], fits: npt.NDArray[np.bool_]) -> list[int]:
    """Return the best point on validation of each (method, model, label budget), best first."""
    at = np.flatnonzero(fits)
    ranked = at[np.lexsort((x[at], -points.validation[at]))].tolist()
    keys = zip(points.method[ranked], points.model[ranked], points.budget[ranked], strict=True)
    cell = dict(zip(ranked, keys, strict=True))
    return list(first_of(ranked, cell.__getitem__))


def first_of(ranked: Iterable[int], key: Callable[[int], Hashable]) -> tuple[int, ...]:
    """Return the first of each key, in order."""
    seen: dict[Hashable, int] = {}
    for i in ranked:
        seen.setdefault(key(i), i)
    return tuple(seen.values())


def step_frontier(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], fits: npt.NDArray[np.bool_]
) -> tuple[int, ...]:
    """Return the points that no other beats on both: cheapest first, each better than all before.

    >>> step_frontier(np.array([1.0, 3.0, 2.0]), np.array([0.5, 0.7, 0.4]), np.ones(3, bool))
    (0, 1)
    """
    at = np.flatnonzero(fits)
    ranked = at[np.lexsort((-y[at], x[at]))]
    top = np.maximum.accumulate(np.concatenate([[-np.inf], y[ranked]]))[:-1]
    return tuple(int(i) for i in ranked[y[ranked] > top])
