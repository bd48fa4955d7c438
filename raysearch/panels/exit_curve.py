"""Early exit: score on test against a cost as thresholds go, beside smaller models and cascades."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.exit_trials import FIRST, has_exits
from raysearch.errors import unknown
from raysearch.outputs.exit_rules import CRITERIA
from raysearch.panels import style
from raysearch.panels.board import pale, power
from raysearch.panels.captions import UNCOUNTED, span
from raysearch.panels.crossing import Cell, crossing, line, row
from raysearch.panels.exit_marks import (
    Curve,
    Mark,
    baseline_cells,
    cascades,
    curves,
)
from raysearch.panels.panes import dots, legend, names, panes, steps
from raysearch.panels.score_labels import DASHES
from raysearch.panels.text_costs import axis
from raysearch.recommend.words import format_short

CASCADE = "cascade"
"""What the legend calls them."""
NO_EXITS = "No model of this run has exits."
UNTESTED = "No finished point of a model with exits has a score on test yet."
OTHERS = {"confidence": "hexagon", "entropy": "x", "patience": "pentagon"}
"""Shapes of small marks, by criterion: none of those that procedures have."""
TALL = 320
ONE_TWO_FIVE = tuple(float(f"{k}e{e}") for e in range(5, 19) for k in (1, 2, 5))
"""Ticks of an axis of less than a decade and a half, in large numbers."""


@dataclass(frozen=True, slots=True)
class Pane:
    """One label budget."""

    budget: int
    curves: tuple[Curve, ...]
    tuned: tuple[Cell, ...]
    line: tuple[int, ...]
    """Which of these none of them beats on validation at its cost, cheapest first."""
    cascades: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """The panes, fewest labels first."""

    score: str
    cost: str
    axis: str
    """The cost and its unit in words."""
    criterion: str
    """That of the thick lines."""
    procedures: tuple[str, ...]
    """Every one of the run, and cascades."""
    panes: tuple[Pane, ...]
    run: str
    """The run's folder, for commands."""
    caption: str


def info(
    run: Run, *, cost: str = "infer_flops", criterion: str = FIRST, baseline: str = ""
) -> Info:
    """Read the curves off a run, beside a baseline's models of the first layers, if any.

    Raises:
        InputError: an unknown cost or criterion.
    """
    along = axis(cost)
    if criterion not in CRITERIA:
        raise unknown("criterion", "criterion", criterion, CRITERIA)
    grid = crossing(run)
    drawn, missing = curves(run, cost)
    pairs, alone, lead = cascades(run, cost)
    models = {c.model for c in drawn}
    tuned, lost, kin = (
        baseline_cells(run, baseline, cost, models) if drawn or pairs else ((), 0, True)
    )
    missing = replace(missing, cost=missing.cost + lost, cascades=alone)
    out = []
    for budget in sorted({c.budget for c in drawn} | {n for n, _ in pairs}):
        cells = tuple(c for c in tuned if c.budget == budget)
        own = tuple(c for c in drawn if c.budget == budget)
        marks = tuple(mark for n, mark in pairs if n == budget)
        out.append(Pane(budget, own, cells, line(cells, cost), marks))
    kinds = tuple(dict.fromkeys([*grid.procedures, CASCADE]))
    exits = has_exits(run)
    of_cascades = f"Cascades {lead}." if lead else ""
    text = " ".join(filter(None, [*_sentences(out, exits, kin, baseline), of_cascades]))
    left = missing.sentences(cost)
    if out or (not left and exits):
        left.append(UNCOUNTED if out else UNTESTED)
    caption = " ".join(s for s in (text, *left) if s)
    folder = shlex.quote(str(run.folder))
    return Info(grid.score, cost, along, criterion, kinds, tuple(out), folder, caption)


