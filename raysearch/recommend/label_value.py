"""Sentences about money and labels: what more of them bring, what a choice costs to own."""

from __future__ import annotations

import math

import numpy as np

from raysearch.recommend.answer import Answer
from raysearch.recommend.differences import apart, difference_of, paired
from raysearch.recommend.ownership_cost import MONTHS, prices_of
from raysearch.recommend.point_text import change, ends_of, name
from raysearch.recommend.points import Points
from raysearch.recommend.words import Sentence, count, fixed, money, phrase, say


def labels_worth(points: Points, given: Answer) -> list[Sentence]:
    """What more labels bring: measured where they were, else extrapolated from the last step."""
    further = next_labels(points, given)
    return last_step(points, given) if further is None else [further]


def next_labels(points: Points, given: Answer) -> Sentence | None:
    """What as many labels again would bring if the last step up, confirmed, goes on.

    The score is taken to rise by as much with each doubling as it did on average over the last
    step; the interval is that step's, scaled alike.
    """
    if given.other is None or given.best is None:
        return None
    i, step, held = given.other
    best = given.best
    if step > held or i == best or not paired(points, i, best):
        return None
    have, had = float(points.labels[best]), float(points.labels[i])
    if not 0 < had < have:
        return None
    scale = math.log(2.0) / math.log(have / had)
    low, high = difference_of(points, best, i) or (0.0, 0.0)
    gain = (points.test[best] - points.test[i]) * scale
    ends = phrase(
        "ends", low=fixed(low * scale, points.digits), high=fixed(high * scale, points.digits)
    )
    return say(
        "next",
        more=count(have),
        change=change(gain, points.digits),
        ends=ends,
        price=price_of(points, given, have),
        worth=phrase("worth_not" if low <= 0 else "worth_open"),
    )


def last_step(points: Points, given: Answer) -> list[Sentence]:
    """What the next measured step of labels brings or, at the last, what that step has brought."""
    if given.other is None or given.best is None:
        return []
    i, step, held = given.other
    more = step > held
    key = "more" if more else "fewer"
    a, b = (held, step) if more else (step, held)
    ab = {"a": count(a), "b": count(b)}
    if i == given.best:
        return [say(key + "_same", **ab)]
    after, before = (i, given.best) if more else (given.best, i)
    verdict_ = ""
    if points.kind != "none":
        verdict_ = phrase("apart" if apart(points, after, before) else "same")
    words = change(points.test[after] - points.test[before], points.digits)
    price = price_of(points, given, float(points.labels[after] - points.labels[before]))
    ends = ends_of(points, after, before)
    return [say(key, change=words, verdict=verdict_, ends=ends, price=price, **ab)]


def price_of(points: Points, given: Answer, labels: float) -> str:
    """What so many labels cost, as a part of a sentence; empty without a price."""
    prices = prices_of(points, given.setting)
    if "label" not in prices or labels <= 0:
        return ""
    return phrase("for", dollars=money(labels * prices["label"]))


def unpriced(points: Points, given: Answer) -> list[str]:
    """What is missing to say what the choice (or, without one, any point) costs to own."""
    i, setting = given.choice or 0, given.setting
    prices = prices_of(points, setting)
    seconds = points.costs.get("train_seconds")
    device = "gpu" if len(points) and points.gpu[i] else "cpu"
    missing = []
    if "label" not in prices:
        missing.append(phrase("no_price_label"))
    if device + "_hour" not in prices:
        missing.append(phrase("no_price_" + device))
    if seconds is None or not np.isfinite(seconds[i]):
        missing.append(phrase("no_training"))
    if (setting.volume or 0) > 0 and not np.isfinite(points.seconds_text[i]):
        missing.append(phrase("no_speed", run=points.run))
    return missing


def dollars(points: Points, given: Answer) -> Sentence:
    """What the choice costs to own, part by part, or what is missing to say so."""
    i, setting = given.choice, given.setting
    assert i is not None and setting.volume is not None
    prices = prices_of(points, setting)
    hour = prices.get("gpu_hour" if points.gpu[i] else "cpu_hour")
    seconds = points.costs.get("train_seconds")
    if missing := unpriced(points, given):
        return say("own_not", missing="; ".join(missing))
    assert hour is not None and seconds is not None
    each = points.seconds_text[i] if setting.volume > 0 else 0.0
    return say(
        "own",
        name=name(points, i),
        volume=count(setting.volume),
        total=money(given.own[i]),
        labels=money(points.labels[i] * prices["label"]),
        training=money(seconds[i] / 3600 * hour),
        predictions=money(MONTHS * setting.volume * each / 3600 * hour),
    )
