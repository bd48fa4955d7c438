"""The sentences of the first page for one `Answer`; `assets/sentences.js` mirrors them.

Every word stands in `words.WORDS`; here only which sentence is said, with which numbers.
"""

from __future__ import annotations

import math

import numpy as np

from raysearch.panels.answer import LIMITS, Answer, cost_of, needs, prices_of, rival_cost
from raysearch.panels.margins import apart, difference_of, interval_of, paired
from raysearch.panels.own import MONTHS
from raysearch.panels.points import MS, OWN, Points, Rival
from raysearch.panels.words import (
    Sentence,
    bound,
    brief,
    count,
    duration,
    factor,
    fixed,
    money,
    phrase,
    say,
)


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


def headline(points: Points, given: Answer) -> tuple[Sentence, ...]:
    """The sentences on top: the choice, the cheaper tie, what labels buy."""
    if given.choice is None or given.best is None:
        return (_nothing(points), *_relax(points, given))
    x = cost_of(points, given.setting, given.own)
    noun = noun_of(points, given.setting.cost)
    best, choice = given.best, given.choice
    digits, test = points.digits, points.test
    fresh = bool(points.place[choice] >= 0)
    bare_ = "" if fresh else "_bare"
    bare = {
        "name": name(points, choice),
        "shown": shown(points, choice),
        "rows": count(points.test_rows[choice]),
        "costs": training(points, choice, given.setting.teacher) + ", " + speed(points, choice),
    }
    out = []
    if given.flat:
        out.append(say("flat" + bare_, count=str(len(given.leaders)), **bare))
    else:
        out.append(say("choice" + bare_, **bare))
    second = best if given.flat and best != choice else given.tie
    if second is not None:
        ratio = factor(x[second] / x[choice] if given.flat else x[choice] / x[second])
        key = "top" if given.flat else "tie"
        of = {"name": name(points, second), "noun": noun, "ratio": ratio}
        words = change(test[second] - test[choice], digits)
        out.append(say(key, change=words, ends=_ends(points, second, choice), **of))
    elif given.cheaper and not given.flat:
        key = "no_tie" if given.cheaper > 1 else "no_tie_one"
        out.append(say(key, count=str(given.cheaper)))
    elif not given.flat:
        out.append(say("cheapest"))
    if given.beaten is not None:
        i = given.beaten
        words = change(test[i] - test[best], digits)
        rows = count(points.validation_rows[best])
        by = _ends(points, i, best)
        out.append(say("beaten", name=name(points, i), change=words, ends=by, rows=rows))
    out += _labels(points, given)
    ends = interval_of(points, choice)
    if points.majority is not None and ends is not None and ends[0] <= points.majority:
        out.append(say("majority", value=fixed(points.majority, digits)))
    if points.broken:
        out.append(say("broken", error=points.broken))
    elif not fresh:
        out.append(say("confirm", run=points.run))
    return tuple(out)


def details(points: Points, given: Answer) -> tuple[Sentence, ...]:
    """What stands below the headline: the runner-up, the last step of labels, dollars to own."""
    if given.choice is None or given.best is None:
        return ()
    choice, digits, test = given.choice, points.digits, points.test
    out = []
    if given.runner is not None:
        i = given.runner
        words = change(test[i] - test[choice], digits)
        of = {
            "name": name(points, i),
            "shown": shown(points, i),
            "verdict": verdict(points, i, choice),
        }
        out.append(say("runner", change=words, ends=_ends(points, i, choice), **of))
    if _next(points, given) is not None:
        out += _step(points, given)
    if given.setting.volume is not None:
        out.append(_own(points, given))
    out += [_rival(points, rival, choice) for rival in points.rivals]
    return tuple(out)


