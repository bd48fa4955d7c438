"""One frontier per label budget: what each further step of labels moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from raysearch.analysis import Run
from raysearch.objectives import get
from raysearch.panels import style
from raysearch.recommend.collect import collect
from raysearch.recommend.point_text import name
from raysearch.recommend.ranking import eligible, step_frontier


@dataclass(frozen=True, slots=True)
class Line:
    """The frontier of one label budget, cheapest first."""

    labels: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    ends: tuple[tuple[float, float] | None, ...]
    """The 95 % interval of the confirmed ones; None: not confirmed."""
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """The lines, by budget."""

    score: str
    cost: str
    lines: tuple[Line, ...]


def info(run: Run, *, cost: str = "infer_flops") -> Info:
    """Find the frontiers on validation, of the confirmed points where there are any."""
    points = collect(run, spend=False)
    unit = get(cost).unit
    x = points.costs.get(cost, np.full(len(points), np.nan))
    lines = []
    for labels in sorted({int(n) for n in points.budget.tolist()}):
        fits = (points.budget == labels) & np.isfinite(x) & (x > 0)
        members = step_frontier(x, points.validation, eligible(points, fits))
        lines.append(
            Line(
                labels,
                tuple(float(x[i]) for i in members),
                tuple(float(points.test[i]) for i in members),
                tuple(
                    (float(points.low[i]), float(points.high[i])) if points.place[i] >= 0 else None
                    for i in members
                ),
                tuple(name(points, i) for i in members),
            )
        )
    return Info(points.score, f"{cost.replace('_', ' ')} [{unit}]", tuple(lines))


def draw(info: Info) -> go.Figure:
    """Draw step lines, paler for fewer labels, each named at its dear end."""
    out = style.figure(
        xaxis=style.log_axis(info.cost),
        annotations=[style.top_title(f"{info.score} on test")],
        legend=style.BELOW,
    )
    steps = max(1, len(info.lines) - 1)
    shapes = list(style.SHAPES)
    for i, line in enumerate(info.lines):
        colour = sample_colorscale("Viridis", [0.75 - 0.45 * i / steps])[0]
        out.add_scatter(
            x=line.x,
            y=line.y,
            mode="lines+markers",
            name=f"{line.labels:,} labels",
            hovertext=[style.inert(n) for n in line.names],
            line={"shape": "hv", "width": 1.8, "color": colour},
            marker={
                "symbol": [
                    shapes[i % len(shapes)] + ("-open" if e is None else "") for e in line.ends
                ],
                "size": 9,
            },
            error_y=style.bars(line.y, line.ends),
        )
    return out
