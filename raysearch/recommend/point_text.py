"""Points, scores, costs and differences in words: what every sentence is made of."""

from __future__ import annotations

import numpy as np

from raysearch.recommend.differences import apart, difference_of, interval_of
from raysearch.recommend.points import MS, OWN, Points
from raysearch.recommend.words import brief, count, duration, factor, fixed, phrase


def name(points: Points, i: int) -> str:
    """The choice in words: model, method, labels used."""
    values = {
        "model": points.models[points.model[i]],
        "method": points.methods[points.method[i]] + points.knobs[i],
    }
    labels = points.labels[i]
    if labels > 0:
        return phrase("name", labels=count(labels), **values)
    return phrase("name_free", **values)


def shown(points: Points, i: int) -> str:
    """The test score with its interval."""
    ends = interval_of(points, i)
    value = fixed(points.test[i], points.digits)
    if ends is None:
        return phrase("score_bare", score=points.score, value=value)
    low, high = (fixed(e, points.digits) for e in ends)
    return phrase("score", score=points.score, value=value, low=low, high=high)


def training(points: Points, i: int, teacher: str) -> str:
    """What training took: time where known, else FLOPs."""
    seconds = points.costs.get("train_seconds")
    if seconds is not None and np.isfinite(seconds[i]):
        return phrase("trains", value=duration(seconds[i]))
    return phrase("train_flops", value=brief(points.cost("train", teacher)[i]))


def speed(points: Points, i: int) -> str:
    """What predicting takes: milliseconds where measured, else FLOPs and that they were not."""
    latency = points.costs.get(MS)
    if latency is not None and np.isfinite(latency[i]):
        return phrase("ms", value=brief(latency[i]))
    infer = points.costs.get("infer_flops")
    missing = phrase("no_ms")
    if infer is None or not np.isfinite(infer[i]):
        return missing
    return phrase("infer", value=brief(infer[i])) + ", " + missing


def change(delta: float, digits: int) -> str:
    """A difference in words.

    >>> change(-0.021, 2), change(0.0, 2)
    ('0.02 lower', 'no difference')
    """
    value = fixed(abs(delta), digits)
    if not value.strip("0."):
        return phrase("equal")
    return phrase("higher" if delta > 0 else "lower", value=value)


def times(noun: str, mine: float, theirs: float) -> str:
    """How two costs compare in words: mine against theirs."""
    if mine == theirs:
        return phrase("even", noun=noun)
    up = mine > theirs
    ratio = mine / theirs if up else theirs / mine
    direction = phrase("above" if up else "below")
    return phrase("times", noun=noun, ratio=factor(ratio), direction=direction)


def verdict(points: Points, i: int, j: int) -> str:
    """Whether point i is better or worse than j, or not distinguishable from it."""
    if not apart(points, i, j):
        return phrase("alike")
    return phrase("better" if points.test[i] > points.test[j] else "worse")


def noun_of(points: Points, axis: str) -> str:
    """The axis in words."""
    if axis == OWN:
        return phrase("own_noun")
    return next((a.noun for a in points.axes if a.name == axis), axis)


def ends_of(points: Points, i: int, j: int) -> str:
    """The interval of a difference in brackets; nothing for a score without one."""
    ends = difference_of(points, i, j)
    if ends is None:
        return ""
    low, high = (fixed(e, points.digits) for e in ends)
    return phrase("ends", low=low, high=high)
