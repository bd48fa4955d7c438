"""Which points meet the limits, and which limit to relax where none does.

`panels/assets/answer.js` mirrors this file line by line.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from raysearch.recommend.points import MS, TRAIN, Floats, Points
from raysearch.recommend.setting import LIMITS, Setting


def needs(points: Points, setting: Setting) -> dict[str, Floats]:
    """Return what each limit is held against (n,); NaN where it is not known."""
    nan = np.full(len(points), np.nan)
    return {
        "labels": points.labels,
        "max_ms": points.costs.get(MS, nan),
        "max_bytes": points.costs.get("bytes", nan),
        "max_train_flops": points.cost(TRAIN, setting.teacher),
        "min_score": points.validation,
    }


def limits_met(points: Points, setting: Setting) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which points meet each limit (n,), by limit; what is not known does not."""
    out = {}
    for name, value in needs(points, setting).items():
        limit = getattr(setting, name)
        if limit is None:
            out[name] = np.ones(len(points), dtype=np.bool_)
        elif name == "min_score":
            out[name] = value >= limit
        else:
            out[name] = value <= limit
    return out


def relaxations(
    points: Points,
    setting: Setting,
    open_: npt.NDArray[np.bool_],
    met: Mapping[str, npt.NDArray[np.bool_]],
) -> tuple[tuple[str, float, int], ...]:
    """Return each single limit that would let a point in where none fits, and how far to move it.

    Of the points that meet all the other limits, the one that asks least of this limit; ordered by
    the ratio of what it had to be to what it is, of a score by 1 plus the difference.
    """
    out = []
    for name, value in needs(points, setting).items():
        limit = getattr(setting, name)
        if limit is None:
            continue
        rest = open_ & np.isfinite(value)
        for other in LIMITS:
            if other != name:
                rest = rest & met[other]
        at = np.flatnonzero(rest).tolist()
        if not at:
            continue
        sign = -1.0 if name == "min_score" else 1.0
        i = min(at, key=lambda k: sign * value[k])
        need = float(value[i])
        ratio = need / limit if limit > 0 else np.inf
        if name == "min_score":
            ratio = 1 + limit - need
        out.append((float(ratio), name, need, i))
    out.sort(key=lambda item: (item[0], LIMITS.index(item[1])))
    return tuple((name, need, i) for _, name, need, i in out)


def nearest(
    points: Points,
    setting: Setting,
    open_: npt.NDArray[np.bool_],
    met: Mapping[str, npt.NDArray[np.bool_]],
) -> tuple[tuple[str, float, int], ...]:
    """Return what the point that breaks fewest limits, then the best on validation, would need."""
    value = needs(points, setting)
    given = [name for name in LIMITS if getattr(setting, name) is not None]
    known = open_.copy()
    for name in given:
        known &= np.isfinite(value[name])
    at = np.flatnonzero(known).tolist()
    if not at or not given:
        return ()
    broken = {i: sum(not met[name][i] for name in given) for i in at}
    i = min(at, key=lambda k: (broken[k], -points.validation[k], k))
    return tuple((name, float(value[name][i]), i) for name in given if not met[name][i])