def _sentences(panes: Sequence[Pane], exits: bool, kin: bool, baseline: str) -> list[str]:
    """Return what chose and what reports the trials with exits and their baseline."""
    if not exits:
        return [NO_EXITS]
    marks = [m for p in panes for c in p.curves for m in c.marks]
    if not marks:
        return []
    rows = span([m.validation_rows for m in marks]), span([m.test_rows for m in marks])
    draws = sorted({m.draws for m in marks if m.ends is not None})
    drawn = f"{span(draws)} draws" if draws else "one draw: not confirmed"
    seen = f"chosen on validation ({rows[0]} rows), shown on test ({rows[1]} rows)"
    out = [f"Trials {seen}, {drawn}."]
    hollow = len({m.point_id for m in marks if m.ends is None})
    if draws and hollow:
        out.append(f"Hollow: {hollow:,} without an interval.")
    if not baseline:
        return out
    if not any(p.tuned for p in panes):
        out.append(f"{baseline}: none of these label budgets is here.")
    elif not kin:
        out.append(f"{baseline}: other models, as none is the first layers of one with exits.")
    return out


def draw(info: Info) -> go.Figure:
    """Draw thick lines by one criterion, their intervals as bands; the others as thin lines."""
    values = [m.cost for p in info.panes for c in p.curves for m in c.marks]
    values += [m.cost for p in info.panes for m in p.cascades]
    values += [c.costs[info.cost] for p in info.panes for c in p.tuned]
    titles = [f"{p.budget:,} labels" for p in info.panes]
    above = f"{info.score} on test" + (", by label budget" if len(titles) > 1 else "")
    out = panes(titles, info.axis, above, values, across=2, height=TALL)
    out.update_layout(meta={"caption": info.caption})
    if values and min(values) >= 1e5 and max(values) / min(values) < 30:
        marked = [v for v in ONE_TWO_FIVE if min(values) * 0.9 <= v <= max(values) * 1.1]
        texts = [power(v).replace(".0·", "·") for v in marked]
        out.update_xaxes({"tickmode": "array", "tickvals": marked, "ticktext": texts})
    models = list(dict.fromkeys(c.model for p in info.panes for c in p.curves))
    dashes = {m: DASHES[i % len(DASHES)] for i, m in enumerate(models)}
    for k, pane in enumerate(info.panes):
        for curve in sorted(pane.curves, key=lambda c: c.criterion == info.criterion):
            _curve(out, k, curve, info, dashes[curve.model])
        x = [c.costs[info.cost] for c in pane.tuned]
        if pane.line:
            colour = style.marks(info.procedures)[pane.tuned[0].procedure].colour
            scores = [pane.tuned[i].test for i in pane.line]
            steps(out, k, [x[i] for i in pane.line], scores, ghost=True, colour=colour)
        dots(out, k, pane.tuned, x, info.procedures)
        if pane.cascades:
            _marks(out, k, pane.cascades, info, CASCADE, mode="markers", bars=True)
    _keys(out, info, dashes)
    return out


def _curve(out: go.Figure, k: int, curve: Curve, info: Info, dash: str) -> None:
    mark = style.marks(info.procedures)[curve.procedure]
    sure = [m for m in curve.marks if m.ends is not None]
    if curve.criterion != info.criterion:
        line = {"color": mark.colour, "width": 0.8, "dash": dash}
        shape = OTHERS[curve.criterion]
        _marks(out, k, curve.marks, info, curve.procedure, curve.words, shape=shape, line=line)
        return
    across, up = names(k)
    if len(sure) > 1:
        ends = [m.ends for m in sure if m.ends is not None]
        out.add_scatter(
            x=[m.cost for m in sure] + [m.cost for m in reversed(sure)],
            y=[high for _, high in ends] + [low for low, _ in reversed(ends)],
            xaxis=across,
            yaxis=up,
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=pale(mark.colour, 0.16),
            legendgroup=style.inert(curve.procedure),
            showlegend=False,
            hoverinfo="skip",
        )
    line = {"color": mark.colour, "width": 1.8, "dash": dash}
    _marks(out, k, curve.marks, info, curve.procedure, curve.words, line=line)


