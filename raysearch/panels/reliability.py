"""Whether the answers are right as often as their confidence says, before and after scaling."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.report import Report
from raysearch.panels import style
from raysearch.recommend.recommended import look


@dataclass(frozen=True, slots=True)
class Series:
    """The bins of one state of the probabilities, by rising confidence."""

    name: str
    ece: float
    """Expected calibration error, the mean over draws."""
    confidence: tuple[float, ...]
    """Mean confidence of a bin."""
    accuracy: tuple[float, ...]
    """Share of a bin's answers that are right."""
    count: tuple[int, ...]
    """Answers of a bin, over all draws."""


@dataclass(frozen=True, slots=True)
class Info:
    """The series: as trained, and with temperature scaling where one could be fitted."""

    series: tuple[Series, ...]


def info(run: Run, *, point: str = "") -> Info:
    """Read the bins of a point, or of the best, off a run; empty for regression."""
    report = look(run, point)
    return Info(()) if report is None else of(report)


def of(report: Report) -> Info:
    """Return the bins of a report."""
    made = report.calibration
    if made is None:
        return Info(())
    states = [("as trained", made.ece_before.mean, made.before)]
    if made.fitted:
        name = f"temperature {made.temperature.mean:.2f}"
        states.append((name, made.ece_after.mean, made.after))
    return Info(
        tuple(
            Series(
                name,
                float(error),
                tuple(b.confidence for b in bins),
                tuple(b.accuracy for b in bins),
                tuple(b.count for b in bins),
            )
            for name, error, bins in states
        )
    )


def draw(info: Info) -> go.Figure:
    """Draw accuracy against confidence; on the diagonal confidence can be believed."""
    out = style.figure(
        height=400,
        annotations=[style.top_title("share right")],
        xaxis={"title": {"text": "confidence"}, "range": [0, 1.02]},
        yaxis={"range": [0, 1.02]},
    )
    if not info.series:
        return out
    out.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"dash": "dot", "width": 1, "color": style.GREY},
        hoverinfo="skip",
        showlegend=False,
    )
    marks = style.marks([s.name for s in info.series])
    for series, dash in zip(info.series, style.LINES, strict=False):
        most = max(series.count)
        mark = marks[series.name]
        out.add_scatter(
            x=series.confidence,
            y=series.accuracy,
            customdata=series.count,
            mode="lines+markers",
            name=f"{series.name}, ECE {series.ece:.3f}",
            line={"color": mark.colour, "width": 1.6, "dash": dash},
            marker={
                "symbol": mark.shape,
                "color": mark.colour,
                "size": [5 + 11 * (c / most) ** 0.5 for c in series.count],
            },
            hovertemplate="confidence %{x:.2f}: %{y:.2f} right, %{customdata} answers"
            "<extra></extra>",
        )
    out.update_layout(legend=style.BELOW)
    return out


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per bin."""
    return [
        {"state": s.name, "ece": s.ece, "confidence": x, "accuracy": y, "count": n}
        for s in info.series
        for x, y, n in zip(s.confidence, s.accuracy, s.count, strict=True)
    ]
