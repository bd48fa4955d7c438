"""Score on test against one cost, a pane for each label budget."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.objectives import get
from raysearch.panels.captions import caption, without
from raysearch.panels.crossing import Cell, crossing, line, row
from raysearch.panels.panes import dots, legend, panes, steps

NAMES = {"infer_flops": "inference compute [FLOP/text]"}


@dataclass(frozen=True, slots=True)
class Pane:
    """The winners of one label budget, and what needs no labels."""

    budget: int
    """Requested labels [rows]; 0: the run has nothing but points without labels."""
    cells: tuple[Cell, ...]
    line: tuple[int, ...]
    """Which of them none of the pane beats on validation at its cost, cheapest first."""


@dataclass(frozen=True, slots=True)
class Info:
    """The panes, fewest labels first."""

    score: str
    cost: str
    unit: str
    procedures: tuple[str, ...]
    panes: tuple[Pane, ...]
    caption: str


def info(run: Run, *, cost: str = "infer_flops") -> Info:
    """Read the panes off a run."""
    unit, grid = get(cost).unit, crossing(run)
    cells = [c for c in grid.cells if c.costs.get(cost, 0.0) > 0]
    budgets = sorted({c.budget for c in cells if c.labels > 0}) or [0] * bool(cells)
    out = []
    for budget in budgets:
        shown = tuple(c for c in cells if c.budget == budget or not c.labels)
        out.append(Pane(budget, shown, line(shown, cost)))
    text = caption(grid, cells, without(grid.cells, cost))
    return Info(grid.score, cost, unit, grid.procedures, tuple(out), text)


def draw(info: Info) -> go.Figure:
    """Draw marks, filled with a bar where confirmed, else hollow; a step line: the frontier."""
    titles = [f"{p.budget:,} labels" if p.budget else "no labels" for p in info.panes]
    name = NAMES.get(info.cost, f"{info.cost.replace('_', ' ')} [{info.unit}]")
    values = [c.costs[info.cost] for p in info.panes for c in p.cells]
    out = panes(titles, name, f"{info.score} on test, by label budget", values)
    legend(out, info.procedures, [c.procedure for p in info.panes for c in p.cells])
    for k, pane in enumerate(info.panes):
        x = [c.costs[info.cost] for c in pane.cells]
        if pane.line:
            steps(out, k, [x[i] for i in pane.line], [pane.cells[i].test for i in pane.line])
        dots(out, k, pane.cells, x, info.procedures, beside=0.03)
    out.update_layout(meta={"caption": info.caption})
    return out


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per mark."""
    return [
        {
            "pane": pane.budget,
            **row(info.score, cell),
            info.cost: cell.costs[info.cost],
            "on_line": i in pane.line,
        }
        for pane in info.panes
        for i, cell in enumerate(pane.cells)
    ]
