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
    setting, budgets, shared = given.setting, points.budgets, count(points.shared_by)
    unlimited = f"any (up to {count(budgets[-1])})" if budgets else "any"
    return {
        "labels": [
            ("", unlimited, False),
            *((n, f"up to {count(n)}", n == setting.labels) for n in budgets),
        ],
        "timed": any(a.name == MS for a in points.axes),
        "priced": bool(points.prices),
        "volume": setting.volume,
        "costs": [(a.name, a.noun, a.name == setting.cost) for a in points.axes],
        "teachers": [
            (t, TEACHER[t].format(k=shared), t == setting.teacher) for t in points.teachers
        ],
        "methods": [
            (name, mark, setting.methods is None or name in setting.methods)
            for name, mark in style.marks(points.methods).items()
        ],
    }
