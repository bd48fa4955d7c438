"""What to train, by the rules of the first page: pure arithmetic on `Points`.

`assets/answer.js` mirrors this file line by line, so that the page's controls give the same
answer to the digit; a browser test compares both.

The rule: the choice is made on validation and shown on test. A winner is the best of its
(method, model, label budget) cell; the best winner is the choice. Cheaper winners whose difference
to it on test has an interval that holds 0 are ties, and the cheapest of them is named.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysearch.panels.margins import apart, band_of
from raysearch.panels.points import Points

LINEAR = "ngram_linear"
"""The method that every other is held against."""
SHOWN_ROWS = 5
SHOWN_CURVES = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """What the reader has and wants to see."""

    labels: float | None = None
    """At most so many labels used."""
    max_ms: float | None = None
    """At most so many milliseconds a text; points without a measured latency are then out."""
    cost: str = ""
    """The cost axis; empty for the run's default."""
    methods: tuple[str, ...] | None = None
    """Only these methods; None for all."""
    teacher: str = "full"


@dataclass(frozen=True, slots=True)
class Answer:
    """Indexes into `Points`, and the numbers drawn beside them."""

    setting: Setting
    fits: npt.NDArray[np.bool_]
    """Which points meet every limit and have the cost."""
    best: int | None
    """The best winner on validation."""
    choice: int | None
    """The recommendation: `best`, or the cheapest leader where nothing stands out."""
    tie: int | None
    """The cheapest winner that is cheaper than `best` and not distinguishable from it."""
    flat: bool
    """Whether the best of each (method, model) cannot be told from each other."""
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
    beaten: int | None
    """The leader that is better on test than `best` by more than chance explains, if any."""
    linear: int | None
    """The n-gram linear winner with the best test score: a baseline is given its best."""
    other: tuple[int, int, int] | None
    """(the best with one step more or fewer labels, that step, the step it is held against)."""
    no_cost: int
    """Scored points that cannot stand on the log axis: the cost is absent or zero."""


def answer(
    points: Points,
    labels: float | None = None,
    max_ms: float | None = None,
    cost: str = "",
    methods: Sequence[str] | None = None,
    teacher: str = "full",
) -> Answer:
    """Choose among the points that fit.

    Ties on validation go to the cheaper point, then to the earlier one. Order of growth: n log n.

    Raises:
        InputError: a cost axis that the run does not have.
    """
    axis = cost or (points.axes[0].name if points.axes else "")
    setting = Setting(labels, max_ms, axis, None if methods is None else tuple(methods), teacher)
    if not axis:
        return _nothing(setting, np.zeros(len(points), dtype=np.bool_), len(points))
    x = points.cost(axis, teacher)
    open_ = np.isfinite(x) & (x > 0)
    no_cost = int((~open_).sum())
    if max_ms is not None:
        latency = points.costs.get("latency_ms", np.full(len(points), np.nan))
        open_ &= np.nan_to_num(latency, nan=np.inf) <= max_ms
    if methods is not None:
        wanted = np.array([m in methods for m in points.methods], dtype=np.bool_)
        open_ &= wanted[points.method] if len(points) else open_
    fits = open_ & (points.labels <= labels) if labels is not None else open_
    won = winners(points, x, fits)
    if not won:
        return _nothing(setting, fits, no_cost)
    best, test = won[0], points.test
    leaders = first_of(won, lambda i: (points.method[i], points.model[i]))
    cheaper = [i for i in won if x[i] < x[best]]
    ties = [i for i in cheaper if test[i] >= test[best] or not apart(points, best, i)]
    tie = min(ties, key=lambda i: x[i]) if ties else None
    linear = [i for i in won if points.methods[points.method[i]] == LINEAR]
    above = [i for i in leaders if test[i] > test[best] and apart(points, best, i)]
    flat = (
        points.kind != "none"
        and len(leaders) > 1
        and not any(apart(points, best, i) for i in leaders)
    )
    choice = min(leaders, key=lambda i: x[i]) if flat else best
    second = best if flat else tie
    rest = [i for i in (choice, second, *leaders) if i is not None]
    return Answer(
        setting=setting,
        fits=fits,
        best=best,
        choice=choice,
        tie=None if flat else tie,
        flat=flat,
        band=band_of(points, best),
        leaders=leaders,
        cheaper=len(cheaper),
        frontier=step_frontier(x, points.validation, fits),
        shown=tuple(dict.fromkeys(rest))[:SHOWN_ROWS],
        curves=_curves(points, won, leaders),
        beaten=max(above, key=lambda i: test[i]) if above else None,
        linear=max(linear, key=lambda i: test[i]) if linear else None,
        other=_other(points, x, open_, labels),
        no_cost=no_cost,
    )


def winners(points: Points, x: npt.NDArray[np.float64], fits: npt.NDArray[np.bool_]) -> list[int]:
    """The best point on validation of each (method, model, label budget), best first."""
    at = np.flatnonzero(fits)
    ranked = at[np.lexsort((x[at], -points.validation[at]))].tolist()
    keys = zip(points.method[ranked], points.model[ranked], points.budget[ranked], strict=True)
    cell = dict(zip(ranked, keys, strict=True))
    return list(first_of(ranked, cell.__getitem__))


def first_of(ranked: Iterable[int], key: Callable[[int], Hashable]) -> tuple[int, ...]:
    """The first of each key, in order."""
    seen: dict[Hashable, int] = {}
    for i in ranked:
        seen.setdefault(key(i), i)
    return tuple(seen.values())


def step_frontier(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], fits: npt.NDArray[np.bool_]
) -> tuple[int, ...]:
    """Points that no other beats on both: cheapest first, each better than all before.

    >>> step_frontier(np.array([1.0, 3.0, 2.0]), np.array([0.5, 0.7, 0.4]), np.ones(3, bool))
    (0, 1)
    """
    at = np.flatnonzero(fits)
    ranked = at[np.lexsort((-y[at], x[at]))]
    top = np.maximum.accumulate(np.concatenate([[-np.inf], y[ranked]]))[:-1]
    return tuple(int(i) for i in ranked[y[ranked] > top])


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


def _other(
    points: Points,
    x: npt.NDArray[np.float64],
    open_: npt.NDArray[np.bool_],
    labels: float | None,
) -> tuple[int, int, int] | None:
    """What one step more labels brings, or, at the last step, what that step has brought."""
    steps = points.budgets
    within = [s for s in steps if labels is None or s <= labels]
    if len(steps) < 2 or not within:
        return None
    more = len(within) < len(steps)
    if not more and len(within) < 2:
        return None
    step = steps[len(within)] if more else within[-2]
    won = winners(points, x, open_ & (points.labels <= step))
    return (won[0], step, within[-1]) if won else None


def _nothing(setting: Setting, fits: npt.NDArray[np.bool_], no_cost: int) -> Answer:
    return Answer(
        setting, fits, None, None, None, False, None, (), 0, (), (), (), None, None, None, no_cost
    )


def to_json(given: Answer) -> Mapping[str, object]:
    """The answer as the page's script gives it."""
    return {
        "best": given.best,
        "choice": given.choice,
        "tie": given.tie,
        "flat": given.flat,
        "band": None if given.band is None else list(given.band),
        "leaders": list(given.leaders),
        "cheaper": given.cheaper,
        "frontier": list(given.frontier),
        "shown": list(given.shown),
        "curves": [list(c) for c in given.curves],
        "beaten": given.beaten,
        "linear": given.linear,
        "other": None if given.other is None else list(given.other),
        "noCost": given.no_cost,
        "fits": int(given.fits.sum()),
    }
