"""What to train, by the rules of the first page: pure arithmetic on `Points`.

`panels/assets/answer.js` mirrors this file line by line, so that the page's controls give the same
answer to the digit; a browser test compares both.

The rule: the choice is made on validation and shown on test, among the confirmed points wherever
one fits. A winner is the best of its (method, model, label budget) cell; the best winner is the
choice. Cheaper winners whose difference to it on test has an interval that holds 0 are ties, and
the cheapest of them is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raysearch.config.catalog import baseline_methods
from raysearch.recommend.differences import band_of, distinguishable
from raysearch.recommend.limits import limits_met, nearest, relaxations
from raysearch.recommend.ownership_cost import cost_of, dollars_to_own, prices_of
from raysearch.recommend.points import OWN, Floats, Points
from raysearch.recommend.ranking import eligible, first_of, step_frontier, winners
from raysearch.recommend.setting import LIMITS, Setting

SHOWN_ROWS = 5
SHOWN_CURVES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """Indexes into `Points`, and the numbers drawn beside them."""

    setting: Setting
    fits: npt.NDArray[np.bool_]
    """Which points meet every limit and have the cost."""
    pool: tuple[int, ...]
    """Those a choice may be made from: the confirmed ones, or all where none is confirmed."""
    best: int | None
    """The best winner on validation."""
    choice: int | None
    """The recommendation: `best`, or the cheapest leader where nothing stands out."""
    runner: int | None
    """The best of another (method, model) than the choice's."""
    tie: int | None
    """The cheapest winner that is cheaper than `best` and not distinguishable from it."""
    flat: bool
    """Whether the best of each (method, model) are indistinguishable."""
    band: tuple[float, float] | None
    """Test scores not distinguishable from that of `best`; None where the score has no interval."""
    leaders: tuple[int, ...]
    """The best winner of each (method, model), best first."""
    cheaper: int
    """How many winners are cheaper than `best`."""
    frontier: tuple[int, ...]
    """Cheapest first, each better on validation than all before."""
    shown: tuple[int, ...]
    """Rows of the small table."""
    curves: tuple[tuple[int, ...], ...]
    """Winners of the best three (method, model), by labels."""
    beyond: tuple[tuple[int, ...], ...]
    """How each of those curves goes on past the labels the reader has."""
    beaten: int | None
    """The leader that is better on test than `best` by more than chance explains, if any."""
    linear: int | None
    """The winner of a baseline method with the best test score: a baseline is given its best."""
    other: tuple[int, int, int] | None
    """(the best with one step more or fewer labels, that step, the step it is held against)."""
    no_cost: int
    """Scored points that cannot stand on the log axis: the cost is absent or zero."""
    relax: tuple[tuple[str, float, int], ...]
    """Where nothing fits: (limit, what it had to be, the point it lets in), least change first."""
    nearest: tuple[tuple[str, float, int], ...]
    """Where no single limit is to blame: what the point that breaks fewest of them would need."""
    own: Floats
    """Dollars to own of each point; NaN where a part of them is not known."""


