"""Facts about money and labels: what more of them bring, what a choice costs to own."""

from __future__ import annotations

import math

import numpy as np

from raysearch.recommend.answer import Answer
from raysearch.recommend.differences import difference_of, paired
from raysearch.recommend.ownership_cost import MONTHS, prices_of
from raysearch.recommend.point_text import difference_facts, gap_facts, page_facts, point_facts
from raysearch.recommend.points import Points
from raysearch.recommend.words import Fact, listed


def labels_facts(points: Points, given: Answer) -> dict[str, Fact]:
    """Return what more labels bring: as measured, and extrapolated from the last step."""
    if given.other is None or given.best is None:
        return {"next": None, "step": None}
    return {"next": _next_labels(points, given), "step": _last_step(points, given)}


def _next_labels(points: Points, given: Answer) -> dict[str, Fact] | None:
    """Return what as many labels again would bring if the last step up, confirmed, goes on.

    The score is taken to rise by as much with each doubling as it did on average over the last
    step; the interval is that step's, scaled alike.
    """
    assert given.other is not None and given.best is not None
    i, step, reached = given.other
    best = given.best
    if step > reached or i == best or not paired(points, i, best):
        return None
    have, had = float(points.labels[best]), float(points.labels[i])
    if not 0 < had < have:
        return None
    scale = math.log(2.0) / math.log(have / had)
    low, high = difference_of(points, best, i) or (0.0, 0.0)
    gain = (points.test[best] - points.test[i]) * scale
    return page_facts(points) | {
        **gap_facts(points, gain, (low * scale, high * scale)),
        "more": have,
        "dollars": _price(points, given, have),
        "doubtful": low <= 0,
    }


def _last_step(points: Points, given: Answer) -> dict[str, Fact]:
    """Return what the next measured step of labels brings; at the last, what that step brought."""
    assert given.other is not None and given.best is not None
    i, step, reached = given.other
    more = step > reached
    a, b = (reached, step) if more else (step, reached)
    after, before = (i, given.best) if more else (given.best, i)
    return page_facts(points) | {
        **difference_facts(points, after, before),
        "more": more,
        "same": i == given.best,
        "a": a,
        "b": b,
        "judged": points.kind != "none",
        "dollars": _price(points, given, float(points.labels[after] - points.labels[before])),
    }


def _price(points: Points, given: Answer, labels: float) -> float | None:
    """Return what so many labels cost [dollars]; None without a price."""
    prices = prices_of(points, given.setting)
    return labels * prices["label"] if "label" in prices and labels > 0 else None


def unpriced(points: Points, given: Answer) -> list[str]:
    """Return what is missing to compute the cost of owning the choice (else of any point)."""
    return listed("missing", _missing(points, given))


def _missing(points: Points, given: Answer) -> dict[str, Fact]:
    i, setting = given.choice or 0, given.setting
    prices = prices_of(points, setting)
    seconds = points.costs.get("train_seconds")
    gpu = bool(len(points) and points.gpu[i])
    return page_facts(points) | {
        "no_label_price": "label" not in prices,
        "no_cpu_price": not gpu and "cpu_hour" not in prices,
        "no_gpu_price": gpu and "gpu_hour" not in prices,
        "no_training": seconds is None or not np.isfinite(seconds[i]),
        "no_speed": (setting.volume or 0) > 0 and not np.isfinite(points.seconds_text[i]),
    }


def own_facts(points: Points, given: Answer) -> dict[str, Fact] | None:
    """Return what the choice costs to own, part by part [dollars], or what is missing for it."""
    i, setting = given.choice, given.setting
    if i is None or setting.volume is None:
        return None
    missing = _missing(points, given)
    if any(value is True for value in missing.values()):
        return missing | {"lacking": True}
    prices = prices_of(points, setting)
    hour = prices["gpu_hour" if points.gpu[i] else "cpu_hour"]
    each = points.seconds_text[i] if setting.volume > 0 else 0.0
    return point_facts(points, i) | {
        "volume": setting.volume,
        "total": float(given.own[i]),
        "bought": float(points.labels[i] * prices["label"]),
        "trained": float(points.costs["train_seconds"][i] / 3600 * hour),
        "predicted": float(MONTHS * setting.volume * each / 3600 * hour),
    }
