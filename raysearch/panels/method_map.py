"""Which procedure wins where so many labels and so much compute may be spent, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.method_map import SURE, MethodMap, method_map
from raysearch.objectives import get
from raysearch.panels import style
from raysearch.panels.board import UNSURE, empties, fields, pale, power
from raysearch.panels.contenders import Choice, caption, contest, cost_steps, differ, label_steps
from raysearch.panels.crossing import crossing

NAMES = {
    "train_flops": "training compute, own",
    "train_flops_full": "training compute in full",
    "train_flops_shared": "training compute, teachers shared",
    "infer_flops": "inference compute",
}
STATES = WINS, UNDECIDED, ALONE = ("wins", "leads, undecided", "is the only one that fits")


HIGH = 42
"""Pixels of a row."""
UNDER = 62
"""Pixels from the map to its legend: past the ticks and the axis's name."""


@dataclass(frozen=True, slots=True)
class Rival:
    """What stands for one procedure in a cell."""

    procedure: str
    share: float
    """Of the resamples that it wins."""
    words: str


@dataclass(frozen=True, slots=True)
class Square:
    """One cell where something fits."""

    column: int
    row: int
    decided: bool
    rivals: tuple[Rival, ...]
    """The leader first, then by share."""

    @property
    def state(self) -> str:
        """Return the state of the leader, in words."""
        if len(self.rivals) == 1:
            return ALONE
        return WINS if self.decided else UNDECIDED


@dataclass(frozen=True, slots=True)
class Info:
    """The map; rows are compute from little to much, columns labels from few to many."""

    score: str
    cost: str
    unit: str
    procedures: tuple[str, ...]
    labels: tuple[float, ...]
    budgets: tuple[float, ...]
    squares: tuple[Square, ...]
    empty: tuple[tuple[int, int], ...]
    """(column, row) where nothing fits."""
    caption: str


def info(run: Run, *, cost: str = "train_flops_full", sure: float = SURE) -> Info:
    """Find the map of a run's confirmed points; empty without any."""
    unit, grid = get(cost).unit, crossing(run)
    choices, left = contest(run, grid, cost)
    kinds = sorted({c.procedure for c in choices})
    numbers = [(c.labels, c.cost, c.prefer) for c in choices]
    used, spent, prefer = np.array(numbers, dtype=np.float64).reshape(-1, 3).T
    labels, budgets = label_steps(used), cost_steps(spent)
    made = method_map(
        np.array([kinds.index(c.procedure) for c in choices], dtype=np.intp),
        used,
        spent,
        prefer,
        grid.made.resampled[:, [c.place for c in choices]],
        np.array(labels),
        np.array(budgets),
        differ=differ(grid, choices),
        sure=sure,
    )
    squares, empty = [], []
    for row, column in np.ndindex(*made.best.shape):
        if made.best[row, column] < 0:
            empty.append((column, row))
        else:
            rivals = _rivals(made, kinds, choices, row, column)
            squares.append(Square(column, row, bool(made.decided[row, column]), rivals))
    return Info(
        grid.score,
        cost,
        unit,
        grid.procedures,
        labels,
        budgets,
        tuple(squares),
        tuple(empty),
        caption(grid, choices, left, sure),
    )


def _rivals(
    made: MethodMap, kinds: Sequence[str], choices: Sequence[Choice], row: int, column: int
) -> tuple[Rival, ...]:
    """Return those that fit, the leader first, then by share."""
    choice, share, lead = made.choice[row, column], made.shares[row, column], made.best[row, column]
    present = [p for p in range(len(kinds)) if choice[p] >= 0]
    present.sort(key=lambda p: (p != lead, -share[p], p))
    return tuple(Rival(kinds[p], float(share[p]), choices[choice[p]].words) for p in present)


