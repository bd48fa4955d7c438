"""Dominance and hypervolume on plain arrays; larger is better in every column.

The arithmetic is moocore's (C, exact); `sweep` is a second, independent way in numpy for two
columns that the tests hold against it. Nothing here knows a name, a unit or a direction.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def nondominated(points: Points) -> Mask:
    """Mark the points that no other point dominates.

    A point is dominated when another is at least as good in every column and better in one. Of
    exact duplicates the first row is kept and the others are False.

    Args:
        points: (n, d) values, larger is better, d >= 1; any n, 0 included. Not changed.

    Returns:
        (n,) mask. Order of growth: n log n for d <= 3, n log^(d-2) n above.

    Raises:
        ValueError: not two-dimensional, or a value that is NaN or infinite.

    Source: Kung, Luccio and Preparata 1975, JACM 22(4), as built in moocore.

    >>> nondominated(np.array([[0.8, -1.0], [0.9, -2.0], [0.7, -2.0], [0.8, -1.0]])).tolist()
    [True, True, False, False]
    """
    values = _checked(points)
    if len(values) == 0:
        return np.zeros(0, dtype=np.bool_)
    if values.shape[1] == 1:
        mask = np.zeros(len(values), dtype=np.bool_)
        mask[int(np.argmax(values[:, 0]))] = True
        return mask
    return np.asarray(moocore.is_nondominated(values, maximise=True), dtype=np.bool_)


def duplicates_of(
    points: Points, kept: Mask, order: npt.NDArray[np.intp] | None = None
) -> dict[int, tuple[int, ...]]:
    """Return the rows that equal a kept row exactly.

    Args:
        points: (n, d) values. Not changed.
        kept: (n,) mask, as `nondominated` returns it.
        order: (n,) rows in an order that puts equal rows side by side, if known already.

    Returns:
        {kept row: the other rows equal to it, ascending}; rows without an equal are not in it.
        Order of growth: d n log n; d n when `order` is given.

    >>> x = np.array([[0.8, -1.0], [0.9, -2.0], [0.7, -2.0], [0.8, -1.0]])
    >>> duplicates_of(x, nondominated(x))
    {0: (3,)}
    """
    values = _checked(points)
    if len(values) < 2:
        return {}
    order = np.lexsort(values.T) if order is None else order
    ranked = values[order]
    same = (ranked[1:] == ranked[:-1]).all(axis=1)
    if not same.any():
        return {}
    # A run of equal neighbours starts where `same` turns on and ends where it turns off.
    edge = np.diff(np.concatenate(([False], same, [False])).astype(np.int8))
    out: dict[int, tuple[int, ...]] = {}
    for start, end in zip(np.flatnonzero(edge == 1), np.flatnonzero(edge == -1), strict=True):
        run = np.sort(order[start : end + 1])
        chosen = run[kept[run]]
        if len(chosen):
            out[int(chosen[0])] = tuple(int(i) for i in run if i != chosen[0])
    return dict(sorted(out.items()))


def hypervolume(points: Points, reference: Sequence[float] | Points) -> float:
    """Return the volume that the points dominate above a reference point.

    Points that are not above the reference in every column add nothing; dominated points and
    duplicates add nothing.

    Args:
        points: (n, d) values, larger is better. Not changed.
        reference: (d,) the corner the volume is measured from.

    Returns:
        The volume, in the product of the columns' units; 0.0 without points. Order of growth:
        n log n for d <= 3, n^2 for d = 4, n^(d-2) above.

    Raises:
        ValueError: NaN or infinite values, or a reference of another length.

    Source: Fonseca, Paquete and Lopez-Ibanez 2006 (CEC), as built in moocore.

    >>> hypervolume(np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0]]), [0.0, 0.0])
    6.0
    """
    values, corner = _against(points, reference)
    above = (values > corner).all(axis=1)
    if not above.any():
        return 0.0
    return float(moocore.hypervolume(values[above], ref=corner, maximise=True))


def hypervolume_contributions(points: Points, reference: Sequence[float] | Points) -> Points:
    """Return what the hypervolume loses with each point; 0 for dominated and duplicate points.

    Args:
        points: (n, d) values, larger is better. Not changed.
        reference: (d,) the corner the volume is measured from.

    Returns:
        (n,) volumes; dominated points are ignored, they do not lower another's share. Order of
        growth: n log n for d <= 3, n times the hypervolume's above.

    >>> x = np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0], [1.0, 1.0]])
    >>> hypervolume_contributions(x, [0.0, 0.0]).tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    values, corner = _against(points, reference)
    out = np.zeros(len(values))
    above = (values > corner).all(axis=1)
    if above.any():
        out[above] = moocore.hv_contributions(values[above], ref=corner, maximise=True)
    return out


def sweep(points: Points) -> Mask:
    """Mark the non-dominated points of two columns by one sweep in numpy.

    The same rule as `nondominated`, found another way: sort by the first column (best first, then
    the second, then the row) and keep what beats every second column seen so far.

    Args:
        points: (n, 2) values, larger is better. Not changed.

    Returns:
        (n,) mask. Order of growth: n log n.

    >>> sweep(np.array([[0.8, -1.0], [0.9, -2.0], [0.7, -2.0], [0.8, -1.0]])).tolist()
    [True, True, False, False]
    """
    values = _checked(points)
    if values.shape[1] != 2:
        raise ValueError(f"sweep: 2 columns needed, {values.shape[1]} given")
    mask = np.zeros(len(values), dtype=np.bool_)
    if len(values) == 0:
        return mask
    order = np.lexsort((-values[:, 1], -values[:, 0]))
    second = values[order, 1]
    best = np.concatenate(([-np.inf], np.maximum.accumulate(second)[:-1]))
    mask[order[second > best]] = True
    return mask


def _checked(points: Points) -> Points:
    values = np.ascontiguousarray(points, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 1:
        raise ValueError(f"points: shape (n, d) needed, {values.shape} given")
    if not np.isfinite(values).all():
        raise ValueError("points: a value is NaN or infinite; leave such points out and count them")
    return values


def _against(points: Points, reference: Sequence[float] | Points) -> tuple[Points, Points]:
    values = _checked(points)
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape != (values.shape[1],):
        raise ValueError(f"reference: {values.shape[1]} values needed, shape {corner.shape} given")
    if not np.isfinite(corner).all():
        raise ValueError("reference: a value is NaN or infinite")
    return values, corner
