"""Sentences for limits that nothing meets: which to relax, and by how much."""

from __future__ import annotations

import numpy as np

from raysearch.recommend.answer import Answer
from raysearch.recommend.limits import needs
from raysearch.recommend.point_text import name, shown
from raysearch.recommend.points import Points
from raysearch.recommend.setting import LIMITS
from raysearch.recommend.words import Sentence, bound, brief, count, phrase, say


def relaxing(points: Points, given: Answer) -> list[Sentence]:
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
