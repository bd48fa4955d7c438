"""Predicted numbers against the true ones, for regression."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.report import Report
from raysearch.panels import style
from raysearch.recommend.recommended import look


@dataclass(frozen=True, slots=True)
class Info:
    """One mark a test row; parallel tuples."""

    label: tuple[float, ...]
    predicted: tuple[float, ...]
    """Mean over draws."""


def info(run: Run, *, point: str = "") -> Info:
    """Read the marks of a point, or of the best, off a run; empty for classification."""
    report = look(run, point)
    return Info((), ()) if report is None else of(report)


def of(report: Report) -> Info:
    """Return the marks of a report."""
    if report.fit is None:
        return Info((), ())
    label, predicted = report.fit
    return Info(tuple(label.tolist()), tuple(predicted.tolist()))


def draw(info: Info) -> go.Figure:
    """Draw a cloud about the diagonal; on it the prediction is right."""
    out = style.figure(
        height=420,
        xaxis={"title": {"text": "label"}},
        annotations=[style.top_title("prediction, mean over draws")],
    )
    if not info.label:
        return out
    ends = [min(*info.label, *info.predicted), max(*info.label, *info.predicted)]
    out.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"dash": "dot", "width": 1, "color": style.GREY},
        hoverinfo="skip",
        showlegend=False,
    )
    kind = go.Scattergl if len(info.label) > style.GL_ABOVE else go.Scatter
    out.add_trace(
        kind(
            x=info.label,
            y=info.predicted,
            mode="markers",
            showlegend=False,
            marker={"size": 6, "color": style.COLOURS[0], "opacity": 0.45},
            hovertemplate="label %{x:.3g}, predicted %{y:.3g}<extra></extra>",
        )
    )
    return out


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per mark."""
    pairs = zip(info.label, info.predicted, strict=True)
    return [{"label": x, "predicted": y} for x, y in pairs]