def _rival(points: Points, rival: Rival, choice: int) -> Sentence:
    """An outside system against the choice, paired over rows where the choice is confirmed."""
    digits = points.digits
    value = fixed(rival.test, digits)
    of = {"name": rival.name, "shown": phrase("score_bare", score=points.score, value=value)}
    if np.isfinite(rival.low):
        low, high = fixed(rival.low, digits), fixed(rival.high, digits)
        of["shown"] = phrase("score", score=points.score, value=value, low=low, high=high)
    cost = ""
    if np.isfinite(rival.ms):
        cost += phrase("rival_ms", value=brief(rival.ms))
    if np.isfinite(rival.dollars):
        cost += phrase("rival_dollars", dollars=money(1000 * rival.dollars))
    k = points.place[choice]
    if k < 0 or not np.isfinite(rival.apart[k, 0]):
        return say("rival_alone", cost=cost, **of)
    low_, high_ = (float(v) for v in rival.apart[k])
    word = "better" if low_ > 0 else "worse" if high_ < 0 else "alike"
    return say(
        "rival",
        change=change(rival.test - points.test[choice], digits),
        ends=phrase("ends", low=fixed(low_, digits), high=fixed(high_, digits)),
        verdict=phrase(word),
        cost=cost,
        **of,
    )


def verdict(points: Points, i: int, j: int) -> str:
    """Whether point i is better or worse than j, or not distinguishable from it."""
    if not apart(points, i, j):
        return phrase("alike")
    return phrase("better" if points.test[i] > points.test[j] else "worse")


def why(points: Points, given: Answer) -> tuple[tuple[str, str], ...]:
    """One (name, sentence) for each method, and for each model that never came to a point."""
    off = given.setting.methods
    scored = {points.methods[m] for m in points.method.tolist()}
    out = []
    for who, fate in points.fates.items():
        lead = next((i for i in given.leaders if points.methods[points.method[i]] == who), None)
        if given.choice is not None and who == points.methods[points.method[given.choice]]:
            said = phrase("why_choice")
        elif fate.left_out:
            said = phrase("why_left_out", error=fate.left_out)
        elif lead is not None:
            said = _against(points, given, lead)
        elif who in points.methods and off is not None and who not in off:
            said = phrase("why_off")
        elif who in scored:
            said = phrase("why_limits")
        elif fate.points or not fate.failed:
            said = phrase("why_unscored")
        else:
            trials = {"failed": str(fate.failed), "trials": str(fate.trials)}
            out.append((who, phrase("why_failed", error=fate.error, **trials)))
            continue
        if fate.failed:
            said += phrase("some_failed", failed=str(fate.failed), trials=str(fate.trials))
        out.append((who, said))
    return tuple(out)


def footer(points: Points, given: Answer) -> str:
    """What the numbers stand on, and what was left out."""
    left = ""
    if points.unscored:
        left += phrase("left_scored", count=_counted(points.unscored))
    if given.no_cost:
        noun = noun_of(points, given.setting.cost)
        left += phrase("left_cost", count=_counted(given.no_cost), noun=noun)
    costs = [rival_cost(r, given.setting, prices_of(points, given.setting)) for r in points.rivals]
    lost = sum(not (np.isfinite(c) and c > 0) for c in costs)
    if lost:
        noun = noun_of(points, given.setting.cost)
        left += phrase("left_rivals", count=count(lost), noun=noun)
    if points.begun:
        left += phrase("left_begun", count=_counted(points.begun))
    if points.lost:
        left += phrase("left_lost", count=count(points.lost))
    if points.unbilled:
        left += phrase("left_bill", count=count(points.unbilled))
    i = given.choice
    rows = [points.validation_rows, points.test_rows]
    of = [phrase("none") if i is None or not np.isfinite(r[i]) else count(r[i]) for r in rows]
    search = {"search": brief(points.search_flops), "trials": count(points.trials)}
    return phrase(
        "footer", validation=of[0], test=of[1], left=left, draws=_draws(points, i), **search
    )


def _draws(points: Points, i: int | None) -> str:
    if i is None or points.place[i] < 0:
        return phrase("draws_one")
    n = str(int(points.draws[i]))
    if points.folds:
        return phrase("draws_folds", count=n, folds=str(points.folds))
    return phrase("draws", count=n)


