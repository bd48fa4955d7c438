"""Score on test against labels used: colour and shape by procedure, dashes by model size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.panels import style
from raysearch.panels.captions import caption
from raysearch.panels.crossing import Cell, crossing, row
from raysearch.panels.panes import UNDER, half_decades, level, symbols

NEEDS: Mapping[str, Callable[[Run], bool]] = {
    "procedures": lambda run: bool(run.study.get("procedures"))
}
"""Needs of pages: a study of `procedures`, as its study.yaml says."""

DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot", "9px,2px,2px,2px", "3px,5px")
"""By size; dots are for what needs no labels."""
SPREAD = 0.16
"""Over how much of a decade the marks of one label budget are set side by side."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One procedure at one size: the winner of each label budget, fewest labels first."""

    procedure: str
    model: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """The curves, and the points that need no labels."""

    score: str
    procedures: tuple[str, ...]
    models: tuple[str, ...]
    """The smallest first."""
    curves: tuple[Curve, ...]
    free: tuple[Cell, ...]
    """Of no labels: zero-shot."""
    caption: str


def info(run: Run) -> Info:
    """Read the curves off a run."""
    grid = crossing(run)
    kinds = dict.fromkeys((c.procedure, c.model) for c in grid.cells if c.labels > 0)
    curves = []
    for procedure, model in kinds:
        cells = [c for c in grid.cells if (c.procedure, c.model) == (procedure, model) and c.labels]
        cells.sort(key=lambda c: (c.labels, c.budget))
        curves.append(Curve(procedure, model, tuple(cells)))
    free = tuple(c for c in grid.cells if not c.labels)
    text = caption(grid, grid.cells)
    return Info(grid.score, grid.procedures, grid.models, tuple(curves), free, text)


def draw(info: Info) -> go.Figure:
    """Draw lines with bars; marks of one label count side by side; no labels at the left."""
    out = style.figure(
        height=520,
        xaxis=style.log_axis("labels used, validation included [labels]"),
        annotations=[style.top_title(f"{info.score} on test")],
        legend=UNDER,
        meta={"caption": info.caption},
    )
    counts = [c.labels for curve in info.curves for c in curve.cells]
    if not counts and not info.free:
        return out
    marks = style.marks(info.procedures)
    ticks = half_decades(min(counts), max(counts)) if counts else [1.0]
    zero, end = ticks[0] / 10**0.5, ticks[-1]
    dashes = {m: DASHES[i % len(DASHES)] for i, m in enumerate(info.models)}
    _keys(out, info, dashes)
    step = SPREAD / max(1, len(info.curves) - 1)
    for i, curve in enumerate(info.curves):
        mark = marks[curve.procedure]
        moved = 10 ** (step * (i - (len(info.curves) - 1) / 2))
        out.add_scatter(
            x=[c.labels * moved for c in curve.cells],
            mode="lines+markers",
            line={"color": mark.colour, "width": 1.5, "dash": dashes[curve.model]},
            **_common(curve.cells, mark, curve.procedure),
        )
    for i, cell in enumerate(info.free):
        mark = marks[cell.procedure]
        level(out, 0, cell, (zero, end), info.procedures)
        moved = 10 ** (0.04 * (i - (len(info.free) - 1) / 2))
        out.add_scatter(x=[zero * moved], mode="markers", **_common((cell,), mark, cell.procedure))
    shown = [*([zero] if info.free else []), *ticks]
    names = [*(["0"] if info.free else []), *(f"{t:,.0f}" for t in ticks)]
    out.update_xaxes({"tickmode": "array", "tickvals": shown, "ticktext": names})
    return out


def _common(cells: tuple[Cell, ...], mark: style.Mark, procedure: str) -> dict[str, object]:
    scores = [c.test for c in cells]
    return {
        "y": scores,
        "marker": symbols(mark, cells),
        "error_y": {**style.bars(scores, [c.ends for c in cells]), "thickness": 1.1},
        "legendgroup": style.inert(procedure),
        "showlegend": False,
        "text": [style.inert(f"{c.words}: {c.shown}") for c in cells],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _keys(out: go.Figure, info: Info, dashes: dict[str, str]) -> None:
    """Draw the legend of colours, shapes and dashes: one entry per procedure, one per size."""
    drawn = {c.procedure for c in info.curves} | {c.procedure for c in info.free}
    for procedure, mark in style.marks(info.procedures).items():
        if procedure in drawn:
            out.add_scatter(
                x=[None],
                y=[None],
                mode="lines+markers",
                name=style.inert(procedure),
                legendgroup=style.inert(procedure),
                line={"color": mark.colour, "width": 1.5},
                marker={"symbol": mark.shape, "size": 8, "color": mark.colour},
            )
    sized = {c.model for c in info.curves}
    for model, dash in dashes.items():
        if model in sized:
            out.add_scatter(
                x=[None],
                y=[None],
                mode="lines",
                name=style.inert(model),
                line={"color": style.GREY, "width": 1.5, "dash": dash},
            )


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per mark."""
    cells = [*info.free, *(c for curve in info.curves for c in curve.cells)]
    return [row(info.score, c) for c in cells]
