"""Trained on one domain, tested on the others: one heat map a method, one colour scale for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.domain_words import choice_words, drop_words, dropped_words, models_words
from raysearch.analysis.domains import Cell, Domain, Matrix, read_domains
from raysearch.analysis.selected_point import chosen
from raysearch.errors import InputError
from raysearch.panels import style
from raysearch.panels.panes import names
from raysearch.run.folder import DOMAINS, RunFolder

NEEDS: Mapping[str, Callable[[Run], bool]] = {
    "domains": lambda run: RunFolder(run.folder).domains.is_file()
}
"""Needs of pages: the matrix that `raysearch domains` has written."""

WIDE = 1060
"""The most that a row of panes takes [px], as the page has it; then come further rows."""
SIDE, ACROSS, NARROW = 52, 78, 220
"""Height and width of a cell, and the least width of a pane [px]."""
BESIDE = 240
"""Left of the panes for names, right of them for the colour scale [px]."""
HEAD, FOOT = 58, 64
"""Above a row of panes for the title, below it for level ticks and the axis's name [px]."""
LETTER = 6.6
"""Width of a letter of a tick [px]; ticks too wide for their cell are turned."""
LEAST = 3
"""Rows of cells that a pane is at least as high as: the colour scale needs the room."""
LONGEST = 24
"""Characters of a domain's name along an axis."""
DARK = 0.5
"""Part of the colour scale from which on letters are black."""
NOTHING = (
    "This run has not been compared with runs of other tasks of the same classes; "
    "raysearch domains RUN RUN does it."
)
FOREIGN = (
    f"{DOMAINS} holds a comparison of other data than this run's: not shown; "
    "raysearch domains RUN RUN compares it."
)


@dataclass(frozen=True, slots=True)
class Square:
    """One cell; row and column count domains from 0."""

    row: int
    column: int
    score: float
    words: str
    """For the pointer, line by line."""
    cell: Cell


