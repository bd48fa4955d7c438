"""The sentences of the first page for one `Answer`; `assets/sentences.js` mirrors them.

Every word stands in `words.WORDS`; here only which sentence is said, with which numbers.
"""

from __future__ import annotations

import numpy as np

from raysearch.panels.answer import Answer
from raysearch.panels.margins import apart, difference_of, interval_of
from raysearch.panels.points import Points
from raysearch.panels.words import (
    Sentence,
    brief,
    count,
    duration,
    fixed,
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
    latency = points.costs.get("latency_ms")
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
    return phrase("times", noun=noun, ratio=brief(ratio), direction=direction)


def headline(points: Points, given: Answer) -> tuple[Sentence, ...]:
    """The sentences on top: the choice, the cheaper tie, what labels buy."""
    if given.choice is None or given.best is None:
        return (_nothing(points),)
    x = points.cost(given.setting.cost, given.setting.teacher)
    noun = noun_of(points, given.setting.cost)
    best, choice = given.best, given.choice
    digits, test = points.digits, points.test
    bare = {
        "name": name(points, choice),
        "shown": shown(points, choice),
        "rows": count(points.test_rows[choice]),
        "costs": training(points, choice, given.setting.teacher) + ", " + speed(points, choice),
    }
    out = []
    if given.flat:
        out.append(say("flat", count=str(len(given.leaders)), **bare))
    else:
        out.append(say("choice", **bare))
    second = best if given.flat and best != choice else given.tie
    if second is not None:
        ratio = brief(x[second] / x[choice] if given.flat else x[choice] / x[second])
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
    return tuple(out)


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
    if points.confirming:
        left += phrase("left_confirm", count=_counted(points.confirming))
    if points.unbilled:
        left += phrase("left_bill", count=count(points.unbilled))
    i = given.choice
    rows = [points.validation_rows, points.test_rows]
    of = [phrase("none") if i is None or not np.isfinite(r[i]) else count(r[i]) for r in rows]
    search = {"search": brief(points.search_flops), "trials": count(points.trials)}
    return phrase("footer", validation=of[0], test=of[1], left=left, **search)


def interval_note(points: Points, given: Answer) -> str:
    """What the brackets are; empty where there are none."""
    if given.choice is None or points.kind == "none":
        return ""
    return phrase("interval", kind=phrase(points.kind), rows=count(points.test_rows[given.choice]))


def noun_of(points: Points, axis: str) -> str:
    """The axis in words."""
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


def _labels(points: Points, given: Answer) -> list[Sentence]:
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
    verdict = ""
    if points.kind != "none":
        verdict = phrase("apart" if apart(points, after, before) else "same")
    words = change(points.test[after] - points.test[before], points.digits)
    return [say(key, change=words, verdict=verdict, ends=_ends(points, after, before), **ab)]


def _ends(points: Points, i: int, j: int) -> str:
    """The interval of a difference in brackets; nothing for a score without one."""
    ends = difference_of(points, i, j)
    if ends is None:
        return ""
    low, high = (fixed(e, points.digits) for e in ends)
    return phrase("ends", low=low, high=high)


def _against(points: Points, given: Answer, lead: int) -> str:
    x = points.cost(given.setting.cost, given.setting.teacher)
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
