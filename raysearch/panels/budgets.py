"""One frontier per label budget: what each further step of labels moves."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from raysearch.analysis import Run, frontiers
from raysearch.objectives import get
from raysearch.panels import style
from raysearch.panels.collect import collect


@dataclass(frozen=True, slots=True)
class Line:
    """The frontier of one label budget, cheapest first; members without a test score left out."""

    labels: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    names: tuple[str, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Info:
    """The lines, by budget."""

    score: str
    cost: str
    lines: tuple[Line, ...]
    caption: str


def info(run: Run, *, cost: str = "infer_flops") -> Info:
    """Find the frontiers on validation; shown at their test scores."""
    lines = []
    for labels, front in frontiers(run.table, ("score", cost)).items():
        if labels is None:
            continue
        shown = front.members[front.members["score_test"].notna() & front.members[cost].gt(0)]
        lines.append(
            Line(
                labels,
                tuple(float(v) for v in shown[cost]),
                tuple(float(v) for v in shown["score_test"]),
                tuple(f"{a}, {b}" for a, b in zip(shown["model"], shown["method"], strict=True)),
                len(front.members) - len(shown),
            )
        )
    left = sum(line.left_out for line in lines)
    caption = f"{left:,} frontier members without a test score left out." if left else ""
    unit = get(cost).unit
    return Info(
        collect(run, spend=False).score, f"{cost.replace('_', ' ')} [{unit}]", tuple(lines), caption
    )


def draw(info: Info) -> go.Figure:
    """Step lines, paler for fewer labels, each named at its dear end."""
    out = style.figure(
        xaxis=style.log_axis(info.cost),
        annotations=[style.top_title(f"{info.score} on test")],
        meta={"caption": info.caption},
        legend=style.BELOW,
    )
    n = max(1, len(info.lines) - 1)
    shapes = list(style.SHAPES)
    for i, line in enumerate(info.lines):
        colour = sample_colorscale("Viridis", [0.75 - 0.45 * i / n])[0]
        out.add_scatter(
            x=line.x,
            y=line.y,
            mode="lines+markers",
            name=f"{line.labels:,} labels",
            hovertext=[style.inert(name) for name in line.names],
            line={"shape": "hv", "width": 1.8, "color": colour},
            marker={"symbol": shapes[i % len(shapes)] + "-open", "size": 9},
        )
    return out
