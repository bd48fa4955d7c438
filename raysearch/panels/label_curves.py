"""Score on test against labels used, one line per method and size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.panels import style
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.ownership_cost import cost_of
from raysearch.recommend.ranking import winners


@dataclass(frozen=True, slots=True)
class Curve:
    """One method at one size: the winner of each label budget."""

    method: str
    model: str
    labels: tuple[float, ...]
    score: tuple[float, ...]
    ends: tuple[tuple[float, float] | None, ...]
    """The 95 % interval of the confirmed ones; None: not confirmed."""


@dataclass(frozen=True, slots=True)
class Info:
    """The curves, best on validation first."""

    score: str
    methods: tuple[str, ...]
    curves: tuple[Curve, ...]


def info(run: Run, *, best: int | None = None) -> Info:
    """Read the curves off a run; `best` keeps the first so many."""
    points = collect(run, spend=False)
    given = answer(points)
    cost = cost_of(points, given.setting, given.own) if given.setting.cost else points.test
    pool = np.zeros(len(points), dtype=np.bool_)
    pool[list(given.pool)] = True
    won = winners(points, cost, pool)
    curves = []
    for lead in given.leaders[:best]:
        method, model = points.method[lead], points.model[lead]
        same = [i for i in won if points.method[i] == method and points.model[i] == model]
        same.sort(key=lambda i: points.labels[i])
        curves.append(
            Curve(
                points.methods[method],
                points.models[model],
                tuple(float(points.labels[i]) for i in same),
                tuple(float(points.test[i]) for i in same),
                tuple(
                    (float(points.low[i]), float(points.high[i])) if points.place[i] >= 0 else None
                    for i in same
                ),
            )
        )
    return Info(points.score, points.methods, tuple(curves))


def draw(info: Info) -> go.Figure:
    """Draw lines, hollow points where not confirmed; colour, shape by method, dashes by size."""
    marks = style.marks(info.methods)
    out = style.figure(
        xaxis=style.log_axis("labels used"),
        annotations=[style.top_title(f"{info.score} on test")],
    )
    sizes: dict[str, int] = {}
    for curve in info.curves:
        nth = sizes[curve.method] = sizes.get(curve.method, -1) + 1
        mark = marks[curve.method]
        out.add_scatter(
            x=curve.labels,
            y=curve.score,
            mode="lines+markers",
            name=style.inert(f"{curve.model}, {curve.method}"),
            line={"color": mark.colour, "width": 1.6, "dash": style.LINES[nth % 4]},
            marker={
                "symbol": [mark.shape + ("-open" if e is None else "") for e in curve.ends],
                "size": 9,
                "color": mark.colour,
                "line": {"width": 1.8, "color": mark.colour},
            },
            error_y=style.bars(curve.score, curve.ends),
            hovertemplate="%{x} labels: %{y:.3f}<extra></extra>",
        )
    out.update_xaxes(style.label_ticks([x for curve in info.curves for x in curve.labels]))
    out.update_layout(legend=style.BELOW)
    return out
