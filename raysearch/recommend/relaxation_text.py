"""Facts about limits that nothing meets: which to relax, and by how much."""

from __future__ import annotations

import numpy as np

from raysearch.recommend.answer import Answer
from raysearch.recommend.limits import needs
from raysearch.recommend.point_text import page_facts, point_facts
from raysearch.recommend.points import Points
from raysearch.recommend.setting import LIMITS
from raysearch.recommend.words import Fact


def limits_facts(points: Points, given: Answer) -> dict[str, Fact]:
    """Return the limits whose column no point has, those to relax, and what the nearest needs."""
    value = needs(points, given.setting)
    given_limits = [limit for limit in LIMITS if getattr(given.setting, limit) is not None]
    unmeasured: list[dict[str, Fact]] = [
        page_facts(points) | {"of_" + limit: True}
        for limit in given_limits
        if len(points) and not bool(np.isfinite(value[limit]).any())
    ]
    relax: list[dict[str, Fact]] = [
        point_facts(points, i) | _bound_facts(given, limit, need) for limit, need, i in given.relax
    ]
    near: dict[str, Fact] | None = None
    if given.nearest:
        wanted = [_bound_facts(given, limit, need) for limit, need, _ in given.nearest]
        near = point_facts(points, given.nearest[0][2]) | {"needs": wanted}
    return {"unmeasured": unmeasured, "relax": relax, "nearest": near}


def _bound_facts(given: Answer, limit: str, need: float) -> dict[str, Fact]:
    """Return what a limit is, and what it would have to be."""
    have = float(getattr(given.setting, limit))
    whole = limit in ("labels", "max_bytes") and have == int(have)
    return {"of_" + limit: True, "need": need, "have": have, "whole": whole}
