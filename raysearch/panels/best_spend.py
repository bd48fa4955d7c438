"""Best validation score so far against search FLOPs spent: methods held at equal tuning."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from raysearch.analysis import Run, best_over_spend
from raysearch.panels import style
from raysearch.recommend.collect import collect


@dataclass(frozen=True, slots=True)
class Curve:
    """One method's course; spend in FLOPs."""

    name: str
    spend: tuple[float, ...]
    value: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """The courses, "all" first."""

    value: str
    methods: tuple[str, ...]
    curves: tuple[Curve, ...]


def info(run: Run) -> Info:
    """Compute from the records the best score against spend."""
    points = collect(run, spend=False)
    curves = steps(best_over_spend(run.table), "score")
    return Info(f"best {points.score} on validation so far", points.methods, curves)


def steps(frame: pd.DataFrame, column: str) -> tuple[Curve, ...]:
    """Return the curves of a spend table: the rows where the value moves, and the last."""
    out = []
    for name, part in frame.groupby("method", sort=True):
        part = part[part[column].notna() & part["spend"].gt(0)]
        if part.empty:
            continue
        moved = part[column].diff().ne(0).to_numpy(dtype=bool, copy=True)
        moved[-1] = True
        kept = part[moved]
        spend, value = kept["spend"].tolist(), kept[column].tolist()
        out.append(Curve(str(name), tuple(spend), tuple(value)))
    return tuple(out)


def draw(info: Info) -> go.Figure:
    """Draw step lines, level until the next find; dashes and colours by method."""
    return courses(info.value, info.methods, info.curves)


def courses(title: str, methods: tuple[str, ...], curves: tuple[Curve, ...]) -> go.Figure:
    """Draw step lines against spend."""
    marks = style.marks(methods)
    out = style.figure(
        xaxis=style.log_axis("search compute spent [FLOP]"),
        annotations=[style.top_title(title)],
        legend=style.BELOW,
    )
    for curve in curves:
        mark = marks.get(curve.name)
        out.add_scatter(
            x=curve.spend,
            y=curve.value,
            mode="lines+markers",
            name=style.inert(curve.name),
            line={"shape": "hv", "width": 1.6, "color": mark.colour if mark else style.GREY},
            marker={"symbol": (mark.shape if mark else "circle") + "-open", "size": 6},
            hovertemplate="%{x:.2g} FLOPs: %{y:.3f}<extra>%{fullData.name}</extra>",
        )
    return out