def interval_note(points: Points, given: Answer) -> str:
    """What the brackets are; empty where there are none."""
    i = given.choice
    if i is not None and points.place[i] >= 0:
        return phrase("interval", draws=str(int(points.draws[i])), rows=count(points.test_rows[i]))
    if i is None or points.kind == "none":
        return ""
    return phrase("interval_bare", kind=phrase(points.kind), rows=count(points.test_rows[i]))


def noun_of(points: Points, axis: str) -> str:
    """The axis in words."""
    if axis == OWN:
        return phrase("own_noun")
    return next((a.noun for a in points.axes if a.name == axis), axis)


def _counted(n: int) -> str:
    return phrase("point") if n == 1 else phrase("points", count=count(n))


def _nothing(points: Points) -> Sentence:
    if len(points):
        return say("no_fit")
    if not points.trials:
        return say("no_records")
    if points.unscored:
        return say("unscored", count=count(points.unscored))
    errors = [f.error for f in points.fates.values() if f.error]
    error = errors[0] if errors else phrase("none")
    return say("all_failed", count=count(points.trials), error=error)


def _relax(points: Points, given: Answer) -> list[Sentence]:
    """Which limit to relax, and by how much; nothing where no limit was set."""
    asked = [name for name in LIMITS if getattr(given.setting, name) is not None]
    if not len(points) or not asked:
        return []
    out = []
    value = needs(points, given.setting)
    for limit in asked:
        if not bool(np.isfinite(value[limit]).any()):
            how = phrase("how_ms", run=points.run) if limit == "max_ms" else ""
            out.append(say("unmeasured", limit=phrase("limit_" + limit), how=how))
    for limit, need, i in given.relax:
        of = {"name": name(points, i), "shown": shown(points, i)}
        out.append(say("relax", **of, **_bounds(given, limit, need)))
    if given.nearest:
        i = given.nearest[0][2]
        wanted = [phrase("need", **_bounds(given, limit, n)) for limit, n, _ in given.nearest]
        of = {"name": name(points, i), "shown": shown(points, i)}
        out.append(say("relax_none", needs=", ".join(wanted), **of))
    return out


def _bounds(given: Answer, limit: str, need: float) -> dict[str, str]:
    """A limit in words: what it is, and what it would have to be, rounded so that it lets in."""
    have = getattr(given.setting, limit)
    counts = limit in ("labels", "max_bytes")
    return {
        "limit": phrase("limit_" + limit),
        "need": count(need) if counts else bound(need, up=limit != "min_score"),
        "have": count(have) if counts and have == int(have) else brief(have),
    }


def _labels(points: Points, given: Answer) -> list[Sentence]:
    """What more labels bring: measured where they were, else extrapolated from the last step."""
    further = _next(points, given)
    return _step(points, given) if further is None else [further]


def _next(points: Points, given: Answer) -> Sentence | None:
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
        price=_price_of(points, given, have),
        worth=phrase("worth_not" if low <= 0 else "worth_open"),
    )


def _step(points: Points, given: Answer) -> list[Sentence]:
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
    price = _price_of(points, given, float(points.labels[after] - points.labels[before]))
    ends = _ends(points, after, before)
    return [say(key, change=words, verdict=verdict_, ends=ends, price=price, **ab)]


def _price_of(points: Points, given: Answer, labels: float) -> str:
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


def _own(points: Points, given: Answer) -> Sentence:
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


def _ends(points: Points, i: int, j: int) -> str:
    """The interval of a difference in brackets; nothing for a score without one."""
    ends = difference_of(points, i, j)
    if ends is None:
        return ""
    low, high = (fixed(e, points.digits) for e in ends)
    return phrase("ends", low=low, high=high)


def _against(points: Points, given: Answer, lead: int) -> str:
    x = cost_of(points, given.setting, given.own)
    choice, best = given.choice, given.best
    assert choice is not None and best is not None
    test = points.test
    near = not apart(points, best, lead)
    noun = noun_of(points, given.setting.cost)
    return phrase(
        "why_near" if near else "why_far",
        name=name(points, lead),
        shown=shown(points, lead),
        change=change(test[lead] - test[choice], points.digits),
        cost=times(noun, x[lead], x[choice]),
    )
