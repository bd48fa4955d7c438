"""How marks and figures look: colours safe for colour-blind readers, shapes that repeat them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import plotly.graph_objects as go

COLOURS = ("#0077bb", "#d1511f", "#009988", "#aa3377", "#b07d00")
"""After Tol's vibrant scheme, darkened to stand on white as on near-black. 5 and 7 are coprime:
35 methods have a pair of their own."""
SHAPES = {
    "circle": "M2 8a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z",
    "square": "M3 3H13V13H3Z",
    "triangle-up": "M8 2L14.5 13H1.5Z",
    "diamond": "M8 1L15 8L8 15L1 8Z",
    "triangle-down": "M8 14L14.5 3H1.5Z",
    "cross": "M6 2H10V6H14V10H10V14H6V10H2V6H6Z",
    "star": "M8 1L10 6H15L11 9.3L12.5 14.5L8 11.4L3.5 14.5L5 9.3L1 6H6Z",
}
"""By plotly's symbol name, the same outline as an SVG path in a 16 x 16 box."""
GREY = "#8a9099"
LINES = ("solid", "dash", "dot", "dashdot")
FONT = "Inter, 'Segoe UI', system-ui, -apple-system, 'Helvetica Neue', Arial, sans-serif"
BELOW = {"yref": "container", "y": 0, "yanchor": "bottom"}
"""A legend under the axis title, however many lines it takes."""
GL_ABOVE = 2000
"""More points than this are drawn by WebGL in figures of their own."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One method's colour and shape."""

    colour: str
    shape: str


def marks(names: Sequence[str]) -> dict[str, Mark]:
    """Give each name a mark, in their order.

    >>> marks(["a", "b"])["b"]
    Mark(colour='#d1511f', shape='square')
    """
    shapes = list(SHAPES)
    return {
        name: Mark(COLOURS[i % len(COLOURS)], shapes[i % len(shapes)])
        for i, name in enumerate(names)
    }


def inert(text: str) -> str:
    """Return a user's text as plotly shows it verbatim: plotly reads tags and entities in labels.

    >>> inert("<b>x</b> & y")
    '&lt;b&gt;x&lt;/b&gt; &amp; y'
    """
    return html.escape(text, quote=False)


Figure: TypeAlias = go.Figure


def figure(**layout: Any) -> go.Figure:
    """Return an empty figure in the common style: no box, faint horizontal lines, small type."""
    axis = {
        "gridcolor": "rgba(128,134,145,0.18)",
        "linecolor": "rgba(128,134,145,0.6)",
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "rgba(128,134,145,0.5)",
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 12}},
    }
    base: dict[str, Any] = {
        "font": {"family": FONT, "size": 12, "color": "#4a515c"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 16, "t": 28, "b": 48},
        "height": 420,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "title": {"text": ""},
        },
        "xaxis": {**axis, "showgrid": False, "showline": True},
        "yaxis": {**axis, "showline": False, "ticks": ""},
    }
    # at once: plotly looks for listeners after each property that an update changes
    out = go.Figure(layout=merged(base, layout))
    out.update_layout(template=None)
    return out


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, the second's values in the place of the first's; mappings are merged in turn.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": [4]})
    {'a': {'b': 3, 'c': 2}, 'd': [4]}
    """
    out = dict(base)
    for name, value in more.items():
        old = out.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)
        out[name] = value
    return out


def log_axis(title: str) -> dict[str, Any]:
    """Return a log axis: powers of ten written as such; within a decade few ticks, level."""
    return {
        "type": "log",
        "nticks": 6,
        "tickangle": 0,
        "title": {"text": inert(title)},
        "exponentformat": "power",
        "minor": {"ticks": ""},
    }


def top_title(text: str) -> dict[str, Any]:
    """Return the name of the y axis, level and above it, to be read without turning the head."""
    return {
        "text": inert(text),
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 6,
        "xshift": -44,
        "showarrow": False,
        "font": {"size": 12},
        "name": "ytitle",
    }


def label_ticks(labels: Sequence[float]) -> dict[str, Any]:
    """Return ticks at the label counts themselves, those too close on a log axis left out.

    >>> label_ticks([32, 40, 320])["ticktext"]
    ['32', '320']
    """
    values = sorted({v for v in labels if v > 0})
    kept: list[float] = []
    for value in values:
        if not kept or value / kept[-1] > 1.7:
            kept.append(value)
    return {"tickmode": "array", "tickvals": kept, "ticktext": [f"{v:,.0f}" for v in kept]}


def bars(y: Sequence[float], ends: Sequence[tuple[float, float] | None]) -> dict[str, object]:
    """Return error bars of 95 % intervals, for a trace's `error_y`; length 0 where none."""
    both = [e if e is not None else (v, v) for v, e in zip(y, ends, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - v for v, (_, high) in zip(y, both, strict=True)],
        "arrayminus": [v - low for v, (low, _) in zip(y, both, strict=True)],
        "thickness": 1.4,
        "width": 3,
    }
