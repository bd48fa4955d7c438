"""The first page's row of controls, as HTML: only what the run's data can answer."""

from __future__ import annotations

from raysearch.panels import style
from raysearch.panels.embed import escape
from raysearch.recommend.answer import Answer
from raysearch.recommend.points import MS, Points
from raysearch.recommend.words import count

TEACHER = {"full": "paid in full", "shared": "shared by {k}", "free": "free"}


def controls(points: Points, given: Answer) -> dict[str, str]:
    """Return the slots of index.html: labels, ms, costs, teacher, methods."""
    return {
        "labels": _labels(points, given),
        "ms": _ms(points),
        "volume": _volume(points, given),
        "costs": "".join(
            _option(a.name, a.noun, a.name == given.setting.cost) for a in points.axes
        ),
        "teacher": _teacher(points, given),
        "methods": "".join(_method(points, i, given) for i in range(len(points.methods))),
    }


def _option(value: object, text: str, selected: bool) -> str:
    mark = " selected" if selected else ""
    return f'<option value="{escape(value)}"{mark}>{escape(text)}</option>'


def _labels(points: Points, given: Answer) -> str:
    last = points.budgets[-1:]
    first = _option("", f"any (up to {count(last[0])})" if last else "any", False)
    chosen = given.setting.labels
    rest = [_option(n, f"up to {count(n)}", n == chosen) for n in points.budgets]
    return first + "".join(rest)


def _ms(points: Points) -> str:
    if any(a.name == MS for a in points.axes):
        return ' placeholder="no limit"'
    return ' disabled placeholder="not measured" title="No latency has been measured yet."'


def _volume(points: Points, given: Answer) -> str:
    if points.prices:
        chosen = given.setting.volume
        return ' placeholder="none"' + ("" if chosen is None else f' value="{chosen:g}"')
    title = "Prices of a label and of an hour, given to raysearch page, make this work."
    return f' disabled placeholder="no prices" title="{title}"'


def _teacher(points: Points, given: Answer) -> str:
    if not points.teachers:
        return ""
    texts = {t: TEACHER[t].format(k=count(points.shared_by)) for t in points.teachers}
    options = [_option(t, texts[t], t == given.setting.teacher) for t in points.teachers]
    return (
        '<label class="field">Teacher’s compute '
        f'<select id="teacher">{"".join(options)}</select></label>'
    )


def _method(points: Points, i: int, given: Answer) -> str:
    name = points.methods[i]
    mark = style.marks(points.methods)[name]
    wanted = given.setting.methods
    on = " checked" if wanted is None or name in wanted else ""
    return (
        f'<label><input type="checkbox" value="{i}"{on}>'
        f'<svg viewBox="0 0 16 16" aria-hidden="true"><path d="{style.SHAPES[mark.shape]}" '
        f'fill="none" stroke="{mark.colour}" stroke-width="2"/></svg>{escape(name)}</label>'
    )