def answer(
    points: Points,
    labels: float | None = None,
    max_ms: float | None = None,
    cost: str = "",
    methods: Sequence[str] | None = None,
    teacher: str = "full",
    **more: Any,
) -> Answer:
    """Choose among the points that fit.

    Ties on validation go to the cheaper point, then to the earlier one. Order of growth: n log n.
    `more` are the other fields of `Setting`.

    Raises:
        InputError: a cost axis that the run does not have.
    """
    priced = more.get("volume") is not None
    setting = Setting(
        labels=labels,
        max_ms=max_ms,
        methods=None if methods is None else tuple(methods),
        teacher=teacher,
        **more,
    )
    own = dollars_to_own(points, setting.volume or 0.0, prices_of(points, setting))
    known = bool((np.isfinite(own) & (own > 0)).any())
    names = [a.name for a in points.axes if a.name != OWN or known]
    first = names[0] if names else ""
    axis = cost or (OWN if priced and known else first)
    setting = replace(setting, cost=axis)
    if not axis:
        none = np.zeros(len(points), dtype=np.bool_)
        return _nothing(setting, none, len(points), own)
    x = cost_of(points, setting, own)
    open_ = np.isfinite(x) & (x > 0)
    no_cost = int((~open_).sum())
    if methods is not None:
        wanted = np.array([m in methods for m in points.methods], dtype=np.bool_)
        open_ &= wanted[points.method] if len(points) else open_
    met = limits_met(points, setting)
    without = open_.copy()
    for limit in LIMITS:
        if limit != "labels":
            without &= met[limit]
    fits = without & met["labels"]
    pool = eligible(points, fits)
    won = winners(points, x, pool)
    if not won:
        relax = relaxations(points, setting, open_, met)
        near = () if relax else nearest(points, setting, open_, met)
        return replace(_nothing(setting, fits, no_cost, own), relax=relax, nearest=near)
    best, test = won[0], points.test
    leaders = first_of(won, lambda i: (points.method[i], points.model[i]))
    cheaper = [i for i in won if x[i] < x[best]]
    ties = [i for i in cheaper if test[i] >= test[best] or not distinguishable(points, best, i)]
    tie = min(ties, key=lambda i: x[i]) if ties else None
    simple = baseline_methods()
    linear = [i for i in won if points.methods[points.method[i]] in simple]
    above = [i for i in leaders if test[i] > test[best] and distinguishable(points, best, i)]
    flat = (
        points.kind != "none"
        and len(leaders) > 1
        and not any(distinguishable(points, best, i) for i in leaders)
    )
    choice = min(leaders, key=lambda i: x[i]) if flat else best
    second = best if flat else tie
    rest = [i for i in (choice, second, *leaders) if i is not None]
    return Answer(
        setting=setting,
        fits=fits,
        pool=tuple(np.flatnonzero(pool).tolist()),
        best=best,
        choice=choice,
        runner=next((i for i in leaders if i != choice), None),
        tie=None if flat else tie,
        flat=flat,
        band=band_of(points, best, np.flatnonzero(pool).tolist()),
        leaders=leaders,
        cheaper=len(cheaper),
        frontier=step_frontier(x, points.validation, pool),
        shown=tuple(dict.fromkeys(rest))[:SHOWN_ROWS],
        curves=_curves(points, won, leaders),
        beyond=_beyond(points, x, without, leaders, labels),
        beaten=max(above, key=lambda i: test[i]) if above else None,
        linear=max(linear, key=lambda i: test[i]) if linear else None,
        other=_other(points, x, without, labels),
        no_cost=no_cost,
        relax=(),
        nearest=(),
        own=own,
    )


def _curves(
    points: Points, won: Sequence[int], leaders: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    out = []
    for lead in leaders[:SHOWN_CURVES]:
        same = [
            i
            for i in won
            if points.method[i] == points.method[lead] and points.model[i] == points.model[lead]
        ]
        out.append(tuple(sorted(same, key=lambda i: (points.labels[i], i))))
    return tuple(out)


def _beyond(
    points: Points,
    x: npt.NDArray[np.float64],
    open_: npt.NDArray[np.bool_],
    leaders: Sequence[int],
    labels: float | None,
) -> tuple[tuple[int, ...], ...]:
    if labels is None:
        return ((),) * len(leaders[:SHOWN_CURVES])
    won = winners(points, x, eligible(points, open_))
    whole = _curves(points, won, leaders)
    return tuple(tuple(i for i in curve if points.labels[i] > labels) for curve in whole)


def _other(
    points: Points,
    x: npt.NDArray[np.float64],
    open_: npt.NDArray[np.bool_],
    labels: float | None,
) -> tuple[int, int, int] | None:
    """Return what one step more labels brings, or, at the last step, what that step has brought."""
    steps = points.budgets
    within = [s for s in steps if labels is None or s <= labels]
    if len(steps) < 2 or not within:
        return None
    more = len(within) < len(steps)
    if not more and len(within) < 2:
        return None
    step = steps[len(within)] if more else within[-2]
    won = winners(points, x, eligible(points, open_ & (points.labels <= step)))
    return (won[0], step, within[-1]) if won else None


def _nothing(
    setting: Setting,
    fits: npt.NDArray[np.bool_],
    no_cost: int,
    own: Floats,
) -> Answer:
    return Answer(
        setting=setting,
        fits=fits,
        pool=(),
        best=None,
        choice=None,
        runner=None,
        tie=None,
        flat=False,
        band=None,
        leaders=(),
        cheaper=0,
        frontier=(),
        shown=(),
        curves=(),
        beyond=(),
        beaten=None,
        linear=None,
        other=None,
        no_cost=no_cost,
        relax=(),
        nearest=(),
        own=own,
    )


def to_json(given: Answer) -> Mapping[str, object]:
    """Return the answer as the page's script gives it."""
    return {
        "best": given.best,
        "choice": given.choice,
        "runner": given.runner,
        "tie": given.tie,
        "flat": given.flat,
        "band": None if given.band is None else list(given.band),
        "leaders": list(given.leaders),
        "cheaper": given.cheaper,
        "frontier": list(given.frontier),
        "shown": list(given.shown),
        "curves": [list(c) for c in given.curves],
        "beyond": [list(c) for c in given.beyond],
        "beaten": given.beaten,
        "linear": given.linear,
        "other": None if given.other is None else list(given.other),
        "noCost": given.no_cost,
        "fits": int(given.fits.sum()),
        "pool": list(given.pool),
        "relax": [list(r) for r in given.relax],
        "nearest": [list(r) for r in given.nearest],
    }