@dataclass(frozen=True, slots=True)
class Pane:
    """One method."""

    method: str
    squares: tuple[Square, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """The panes over the same domains; empty without a comparison."""

    score: str
    domains: tuple[str, ...]
    panes: tuple[Pane, ...]
    caption: str


def info(run: Run) -> Info:
    """Read the matrix of a run; empty, with a sentence, where it has none that is whole and its."""
    try:
        matrix = read_domains(run.folder)
    except InputError as e:  # the other pages need not fall with it; and no page holds a path
        return Info("score", (), (), str(e).replace(str(run.folder / DOMAINS), DOMAINS))
    if matrix is None:
        return Info("score", (), (), NOTHING)
    own = _own_domain(matrix, run)
    if own is None:
        return Info("score", (), (), FOREIGN)
    place = {d.task: i for i, d in enumerate(matrix.domains)}
    panes = []
    for m in matrix.methods:
        words = {s.trained_on: (s.words, s.draws) for s in m.sources}
        squares = [
            Square(
                place[c.trained_on],
                place[c.tested_on],
                c.score,
                _words(c, *words.get(c.trained_on, (m.method, 0))),
                c,
            )
            for c in m.cells
        ]
        panes.append(Pane(m.method, tuple(squares)))
    return Info(
        matrix.score, tuple(place), tuple(panes), _caption(matrix, _stale(matrix, own, run))
    )


def _words(cell: Cell, model: str, draws: int) -> str:
    who = f"{draws:,} fresh draws" if draws else "the search's own trial"
    rows = f"{cell.rows:,} test rows"
    if cell.dropped:
        rows += f", {cell.dropped:,} left out: their text may have been learnt from"
    return "\n".join(
        [
            f"trained on {cell.trained_on}, tested on {cell.tested_on}",
            f"{cell.score:.3f} [{cell.low:.3f}, {cell.high:.3f}] on {rows}",
            f"{model}; {who}",
        ]
    )


def _own_domain(matrix: Matrix, run: Run) -> Domain | None:
    """Return the domain of the run's own data; None: a file from elsewhere, or the data changed."""
    known = {r.config.splits for r in run.records}
    if splits := run.study.get("splits"):
        known = {splits}
    return next((d for d in matrix.domains if d.splits in known), None)


def _stale(matrix: Matrix, own: Domain, run: Run) -> str:
    """Return whose points of this run are no longer those that would be taken; empty: none's."""
    if matrix.by_hand:
        return ""
    now = chosen(run)
    then = {m.method: s.point_id for m in matrix.methods for s in m.sources
            if s.trained_on == own.task}  # fmt: skip
    other = sorted(m for m in {*now, *then} if now.get(m) != then.get(m))
    if not other:
        return ""
    return (
        f"Out of date: of this run other points would be chosen now ({', '.join(other)}); "
        "raysearch domains RUN RUN compares them."
    )


def _caption(of: Matrix, *more: str) -> str:
    words = [*choice_words(of), *drop_words(of), *models_words(of), *dropped_words(of)]
    return " ".join([*words, *(s for s in more if s)])


def draw(info: Info) -> go.Figure:
    """Draw the panes; every number stands in its cell, and the diagonal is outlined."""
    count, n = len(info.panes), len(info.domains)
    ticks = [style.inert(d if len(d) <= LONGEST else d[: LONGEST - 1] + "…") for d in info.domains]
    pane = max(NARROW, ACROSS * n)
    columns = max(1, min(count, (WIDE - BESIDE) // pane))
    rows = max(1, -(-count // columns))
    longest = LETTER * max(min(len(d), LONGEST) for d in info.domains or ("",))
    turned = longest > pane / max(1, n) - 8
    foot = FOOT + int(0.6 * longest if turned else 0)
    tall = SIDE * max(LEAST, n)
    high = rows * tall + (rows - 1) * (HEAD + foot)
    out = style.figure(
        height=high + HEAD + foot,
        width=BESIDE + pane * columns,
        margin={"l": 56, "r": 16, "t": HEAD, "b": foot},
        meta={"caption": info.caption},
        coloraxis=_scale(info),
    )
    if not count:
        return out
    plain: dict[str, Any] = {"tickmode": "array", "tickvals": list(range(n)), "ticktext": ticks}
    plain |= {"showgrid": False, "showline": False, "ticks": ""}
    base_x, base_y = out.layout.xaxis.to_plotly_json(), out.layout.yaxis.to_plotly_json()
    gap = 0.04
    wide = (1 - gap * (columns - 1)) / columns
    for k, shown in enumerate(info.panes):
        at, down = k % columns, k // columns
        left, top = at * (wide + gap), 1 - down * (tall + HEAD + foot) / high
        across, up = names(k)
        title = {**base_x["title"], "text": "tested on"}
        out.layout[f"xaxis{across[1:]}"] = {
            **base_x,
            **plain,
            "title": title,
            "domain": [left, left + wide],
            "anchor": up,
            "range": [-0.5, n - 0.5],
            "tickangle": -35 if turned else 0,
        }
        title = {**base_y["title"], "text": "trained on" if at == 0 else ""}
        out.layout[f"yaxis{up[1:]}"] = {
            **base_y,
            **plain,
            "title": title,
            "domain": [max(0.0, top - tall / high), top],
            "anchor": across,
            "range": [n - 0.5, -0.5],
            "showticklabels": at == 0,
        }
        out.add_annotation(
            text=f"<b>{style.inert(shown.method)}</b>",
            xref="paper", yref="paper", x=left, y=top, xanchor="left", yanchor="bottom",
            yshift=4, showarrow=False, font={"size": 12},
        )  # fmt: skip
        _cells(out, info, shown, across, up)
    return out


def _range(info: Info) -> tuple[float, float]:
    scores = [s.score for p in info.panes for s in p.squares] or [0.0, 1.0]
    return min(scores), max(max(scores), min(scores) + 1e-6)


def _scale(info: Info) -> dict[str, Any]:
    """Return one scale for all panes: even to the eye, in grey, and to colour-blind readers."""
    low, high = _range(info)
    bar = {"title": {"text": style.inert(info.score), "font": {"size": 12}}, "thickness": 12}
    bar |= {"tickfont": {"size": 12}, "outlinewidth": 0}
    return {"colorscale": "Cividis", "cmin": low, "cmax": high, "colorbar": bar}


def _cells(out: go.Figure, info: Info, pane: Pane, across: str, up: str) -> None:
    """Draw the squares of one pane, their numbers, and the outline of the diagonal."""
    n, (low, high) = len(info.domains), _range(info)
    z: list[list[float | None]] = [[None] * n for _ in range(n)]
    texts = [[""] * n for _ in range(n)]
    for s in pane.squares:
        z[s.row][s.column] = s.score
        texts[s.row][s.column] = "<br>".join(style.inert(t) for t in s.words.split("\n"))
    axes: dict[str, Any] = {"xaxis": across, "yaxis": up}
    out.add_heatmap(
        z=z,
        x=list(range(n)),
        y=list(range(n)),
        coloraxis="coloraxis",
        xgap=3,
        ygap=3,
        hovertext=texts,
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
        **axes,
    )
    for dark in (False, True):
        squares = [s for s in pane.squares if ((s.score - low) / (high - low) > DARK) == dark]
        out.add_scatter(
            x=[s.column for s in squares],
            y=[s.row for s in squares],
            mode="text",
            text=[f"{s.score:.3f}" for s in squares],
            textfont={"size": 13, "color": "#000000" if dark else "#ffffff"},
            hoverinfo="skip",
            showlegend=False,
            **axes,
        )
    # a dark line on a light one is seen on every colour and on either paper
    for s in pane.squares:
        if s.row == s.column:
            for colour, width in (("#ffffff", 4.5), ("#000000", 2)):
                out.add_shape(
                    type="rect", xref=across, yref=up, line={"color": colour, "width": width},
                    x0=s.column - 0.46, x1=s.column + 0.46, y0=s.row - 0.46, y1=s.row + 0.46,
                )  # fmt: skip


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per cell."""
    return [
        {
            "method": p.method,
            "trained_on": s.cell.trained_on,
            "tested_on": s.cell.tested_on,
            "score": s.score,
            "low": s.cell.low,
            "high": s.cell.high,
            "rows": s.cell.rows,
            "dropped": s.cell.dropped,
        }
        for p in info.panes
        for s in p.squares
    ]
