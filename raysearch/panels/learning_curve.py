"""What more labels bring to one method and model: score on test against labels used."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.report import CurvePoint, Report
from raysearch.panels import style
from raysearch.recommend.recommended import look


@dataclass(frozen=True, slots=True)
class Info:
    """The winner of each label budget, by labels."""

    method: str
    model: str
    score: str
    points: tuple[CurvePoint, ...]


def info(run: Run, *, point: str = "") -> Info:
    """Read the curve of a point's method and model, or of the best's, off a run."""
    report = look(run, point)
    return Info("", "", "score", ()) if report is None else of(report)


def of(report: Report) -> Info:
    """Return the curve of a report."""
    config = report.about.record.config
    return Info(config.method, config.rung, report.score, report.curve)


def draw(info: Info) -> go.Figure:
    """Draw a line; confirmed budgets filled with their interval, the others hollow."""
    out = style.figure(
        height=380,
        xaxis=style.log_axis("labels used"),
        annotations=[style.top_title(f"{info.score} on test")],
    )
    if not info.points:
        return out
    colour = style.COLOURS[0]
    out.add_scatter(
        x=[p.labels for p in info.points],
        y=[p.score for p in info.points],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [0 if p.high is None else p.high - p.score for p in info.points],
            "arrayminus": [0 if p.low is None else p.score - p.low for p in info.points],
            "thickness": 1.4,
            "width": 5,
        },
        mode="lines+markers",
        showlegend=False,
        line={"color": colour, "width": 1.6},
        marker={
            "symbol": ["circle" if p.draws else "circle-open" for p in info.points],
            "size": 9,
            "color": colour,
            "line": {"width": 1.8, "color": colour},
        },
        text=[f"{p.draws} draws" if p.draws else "one draw" for p in info.points],
        hovertemplate="%{x} labels: %{y:.3f}, %{text}<extra></extra>",
    )
    out.update_xaxes(style.label_ticks([p.labels for p in info.points]))
    return out


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per budget."""
    return [
        {
            "method": info.method,
            "model": info.model,
            "labels_used": p.labels,
            info.score: p.score,
            "low": p.low,
            "high": p.high,
            "draws": p.draws,
            "point_id": p.point_id,
        }
        for p in info.points
    ]
