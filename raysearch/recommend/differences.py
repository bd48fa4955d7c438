"""What chance explains on the test texts: intervals of points and of their differences.

Confirmed points have the bootstrap's over draws and rows, paired. For the others the formulas are
those of `raysearch.score_intervals`, over the rows of their one draw.
"""

from __future__ import annotations

from collections.abc import Sequence

from raysearch.analysis.intervals import difference
from raysearch.recommend.points import Points


def distinguishable(points: Points, i: int, j: int) -> bool:
    """Return whether two points differ on test by more than the interval of their difference."""
    low, high = difference_of(points, i, j) or (0.0, 0.0)
    differs = points.kind == "none" and points.test[i] != points.test[j]
    return bool(low > 0.0 or high < 0.0 or differs)


def paired(points: Points, i: int, j: int) -> bool:
    """Return whether both points are confirmed, so that their difference is paired."""
    return bool(points.place[i] >= 0 and points.place[j] >= 0)


def interval_of(points: Points, i: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a test score; None for a score of a kind that has none."""
    if points.place[i] >= 0:
        return float(points.low[i]), float(points.high[i])
    if points.formula is None:
        return None
    return points.formula.interval(float(points.test[i]), int(points.test_rows[i]))


def difference_of(points: Points, i: int, j: int) -> tuple[float, float] | None:
    """Return the 95 % interval of test score i minus j; independent where one is unconfirmed."""
    if paired(points, i, j):
        low, high = points.pairwise_differences[points.place[i], points.place[j], 1:]
        return float(low), float(high)
    if points.formula is None:
        return None
    a, b = float(points.test[i]), float(points.test[j])
    rows = int(points.test_rows[i]), int(points.test_rows[j])
    return difference(a, rows[0], b, rows[1], points.formula)


def band_of(points: Points, i: int, pool: Sequence[int]) -> tuple[float, float] | None:
    """Return the test scores not distinguishable from that of point i.

    Of a confirmed point: from the lowest to the highest of those that are not. Else what the
    formula of the interval allows, by halving 50 times.
    """
    if points.place[i] >= 0:
        near = [float(points.test[j]) for j in pool if j == i or not distinguishable(points, i, j)]
        return min(near), max(near)
    if points.formula is None:
        return None
    score, rows = float(points.test[i]), int(points.test_rows[i])
    ends = []
    for far in (points.formula.low, points.formula.high):
        near_ = score
        for _ in range(50):
            middle = (near_ + far) / 2.0
            low, high = difference(score, rows, middle, rows, points.formula)
            if low <= 0.0 <= high:
                near_ = middle
            else:
                far = middle
        ends.append(near_)
    return ends[0], ends[1]
