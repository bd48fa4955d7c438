"""A request for a recommendation: texts of options in; the answer, its lines and its JSON out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from raysearch.analysis import Run
from raysearch.config.option import options_of, parsed
from raysearch.config.option_values import names, number, positive
from raysearch.config.study import Prices, Study
from raysearch.errors import InputError, unknown
from raysearch.recommend.answer import Answer, answer
from raysearch.recommend.collect import collect
from raysearch.recommend.differences import difference_of, interval_of
from raysearch.recommend.label_value import unpriced
from raysearch.recommend.point_text import name
from raysearch.recommend.points import OWN, TEACHERS, Points
from raysearch.recommend.sentences import details, footer, headline, interval_note, why
from raysearch.recommend.words import text

LIMITS = {
    "labels": "--labels",
    "max_ms": "--max-ms",
    "max_bytes": "--max-bytes",
    "max_train_flops": "--max-train-flops",
    "volume": "--volume",
}
"""Options of a request that are numbers above 0, by the field of `Setting`."""


def recommend(run: Run, given: Mapping[str, Any]) -> tuple[Points, Answer]:
    """Return a run's points and what to train within the limits that the options set.

    Raises:
        InputError: an option that cannot be read, or dollars to own without prices.
    """
    points = collect(run)
    setting = parse_request(points, given)
    answered = answer(points, **setting)
    if setting["cost"] == OWN and not np.isfinite(answered.own).any():
        raise InputError(f"--cost own: {'; '.join(unpriced(points, answered))}")
    return points, answered


def parse_request(points: Points, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `Setting` that the options set.

    Raises:
        InputError: a number that is none, or a method, axis or teacher that does not exist.
    """
    out: dict[str, Any] = {
        key: positive(given[key], option, zero=key in ("labels", "volume"))
        for key, option in LIMITS.items()
    }
    out["min_score"] = number(given["min_score"], "--min-score")
    prices = prices_of(given)
    out["prices"] = {**points.prices, **prices} if prices else None
    if given["teacher"] not in TEACHERS:
        raise unknown("--teacher", "account", given["teacher"], TEACHERS)
    out["teacher"] = given["teacher"]
    axes = {a.name for a in points.axes} | {OWN}
    if given["cost"] and given["cost"] not in axes:
        raise unknown("--cost", "cost", given["cost"], axes)
    out["cost"] = given["cost"]
    out["methods"] = None
    if given["methods"]:
        out["methods"] = names(given["methods"])
        for method in out["methods"]:
            if method not in points.outcomes:
                raise unknown("--methods", "method", method, points.outcomes)
    return out


def prices_of(given: Mapping[str, Any]) -> dict[str, float]:
    """Return the given prices by their name in a study; InputError for one that is none."""
    options = options_of(Prices, "prices")
    prices = parsed(options, given, {})
    return {o.path[-1]: prices[o.name] for o in options if o.name in prices}


def share_of(given: Mapping[str, Any]) -> int | None:
    """Read --share-teacher; None stays None, InputError for what is no whole number above 0."""
    share: int | None = parsed(options_of(Study, "sharing"), given, {}).get("share_teacher")
    return share


def to_text(points: Points, given: Answer) -> list[str]:
    """Return the page's first screen, line by line."""
    out = [text(s) for s in (*headline(points, given), *details(points, given))]
    if given.choice is not None:
        out.append(
            f"Export it: raysearch export {points.run} {points.ids[given.choice]} --to model"
        )
    out.append("")
    out += [f"{method}: {sentence}" for method, sentence in why(points, given)]
    out += ["", *(line for line in (interval_note(points, given), footer(points, given)) if line)]
    return out


def to_json(points: Points, given: Answer) -> dict[str, Any]:
    """Return the same as plain JSON; what is not known is left out."""
    return {
        "task": points.task,
        "score": points.score,
        "choice": _point(points, given, given.choice),
        "runner_up": _point(points, given, given.runner),
        "cheaper_tie": _point(points, given, given.tie),
        "nothing_stands_out": given.flat,
        "relax": [
            {"limit": limit, "needed": need, "point": _point(points, given, i)}
            for limit, need, i in given.relax
        ],
        "sentences": [text(s) for s in (*headline(points, given), *details(points, given))],
        "why": dict(why(points, given)),
        "footer": footer(points, given),
    }


def _point(points: Points, given: Answer, i: int | None) -> dict[str, Any] | None:
    if i is None:
        return None
    ends = interval_of(points, i)
    costs = {k: float(v[i]) for k, v in points.costs.items() if math.isfinite(v[i])}
    if math.isfinite(given.own[i]):
        costs["own"] = float(given.own[i])
    out: dict[str, Any] = {
        "point_id": points.ids[i],
        "name": name(points, i),
        "method": points.methods[points.method[i]],
        "model": points.models[points.model[i]],
        "labels": int(points.labels[i]),
        "draws": int(points.draws[i]),
        "validation": float(points.validation[i]),
        "test": float(points.test[i]),
        "interval": None if ends is None else list(ends),
        "costs": costs,
    }
    if given.choice is not None and i != given.choice:
        gap = difference_of(points, i, given.choice)
        out["difference"] = float(points.test[i] - points.test[given.choice])
        out["difference_interval"] = None if gap is None else list(gap)
    return out