def draw(info: Info) -> go.Figure:
    """Draw squares in the winner's colour, with its mark and share; hatched where undecided."""
    tall = HIGH * max(2, len(info.budgets))
    out = style.figure(
        height=170 + tall,
        barmode="overlay",
        bargap=0,
        meta={"caption": info.caption},
        legend={
            "y": -UNDER / (60 + tall),
            "yanchor": "top",
            "itemclick": False,
            "itemdoubleclick": False,
        },
    )
    if not info.squares:
        return out
    noun = NAMES.get(info.cost, info.cost.replace("_", " "))
    plain: dict[str, Any] = {"tickmode": "array", "showgrid": False, "showline": False, "ticks": ""}
    wide, high = len(info.labels), len(info.budgets)
    out.update_xaxes(
        **plain,
        tickvals=list(range(wide)),
        ticktext=[f"≤ {n:,.0f}" if n else "0" for n in info.labels],
        title={"text": "labels used, at most [labels]"},
        range=[-0.5, wide - 0.5],
    )
    out.update_yaxes(
        **plain,
        tickvals=list(range(high)),
        ticktext=[f"≤ {power(v)}" for v in info.budgets],
        range=[-0.5, high - 0.5],
    )
    out.add_annotation(style.top_title(f"{noun}, at most [{info.unit}]"))
    for procedure, mark in style.marks(info.procedures).items():
        leads = [s for s in info.squares if s.rivals[0].procedure == procedure]
        for state in STATES:
            if squares := [s for s in leads if s.state == state]:
                _squares(out, squares, mark, state)
    empties(out, info.empty)
    _keys(out, info)
    return out


def _squares(out: go.Figure, squares: list[Square], mark: style.Mark, state: str) -> None:
    """Draw the squares of one leader in one state: the field, then its mark and share."""
    sure = state != UNDECIDED
    places = [(s.column, s.row) for s in squares]
    colour = pale(mark.colour, 0.3 if state == WINS else 0.1) if sure else UNSURE
    lines = None if sure else {"shape": "/", "fgcolor": pale(mark.colour, 0.4), "size": 10}
    fields(out, places, colour, [_hover(s) for s in squares], lines)
    out.add_scatter(
        x=[x for x, _ in places],
        y=[y + 0.16 for _, y in places],
        mode="markers+text",
        marker={
            "symbol": mark.shape + ("" if sure else "-open"),
            "size": 9,
            "color": mark.colour,
            "line": {"width": 1.4, "color": mark.colour},
        },
        text=["only" if state == ALONE else f"{s.rivals[0].share:.2f}" for s in squares],
        textposition="bottom center",
        hoverinfo="skip",
        showlegend=False,
    )


def _hover(square: Square) -> str:
    lines = [f"<b>{style.inert(square.rivals[0].procedure)}</b> {square.state}"]
    for r in square.rivals:
        share = "" if square.state == ALONE else f"{r.share:.2f} "
        lines.append(style.inert(f"{share}{r.procedure}: {r.words}"))
    return "<br>".join(lines)


def _keys(out: go.Figure, info: Info) -> None:
    """Draw the legend of marks and hatches: every procedure that stands in some cell."""
    present = {r.procedure for s in info.squares for r in s.rivals}
    for procedure, mark in style.marks(info.procedures).items():
        if procedure in present:
            marker = {"symbol": mark.shape, "size": 9, "color": mark.colour}
            name = style.inert(procedure)
            out.add_scatter(x=[None], y=[None], mode="markers", name=name, marker=marker)
    hatch = {"shape": "/", "fgcolor": style.GREY, "size": 6, "solidity": 0.2}
    marker = {"color": UNSURE, "pattern": hatch}
    out.add_bar(x=[None], y=[None], name="undecided (the leader's mark)", marker=marker)


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the map, one row per cell and procedure."""
    return [
        {
            "labels_at_most": info.labels[s.column],
            f"{info.cost}_at_most": info.budgets[s.row],
            "procedure": r.procedure,
            "share": r.share,
            "leads": i == 0,
            "decided": s.decided,
            "choice": r.words,
        }
        for s in info.squares
        for i, r in enumerate(s.rivals)
    ]
