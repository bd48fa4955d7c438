"""Facts about points, costs and differences: what every sentence is made of.

`panels/assets/facts.js` mirrors them; the words stand in `sentences.json`.
"""

from __future__ import annotations

import numpy as np

from raysearch.recommend.differences import difference_of, distinguishable, interval_of
from raysearch.recommend.points import MS, OWN, TRAIN, Floats, Points
from raysearch.recommend.words import Fact, format_fixed, render_text


def name(points: Points, i: int) -> str:
    """Return the choice in words: model, method, labels used."""
    return render_text("name", point_facts(points, i))


def verdict(points: Points, i: int, j: int) -> str:
    """Return whether point i is better or worse than j, or not distinguishable from it."""
    return render_text("verdict", difference_facts(points, i, j))


def page_facts(points: Points) -> dict[str, Fact]:
    """Return what every scope of facts holds."""
    return {"score": points.score, "digits": points.digits, "run": points.run}


def point_facts(points: Points, i: int, teacher: str = "full") -> dict[str, Fact]:
    """Return a point's name, its test score with its interval, and what it costs."""
    low, high = interval_of(points, i) or (None, None)
    labels, costs = float(points.labels[i]), points.costs
    return page_facts(points) | {
        "model": points.models[points.model[i]],
        "method": points.methods[points.method[i]] + points.knobs[i],
        "labels": labels,
        "labelled": labels > 0,
        "test": float(points.test[i]),
        "low": low,
        "high": high,
        "rows": float(points.test_rows[i]),
        "confirmed": bool(points.place[i] >= 0),
        "train_seconds": known(costs.get("train_seconds"), i),
        "train_flops": float(points.cost(TRAIN, teacher)[i]),
        "ms": known(costs.get(MS), i),
        "infer_flops": known(costs.get("infer_flops"), i),
    }


def known(column: Floats | None, i: int) -> float | None:
    """Return a point's value in a column; None where it was not measured."""
    return float(column[i]) if column is not None and np.isfinite(column[i]) else None


def gap_facts(
    points: Points, delta: float, ends: tuple[float, float] | None = None
) -> dict[str, Fact]:
    """Return how far two test scores are from each other, with the ends of the interval."""
    low, high = ends or (None, None)
    return {
        "gap": float(abs(delta)),
        "level": not format_fixed(abs(delta), points.digits).strip("0."),
        "up": bool(delta > 0),
        "from": low,
        "to": high,
    }


def difference_facts(points: Points, i: int, j: int) -> dict[str, Fact]:
    """Return how point i differs from j on test."""
    far, up = distinguishable(points, i, j), bool(points.test[i] > points.test[j])
    gap = gap_facts(points, points.test[i] - points.test[j], difference_of(points, i, j))
    return gap | {"apart": far, "better": far and up, "worse": far and not up}


def times_facts(noun: str, cost: float, than: float) -> dict[str, Fact]:
    """Return how a cost compares to another."""
    ratio = 1.0 if cost == than else cost / than if cost > than else than / cost
    return {"noun": noun, "even": bool(cost == than), "dearer": bool(cost > than), "ratio": ratio}


def counted_facts(n: int) -> dict[str, Fact] | None:
    """Return a number of points; None where there are none."""
    return {"n": n, "one": n == 1} if n else None


def noun_of(points: Points, axis: str) -> str:
    """Return the axis in words."""
    if axis == OWN:
        return render_text("own_noun", {})
    return next((a.noun for a in points.axes if a.name == axis), axis)