def _marks(
    out: go.Figure,
    k: int,
    marks: Sequence[Mark],
    info: Info,
    procedure: str,
    whose: str = "",
    *,
    mode: str = "lines+markers",
    shape: str = "",
    line: dict[str, Any] | None = None,
    bars: bool = False,
) -> None:
    """Draw points in pane k; `shape`: small ones of a further criterion."""
    across, up = names(k)
    look = style.marks(info.procedures)[procedure]
    scores = [m.test for m in marks]
    out.add_scatter(
        x=[m.cost for m in marks],
        y=scores,
        xaxis=across,
        yaxis=up,
        mode=mode,
        line=line,
        marker={
            "symbol": [(shape or look.shape) + ("-open" if m.ends is None else "") for m in marks],
            "size": 5 if shape else 7,
            "color": look.colour,
            "line": {"width": 1.2, "color": look.colour},
        },
        error_y=style.bars(scores, [m.ends for m in marks]) if bars else None,
        opacity=0.6 if shape else 1.0,
        showlegend=False,
        legendgroup=style.inert(procedure),
        text=[_hover(info, m, whose) for m in marks],
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(info: Info, mark: Mark, whose: str) -> str:
    ends = "not confirmed"
    if mark.ends is not None:
        ends = f"[{mark.ends[0]:.3f}, {mark.ends[1]:.3f}], {mark.draws} draws"
    lines = [
        f"{whose}: {mark.words}" if whose else mark.words,
        f"{info.score} {mark.test:.3f} {ends}",
        f"{mark.validation:.3f} on validation ({mark.validation_rows:,} rows)",
        f"{info.axis}: {format_short(mark.cost)}",
        mark.leaving,
    ]
    if whose:
        lines.append(f"raysearch export {info.run} {mark.point_id} --to DIR")
    return "<br>".join(style.inert(text) for text in lines)


def _keys(out: go.Figure, info: Info, dashes: dict[str, str]) -> None:
    """Draw the legend of colours, shapes and lines."""
    drawn = [c.procedure for p in info.panes for c in p.curves]
    drawn += [c.procedure for p in info.panes for c in p.tuned]
    drawn += [CASCADE] * any(p.cascades for p in info.panes)
    legend(out, info.procedures, drawn)
    kinds = dict.fromkeys(c.criterion for p in info.panes for c in p.curves)
    look: dict[str, dict[str, Any]] = {}
    for criterion in kinds:
        thick = criterion == info.criterion
        look[f"leaves by {criterion}"] = {
            "mode": "lines" if thick else "lines+markers",
            "line": {"color": style.GREY, "width": 1.8 if thick else 0.8},
            "marker": {"symbol": OTHERS[criterion], "size": 5, "color": style.GREY},
        }
    if len(dashes) > 1:
        for model, dash in dashes.items():
            line = {"color": style.GREY, "width": 1.5, "dash": dash}
            look[model] = {"mode": "lines", "line": line}
    for name, how in look.items():
        out.add_scatter(x=[None], y=[None], name=style.inert(name), **how)


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per mark."""

    def of(mark: Mark) -> dict[str, object]:
        low, high = mark.ends or (None, None)
        return {
            "point_id": mark.point_id,
            "words": mark.words,
            info.cost: mark.cost,
            "validation": mark.validation,
            info.score: mark.test,
            "low": low,
            "high": high,
            "draws": mark.draws,
        }

    out: list[dict[str, object]] = []
    for pane in info.panes:
        for curve in pane.curves:
            whose = {"pane": pane.budget, "procedure": curve.procedure, "model": curve.model}
            out += [{**whose, "criterion": curve.criterion, **of(m)} for m in curve.marks]
        for cell in pane.tuned:
            whose = {"pane": pane.budget, "procedure": cell.procedure, "model": cell.model}
            values = row(info.score, cell)
            plain = {k: values[k] for k in ("point_id", "validation", info.score, "low", "high")}
            costs = {info.cost: cell.costs[info.cost], "draws": cell.draws}
            out.append({**whose, "criterion": "", "words": "", **plain, **costs})
        whose = {"pane": pane.budget, "procedure": CASCADE, "model": "", "criterion": FIRST}
        out += [{**whose, **of(m)} for m in pane.cascades]
    return out
