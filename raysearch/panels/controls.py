"""The first page's row of controls: only what the run's data can answer."""

from __future__ import annotations

from typing import Any

from raysearch.panels import style
from raysearch.recommend.answer import Answer
from raysearch.recommend.points import MS, Points
from raysearch.recommend.words import count

TEACHER = {"full": "paid in full", "shared": "shared by {k}", "free": "free"}


def controls(points: Points, given: Answer) -> dict[str, Any]:
    """Return what index.html offers; options are (value, text, whether it is selected)."""
    held, budgets, shared = given.setting, points.budgets, count(points.shared_by)
    unlimited = f"any (up to {count(budgets[-1])})" if budgets else "any"
    return {
        "labels": [
            ("", unlimited, False),
            *((n, f"up to {count(n)}", n == held.labels) for n in budgets),
        ],
        "timed": any(a.name == MS for a in points.axes),
        "priced": bool(points.prices),
        "volume": held.volume,
        "costs": [(a.name, a.noun, a.name == held.cost) for a in points.axes],
        "teachers": [(t, TEACHER[t].format(k=shared), t == held.teacher) for t in points.teachers],
        "methods": [
            (name, mark, held.methods is None or name in held.methods)
            for name, mark in style.marks(points.methods).items()
        ],
    }
