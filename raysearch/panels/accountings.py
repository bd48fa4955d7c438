"""Score on test against training compute, as a student's share of its teacher's bill is counted."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.panels.captions import caption, without
from raysearch.panels.crossing import Cell, crossing, line, row
from raysearch.panels.panes import dots, legend, level, panes, steps

OWN, FULL, SHARED = ACCOUNTINGS = ("train_flops", "train_flops_full", "train_flops_shared")


@dataclass(frozen=True, slots=True)
class Pane:
    """One way to count; places are those of `Info.cells`."""

    cost: str
    title: str
    x: tuple[float, ...]
    """[FLOP], of every cell."""
    line: tuple[int, ...]
    """Which of them none beats on validation at its cost, cheapest first."""


@dataclass(frozen=True, slots=True)
class Info:
    """The same cells in each pane; one pane where no bill was inherited."""

    score: str
    procedures: tuple[str, ...]
    cells: tuple[Cell, ...]
    free: tuple[Cell, ...]
    """What trains nothing: it has no place on a log axis, and stands as a line."""
    panes: tuple[Pane, ...]
    caption: str


def info(run: Run) -> Info:
    """Count the training of each cell in the three ways; k is the study's `shared_by`."""
    grid = crossing(run)
    known = [c for c in grid.cells if all(a in c.costs for a in ACCOUNTINGS)]
    cells = tuple(c for c in known if all(c.costs[a] > 0 for a in ACCOUNTINGS))
    k = int(run.study.get("shared_by") or 1)
    titles = {
        OWN: "own: the teacher is there already",
        FULL: "in full: the teacher's bill too",
        SHARED: f"shared by {k}: 1/{k} of the teacher's bill",
    }
    if k == 1:
        del titles[SHARED]  # that is in full
    inherited = any(c.costs[OWN] != c.costs[FULL] for c in cells)
    if not inherited:
        titles = {FULL: "all training"}
    made = [
        Pane(a, title, tuple(c.costs[a] for c in cells), line(cells, a))
        for a, title in titles.items()
    ]
    free = tuple(c for c in known if c not in cells)
    text = caption(
        grid,
        cells,
        "Dotted lines across train nothing." if free and cells else "",
        without(grid.cells, FULL),
        "" if inherited or not cells else "No point has a teacher: there is one way to count.",
    )
    return Info(grid.score, grid.procedures, cells, free, tuple(made) if cells else (), text)


def draw(info: Info) -> go.Figure:
    """Draw panes side by side on the same axes; the first frontier is dotted in the others."""
    out = panes(
        [p.title for p in info.panes],
        "training compute [FLOP]",
        f"{info.score} on test, by how training is counted",
        [x for p in info.panes for x in p.x],
        across=3,
    )
    legend(out, info.procedures, [c.procedure for c in (*info.cells, *info.free)])
    values = [x for p in info.panes for x in p.x]
    for k, pane in enumerate(info.panes):
        on = set(pane.line)
        for cell in info.free:
            level(out, k, cell, (min(values), max(values)), info.procedures)
        for ghost in (info.panes[0], pane) if k else (pane,):
            y = [info.cells[i].test for i in ghost.line]
            steps(out, k, [ghost.x[i] for i in ghost.line], y, ghost=ghost is not pane)
        faint = [i not in on for i in range(len(info.cells))]
        dots(out, k, info.cells, pane.x, info.procedures, faint=faint)
    out.update_layout(meta={"caption": info.caption})
    return out


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per mark and way to count."""
    return [
        {
            "counted": pane.cost,
            **row(info.score, cell),
            "flops": pane.x[i],
            "on_line": i in pane.line,
        }
        for pane in info.panes
        for i, cell in enumerate(info.cells)
    ]
