"""The sentences of the first page for one `Answer`; `panels/assets/sentences.js` mirrors the facts.

Which sentence is used, and every word of it, stands in `sentences.json`; here only the facts.
"""

from __future__ import annotations

from raysearch.recommend.answer import Answer
from raysearch.recommend.baselines import baseline_facts, baselines_left
from raysearch.recommend.differences import distinguishable, interval_of
from raysearch.recommend.label_value import labels_facts, own_facts
from raysearch.recommend.ownership_cost import cost_of
from raysearch.recommend.point_text import (
    counted_facts,
    difference_facts,
    gap_facts,
    known,
    noun_of,
    page_facts,
    point_facts,
    times_facts,
)
from raysearch.recommend.points import MethodOutcome, Points
from raysearch.recommend.relaxation_text import limits_facts
from raysearch.recommend.words import Fact, Sentence, render_text, sentences


def headline(points: Points, given: Answer) -> tuple[Sentence, ...]:
    """Return the sentences on top: the choice, the cheaper tie, what labels buy."""
    facts = page_facts(points) | {"choice": None, "broken": points.broken}
    if given.choice is None or given.best is None:
        facts |= _empty_facts(points) | limits_facts(points, given)
    else:
        facts |= _choice_facts(points, given, given.choice, given.best)
    return sentences("headline", facts)


def details(points: Points, given: Answer) -> tuple[Sentence, ...]:
    """Return what stands below: the runner-up, the last step of labels, dollars to own.

    And what stands beside the choice: systems from outside, zero-shot models.
    """
    runner: dict[str, Fact] | None = None
    if given.runner is not None and given.choice is not None:
        runner = _against(points, given.runner, given.choice)
    facts = labels_facts(points, given) | {
        "runner": runner,
        "own": own_facts(points, given),
        "rivals": [baseline_facts(points, baseline, given.choice) for baseline in points.baselines],
    }
    return sentences("details", facts)


def why(points: Points, given: Answer) -> tuple[tuple[str, str], ...]:
    """Return (name, sentence) of each method, and of each model that never came to a point."""
    scored = {points.methods[m] for m in points.method.tolist()}
    return tuple(
        (who, render_text("why", _outcome_facts(points, given, who, outcome, who in scored)))
        for who, outcome in points.outcomes.items()
    )


def footer(points: Points, given: Answer) -> str:
    """Return what the numbers stand on, and what was left out."""
    facts: dict[str, Fact] = {
        "search": points.search_flops,
        "trials": points.trials,
        "noun": noun_of(points, given.setting.cost),
        "unscored": counted_facts(points.unscored),
        "no_cost": counted_facts(given.no_cost),
        "left_rivals": baselines_left(points, given.setting, zero=False),
        "left_zero": baselines_left(points, given.setting, zero=True),
        "begun": counted_facts(points.begun),
        "lost": points.lost or None,
        "unbilled": points.unbilled or None,
    }
    return render_text("footer", facts | _rows_facts(points, given.choice))


def interval_note(points: Points, given: Answer) -> str:
    """Return what the brackets are; empty where there are none."""
    return render_text("interval", _rows_facts(points, given.choice))


def _empty_facts(points: Points) -> dict[str, Fact]:
    """Return why nothing is chosen, as facts."""
    outcomes = points.outcomes.values()
    return {
        "scored": len(points) > 0,
        "ran": points.trials > 0,
        "trials": points.trials,
        "unscored": counted_facts(points.unscored),
        "error": next((f.error for f in outcomes if f.error), None),
        "zero": any(f.zero for f in outcomes),
        "next": None,
    }


def _choice_facts(points: Points, given: Answer, choice: int, best: int) -> dict[str, Fact]:
    """Return the choice, what ties with it or beats it, and what more labels bring."""
    x = cost_of(points, given.setting, given.own)
    top = best if given.flat and best != choice else None
    tie, beaten = given.tie, given.beaten
    out: dict[str, Fact] = {
        "choice": point_facts(points, choice, given.setting.teacher),
        "flat": given.flat,
        "leaders": len(given.leaders),
        "noun": noun_of(points, given.setting.cost),
        "cheaper": given.cheaper or None,
        "cheaper_one": given.cheaper == 1,
        "top": None,
        "tie": None,
        "beaten": None,
        "majority": None,
        "unmeasured": (),
        "relax": (),
    }
    if top is not None:
        out["top"] = _against(points, top, choice) | {"ratio": float(x[top] / x[choice])}
    if tie is not None:
        out["tie"] = _against(points, tie, choice) | {"ratio": float(x[choice] / x[tie])}
    if beaten is not None:
        rows = float(points.validation_rows[best])
        out["beaten"] = _against(points, beaten, best) | {"chosen_on": rows}
    ends = interval_of(points, choice)
    if points.majority is not None and ends is not None and ends[0] <= points.majority:
        out["majority"] = points.majority
    return out | labels_facts(points, given)


def _against(points: Points, i: int, j: int) -> dict[str, Fact]:
    """Return a point, and how it differs from another on test."""
    return point_facts(points, i) | difference_facts(points, i, j)


def _rows_facts(points: Points, i: int | None) -> dict[str, Fact]:
    """Return the rows and draws that a choice stands on."""
    fresh = i is not None and points.place[i] >= 0
    return {
        "choice": i is not None,
        "validation_rows": None if i is None else known(points.validation_rows, i),
        "test_rows": None if i is None else known(points.test_rows, i),
        "draws": int(points.draws[i]) if fresh else None,
        "folds": (points.folds or None) if fresh else None,
        "judged": points.kind != "none",
        "correlated": points.kind == "correlation",
        "stretched": points.kind == "stretched",
    }


def _outcome_facts(
    points: Points, given: Answer, who: str, outcome: MethodOutcome, scored: bool
) -> dict[str, Fact]:
    """Return what became of a method or a model."""
    off, choice = given.setting.methods, given.choice
    leader = next((i for i in given.leaders if points.methods[points.method[i]] == who), None)
    lead: dict[str, Fact] | None = None
    if leader is not None and choice is not None and given.best is not None:
        x, noun = cost_of(points, given.setting, given.own), noun_of(points, given.setting.cost)
        lead = point_facts(points, leader) | {
            **gap_facts(points, points.test[leader] - points.test[choice]),
            **times_facts(noun, float(x[leader]), float(x[choice])),
            "near": not distinguishable(points, given.best, leader),
        }
    return {
        "chosen": choice is not None and who == points.methods[points.method[choice]],
        "left_out": outcome.left_out,
        "lead": lead,
        "off": who in points.methods and off is not None and who not in off,
        "scored": scored,
        "zero": outcome.zero or None,
        "points": outcome.points or None,
        "failed": outcome.failed or None,
        "trials": outcome.trials,
        "error": outcome.error,
    }
