"""What chance explains on the test texts: intervals of points and of their differences.

The formulas are those of `raysearch.analysis.verdict`, so that terminal and page agree.
"""

from __future__ import annotations

from raysearch.analysis.verdict import difference, interval
from raysearch.panels.points import Points


def apart(points: Points, i: int, j: int) -> bool:
    """Whether two points differ on test by more than the interval of their difference."""
    low, high = difference_of(points, i, j) or (0.0, 0.0)
    return low > 0.0 or high < 0.0 or (points.kind == "none" and points.test[i] != points.test[j])


def interval_of(points: Points, i: int) -> tuple[float, float] | None:
    """The 95 % interval of a test score; None for a score of a kind that has none."""
    if points.kind == "none":
        return None
    return interval(float(points.test[i]), int(points.test_rows[i]), points.score)


def difference_of(points: Points, i: int, j: int) -> tuple[float, float] | None:
    """The 95 % interval of test score i - test score j, taken as independent."""
    if points.kind == "none":
        return None
    a, b = float(points.test[i]), float(points.test[j])
    rows = int(points.test_rows[i]), int(points.test_rows[j])
    return difference(a, rows[0], b, rows[1], points.score)


def band_of(points: Points, i: int) -> tuple[float, float] | None:
    """The test scores not distinguishable from that of point i, by halving 50 times."""
    if points.kind == "none":
        return None
    score, rows = float(points.test[i]), int(points.test_rows[i])
    ends = []
    for far in (0.0 if points.kind == "binomial" else -1.0, 1.0):
        near = score
        for _ in range(50):
            middle = (near + far) / 2.0
            low, high = difference(score, rows, middle, rows, points.score)
            if low <= 0.0 <= high:
                near = middle
            else:
                far = middle
        ends.append(near)
    return ends[0], ends[1]
