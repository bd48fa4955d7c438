"""The sentences of the first page for one `Answer`; `assets/sentences.js` mirrors them.

Every word stands in `words.WORDS`; here only which sentence is said, with which numbers.
"""

from __future__ import annotations

import numpy as np

from raysearch.recommend.answer import Answer
from raysearch.recommend.baselines import rival_sentence, rivals_left
from raysearch.recommend.differences import apart, interval_of
from raysearch.recommend.label_value import dollars, labels_worth, last_step, next_labels
from raysearch.recommend.ownership_cost import cost_of
from raysearch.recommend.point_text import (
    change,
    ends_of,
    name,
    noun_of,
    shown,
    speed,
    times,
    training,
    verdict,
)
from raysearch.recommend.points import Points
from raysearch.recommend.relaxation_text import relaxing
from raysearch.recommend.words import Sentence, brief, count, factor, fixed, phrase, say


def headline(points: Points, given: Answer) -> tuple[Sentence, ...]:
    """The sentences on top: the choice, the cheaper tie, what labels buy."""
    if given.choice is None or given.best is None:
        return (_nothing(points), *relaxing(points, given))
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
        out.append(say(key, change=words, ends=ends_of(points, second, choice), **of))
    elif given.cheaper and not given.flat:
        key = "no_tie" if given.cheaper > 1 else "no_tie_one"
        out.append(say(key, count=str(given.cheaper)))
    elif not given.flat:
        out.append(say("cheapest"))
    if given.beaten is not None:
        i = given.beaten
        words = change(test[i] - test[best], digits)
        rows = count(points.validation_rows[best])
        by = ends_of(points, i, best)
        out.append(say("beaten", name=name(points, i), change=words, ends=by, rows=rows))
    out += labels_worth(points, given)
    ends = interval_of(points, choice)
    if points.majority is not None and ends is not None and ends[0] <= points.majority:
        out.append(say("majority", value=fixed(points.majority, digits)))
    if points.broken:
        out.append(say("broken", error=points.broken))
    elif not fresh:
        out.append(say("confirm", run=points.run))
    return tuple(out)


def details(points: Points, given: Answer) -> tuple[Sentence, ...]:
    """What stands below the headline: the runner-up, the last step of labels, dollars to own.

    And what stands beside the choice: systems from outside, zero-shot models.
    """
    beside = tuple(rival_sentence(points, rival, given.choice) for rival in points.rivals)
    if given.choice is None or given.best is None:
        return beside
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
        out.append(say("runner", change=words, ends=ends_of(points, i, choice), **of))
    if next_labels(points, given) is not None:
        out += last_step(points, given)
    if given.setting.volume is not None:
        out.append(dollars(points, given))
    return (*out, *beside)


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
        elif fate.zero:
            said = phrase("why_zero")
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
    left += rivals_left(points, given.setting)
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
    if not errors and any(f.zero for f in points.fates.values()):
        return say("only_zero")
    error = errors[0] if errors else phrase("none")
    return say("all_failed", count=count(points.trials), error=error)


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
