"""Several plots in one figure that share their axes, and the cells of a crossing drawn in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from raysearch.panels import style
from raysearch.panels.crossing import Cell

WIDTH = 1060
"""Of a figure with panes side by side: a narrow window scrolls it instead of squeezing it."""
HEIGHT = 250
"""Of one row of panes."""
BETWEEN = 66
"""Two rows of panes."""
HEAD, FOOT = 58, 64
"""Above the first row for the title, below the last for the axis's name."""
LEGEND = 60
FAINT = 0.4
"""Opacity of what is on no frontier, where there is one."""
UNDER = {"y": -0.16, "yanchor": "top"}
"""A legend under the axis title of a single plot; it takes the lines that it needs."""


def panes(
    titles: Sequence[str],
    x_title: str,
    y_title: str,
    x: Sequence[float],
    across: int = 4,
    height: int = HEIGHT,
) -> go.Figure:
    """Return an empty figure of panes in rows, with one x range and one y range for all of them.

    Args:
        titles: of the panes.
        x_title: under the panes.
        y_title: above them.
        x: everything that will be drawn along x.
        across: the most panes of one row.
        height: of one row of panes.
    """
    rows = max(1, -(-len(titles) // across))
    columns = max(1, -(-len(titles) // rows))
    high = rows * height + (rows - 1) * BETWEEN
    out = style.figure(
        width=WIDTH if columns > 1 else None,
        height=high + HEAD + FOOT + LEGEND,
        margin={"l": 56, "r": 16, "t": HEAD, "b": FOOT + LEGEND},
        annotations=[{**style.top_title(y_title), "yshift": 24}],
        legend={"y": -FOOT / high, "yanchor": "top", "x": 0},
    )
    gap = 0.025
    wide = (1 - gap * (columns - 1)) / columns
    tall, between = height / high, (height + BETWEEN) / high
    base_x, base_y = out.layout.xaxis.to_plotly_json(), out.layout.yaxis.to_plotly_json()
    decades = float(np.log10(max(x) / min(x))) if x else 0.0
    if decades > 1.5:
        # Powers of ten alone, there is no room for more; plotly writes them a quarter larger.
        base_x |= {"dtick": int(np.ceil(decades / 6)), "tickfont": {"size": 10}}
    log = style.log_axis(x_title)
    for k, title in enumerate(titles):
        at, down = k % columns, k // columns
        low, left = 1 - down * between - tall, at * (wide + gap)
        across_name, up = names(k)
        last = k + columns >= len(titles)
        matched = {} if k == 0 else {"matches": "x"}
        out.layout[_layout(across_name)] = {
            **base_x,
            **{k: v for k, v in log.items() if k != "title"},
            "title": {**base_x["title"], "text": log["title"]["text"] if last else ""},
            **matched,
            "nticks": 4,
            "domain": [left, left + wide],
            "anchor": up,
        }
        out.layout[_layout(up)] = {
            **base_y,
            **({} if k == 0 else {"matches": "y"}),
            "domain": [max(0.0, low), low + tall],
            "anchor": across_name,
            "showticklabels": at == 0,
        }
        out.add_annotation(
            text=f"<b>{style.inert(title)}</b>",
            xref="paper",
            yref="paper",
            x=left,
            y=low + tall,
            xanchor="left",
            yanchor="bottom",
            yshift=2,
            showarrow=False,
            font={"size": 12},
        )
    return out


def names(k: int) -> tuple[str, str]:
    """Return the names of the axes of pane k, from 0.

    >>> names(0), names(2)
    (('x', 'y'), ('x3', 'y3'))
    """
    number = "" if k == 0 else str(k + 1)
    return f"x{number}", f"y{number}"


def _layout(axis: str) -> str:
    return f"{axis[0]}axis{axis[1:]}"


def legend(out: go.Figure, procedures: Sequence[str], drawn: Sequence[str]) -> None:
    """Add one entry per procedure that is drawn; a click hides the procedure in every pane."""
    for procedure, mark in style.marks(procedures).items():
        if procedure in drawn:
            out.add_scatter(
                x=[None],
                y=[None],
                mode="markers",
                name=style.inert(procedure),
                legendgroup=style.inert(procedure),
                marker={"symbol": mark.shape, "size": 9, "color": mark.colour},
            )


def dots(
    out: go.Figure,
    k: int,
    cells: Sequence[Cell],
    x: Sequence[float],
    procedures: Sequence[str],
    *,
    faint: Sequence[bool] | None = None,
    beside: float = 0.0,
) -> None:
    """Draw cells in pane k: colour and shape by procedure, hollow without an interval.

    Args:
        out: drawn into.
        k: the pane.
        cells: what is drawn.
        x: where, one a cell.
        procedures: all of the run.
        faint: those that are paler and without their bar.
        beside: how far the marks of the next procedure are moved, in decades.
    """
    across, up = names(k)
    drawn = sorted({c.procedure for c in cells})
    pale = [False] * len(cells) if faint is None else faint
    for procedure, mark in style.marks(procedures).items():
        for weak in (True, False):
            at = [
                i for i, c in enumerate(cells) if c.procedure == procedure and bool(pale[i]) is weak
            ]
            if not at:
                continue
            chosen = [cells[i] for i in at]
            scores = [c.test for c in chosen]
            moved = 10 ** (beside * (drawn.index(procedure) - (len(drawn) - 1) / 2))
            out.add_scatter(
                x=[x[i] * moved for i in at],
                y=scores,
                xaxis=across,
                yaxis=up,
                mode="markers",
                showlegend=False,
                legendgroup=style.inert(procedure),
                opacity=FAINT if weak else 1.0,
                marker=symbols(mark, chosen),
                error_y={**style.bars(scores, [c.ends for c in chosen]), "visible": not weak},
                text=[style.inert(f"{c.words}: {c.shown}") for c in chosen],
                customdata=[x[i] for i in at],
                hovertemplate="%{text}<br>at %{customdata:.2g}<extra></extra>",
            )


def symbols(mark: style.Mark, cells: Sequence[Cell]) -> dict[str, Any]:
    """Return markers of one procedure's cells: filled where confirmed, hollow otherwise."""
    return {
        "symbol": [mark.shape + ("-open" if c.ends is None else "") for c in cells],
        "size": 8,
        "color": mark.colour,
        "line": {"width": 1.4, "color": mark.colour},
    }


def steps(
    out: go.Figure,
    k: int,
    x: Sequence[float],
    y: Sequence[float],
    *,
    ghost: bool = False,
    colour: str = style.GREY,
) -> None:
    """Draw a frontier in pane k as a step line; `ghost`: of another pane, dotted."""
    across, up = names(k)
    out.add_scatter(
        x=list(x),
        y=list(y),
        xaxis=across,
        yaxis=up,
        mode="lines",
        line={"shape": "hv", "width": 1.2, "color": colour, "dash": "dot" if ghost else None},
        hoverinfo="skip",
        showlegend=False,
    )


def level(
    out: go.Figure, k: int, cell: Cell, ends: tuple[float, float], procedures: Sequence[str]
) -> None:
    """Draw a dotted line across pane k at the score of a cell that has no place along x."""
    across, up = names(k)
    out.add_scatter(
        x=list(ends),
        y=[cell.test, cell.test],
        xaxis=across,
        yaxis=up,
        mode="lines",
        line={"color": style.marks(procedures)[cell.procedure].colour, "width": 1, "dash": "dot"},
        legendgroup=style.inert(cell.procedure),
        showlegend=False,
        hoverinfo="skip",
    )


def half_decades(low: float, high: float) -> list[float]:
    """Return 1, 3.2, 10, 32 and so on, from the last at most `low` to the first at least `high`.

    >>> half_decades(20, 600)
    [10.0, 32.0, 100.0, 320.0, 1000.0]
    """
    start, end = (np.log10([low, high]) * 2).tolist()
    made = [_rounded(k / 2) for k in range(int(np.floor(start)) - 1, int(np.ceil(end)) + 2)]
    first = max(i for i, v in enumerate(made) if v <= low)
    last = min(i for i, v in enumerate(made) if v >= high)
    return made[first : last + 1]


def _rounded(exponent: float) -> float:
    """Return 10 to a half power in two digits, the closest float to them."""
    return float(f"{10**exponent:.1e}")
