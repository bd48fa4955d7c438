"""Score of tables of n-grams as one thing goes: the longest n-gram, the shape, the vocabulary."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.sweeps import Step, Sweep, over_knob, over_shape
from raysearch.analysis.tables import has_tables
from raysearch.config.catalog import ladder
from raysearch.config.trial import Scalar
from raysearch.panels import style
from raysearch.panels.captions import UNCOUNTED, span
from raysearch.panels.crossing import crossing
from raysearch.panels.panes import WIDTH, legend, names, panes
from raysearch.panels.score_labels import DASHES
from raysearch.recommend.words import format_short

NEEDS = {"tables": has_tables}
"""Needs of pages: points that are tables of n-grams."""

NGRAMS, SHAPE, VOCABULARY = "Longest n-gram", "Rows or width, parameters equal", "Vocabulary"
AXES = {NGRAMS: "words", SHAPE: "n-grams in the table", VOCABULARY: ""}
"""What stands under each pane."""
MISSING = {
    NGRAMS: "No two tables of this run differ in their longest n-gram alone.",
    SHAPE: "No two tables of as many parameters differ in their shape alone.",
    VOCABULARY: "No two tables differ in their vocabulary alone.",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One trained table, neither cut nor rounded."""

    point_id: str
    value: Scalar
    """Longest n-gram [words], rows of the table, or how its n-grams were chosen."""
    words: str
    """The model, its rows and width."""
    validation: float
    validation_rows: int
    test: float
    test_rows: int
    ends: tuple[float, float] | None
    """The 95 % interval over draws and rows; None: not confirmed."""
    draws: int
    params: int


@dataclass(frozen=True, slots=True)
class Line:
    """Tables that differ in nothing else."""

    procedure: str
    budget: int
    marks: tuple[Mark, ...]
    """By value, ascending."""


@dataclass(frozen=True, slots=True)
class Pane:
    """One thing that goes."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """The panes that have lines."""

    score: str
    procedures: tuple[str, ...]
    """Every one of the run."""
    panes: tuple[Pane, ...]
    run: str
    """The run's folder, for commands."""
    caption: str


def info(run: Run) -> Info:
    """Read the sweeps off a run."""
    grid = crossing(run)
    sweeps_by_title = {
        NGRAMS: over_knob(run, "ngrams"),
        SHAPE: over_shape(run),
        VOCABULARY: over_knob(run, "vocabulary"),
    }
    untested: set[str] = set()
    shown = []
    for title, sweeps in sweeps_by_title.items():
        lines = [_line(run, sweep, untested) for sweep in sweeps]
        kept = tuple(line for line in lines if len({m.value for m in line.marks}) > 1)
        if kept:
            shown.append(Pane(title, kept))
    sentences = _sentences(shown)
    sentences += [MISSING[title] for title, sweeps in sweeps_by_title.items() if not sweeps]
    if untested:
        sentences.append(f"Points without a score on test left out: {len(untested):,}.")
    sentences += [UNCOUNTED] if shown else []
    folder = shlex.quote(str(run.folder))
    return Info(grid.score, grid.procedures, tuple(shown), folder, " ".join(sentences))


def _sentences(shown: Sequence[Pane]) -> list[str]:
    marks = [m for p in shown for line in p.lines for m in line.marks]
    if not marks:
        return []
    draws = sorted({m.draws for m in marks if m.ends is not None})
    drawn = f"{span(draws)} draws" if draws else "one draw: not confirmed"
    rows = span([m.test_rows for m in marks])
    out = [f"Nothing is chosen; shown on test ({rows} rows), {drawn}."]
    hollow = len({m.point_id for m in marks if m.ends is None})
    if draws and hollow:
        out.append(f"Hollow: {hollow:,} without an interval.")
    return out


def _line(run: Run, sweep: Sweep, untested: set[str]) -> Line:
    marks = []
    for step in sweep.steps:
        mark = _mark(run, step)
        if mark is None:
            untested.add(step.point.point_id)
        else:
            marks.append(mark)
    return Line(sweep.procedure, sweep.budget, tuple(marks))


def _mark(run: Run, step: Step) -> Mark | None:
    """Return the estimate of its draws, else of the search's trial; None without a test score."""
    point, score, model = step.point, step.record.score, step.record.config.rung
    rung, rows = ladder().get(model), int(point.knobs["rows"])
    shape = f"{rows:,} × {rung.hidden:,}" if rung is not None else f"{rows:,} rows"
    made = confirmation(run)
    at = made.at(point.point_id)
    base = Mark(
        point.point_id,
        step.value,
        f"{model} ({shape})",
        point.scores.get("validation", {}).get(score, math.nan),
        point.rows.get("validation", 0),
        point.scores.get("test", {}).get(score, math.nan),
        point.rows.get("test", 0),
        None,
        0,
        point.params or 0,
    )
    if at is None:
        return base if math.isfinite(base.test) else None
    e = made.estimates[at]
    return replace(
        base,
        validation=e.validation if math.isfinite(e.validation) else base.validation,
        validation_rows=e.validation_rows,
        test=e.score,
        test_rows=e.test_rows,
        ends=(e.low, e.high),
        draws=e.draws,
    )


def draw(info: Info) -> go.Figure:
    """Draw one pane per knob, with axes of their own along x; dashes show the label budget."""
    titles = [p.title for p in info.panes]
    out = panes(titles, "", f"{info.score} on test", [], across=3)
    out.update_layout(meta={"caption": info.caption})
    if not info.panes:
        return out
    out.update_layout(width=WIDTH)
    budgets = sorted({line.budget for p in info.panes for line in p.lines})
    dashes = {n: DASHES[i % len(DASHES)] for i, n in enumerate(budgets)}
    for k, pane in enumerate(info.panes):
        _axis(out, k, pane)
        for line in pane.lines:
            _trace(out, k, line, info, dashes[line.budget])
    legend(out, info.procedures, [line.procedure for p in info.panes for line in p.lines])
    for n, dash in dashes.items() if len(dashes) > 1 else ():
        look = {"color": style.GREY, "width": 1.5, "dash": dash}
        out.add_scatter(x=[None], y=[None], name=f"{n:,} labels", mode="lines", line=look)
    return out


def _axis(out: go.Figure, k: int, pane: Pane) -> None:
    """Set ticks at the values themselves."""
    values = sorted({m.value for line in pane.lines for m in line.marks})
    ticks: dict[str, object] = {"type": "category", "categoryarray": values}
    ticks |= {"range": [-0.4, len(values) - 0.6]}
    if pane.title == NGRAMS:
        ticks = {"type": "linear", "tickmode": "array", "tickvals": values}
        ticks |= {
            "ticktext": [str(v) for v in values],
            "range": [0.6, max(map(float, values)) + 0.4],
        }
    elif pane.title == SHAPE:
        ticks = {"type": "log", **style.label_ticks([float(v) for v in values])}
    name = names(k)[0]
    old = out.layout[f"xaxis{name[1:]}"].to_plotly_json()
    for key in ("matches", "dtick", "nticks", "tickangle", "exponentformat", "minor"):
        old.pop(key, None)
    title = {**old.get("title", {}), "text": AXES[pane.title]}
    out.layout[f"xaxis{name[1:]}"] = {**old, **ticks, "title": title}


def _trace(out: go.Figure, k: int, line: Line, info: Info, dash: str) -> None:
    across, up = names(k)
    look = style.marks(info.procedures)[line.procedure]
    scores = [m.test for m in line.marks]
    out.add_scatter(
        x=[m.value for m in line.marks],
        y=scores,
        xaxis=across,
        yaxis=up,
        mode="lines+markers",
        line={"color": look.colour, "width": 1.5, "dash": dash},
        marker={
            "symbol": [look.shape + ("-open" if m.ends is None else "") for m in line.marks],
            "size": 8,
            "color": look.colour,
            "line": {"width": 1.4, "color": look.colour},
        },
        error_y={**style.bars(scores, [m.ends for m in line.marks]), "thickness": 1.1},
        showlegend=False,
        legendgroup=style.inert(line.procedure),
        text=[_hover(info, line, m) for m in line.marks],
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(info: Info, line: Line, mark: Mark) -> str:
    ends = "not confirmed"
    if mark.ends is not None:
        ends = f"[{mark.ends[0]:.3f}, {mark.ends[1]:.3f}], {mark.draws} draws"
    lines = [
        f"{mark.words}, {line.procedure}, {line.budget:,} labels: {_value(mark.value)}",
        f"{info.score} {mark.test:.3f} {ends}",
        f"{mark.validation:.3f} on validation ({mark.validation_rows:,} rows)",
        f"{format_short(mark.params)} parameters",
        f"raysearch export {info.run} {mark.point_id} --to DIR",
    ]
    return "<br>".join(style.inert(text) for text in lines)


def _value(value: Scalar) -> str:
    """Return the value in words.

    >>> _value(3), _value(20000), _value("hashed")
    ('3', '20,000', 'hashed')
    """
    return f"{value:,}" if isinstance(value, int) else str(value)


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per mark."""
    out: list[dict[str, object]] = []
    for pane in info.panes:
        for line in pane.lines:
            for mark in line.marks:
                low, high = mark.ends or (None, None)
                out.append(
                    {
                        "pane": pane.title,
                        "procedure": line.procedure,
                        "labels_train": line.budget,
                        "point_id": mark.point_id,
                        "value": mark.value,
                        "words": mark.words,
                        "params": mark.params,
                        "validation": mark.validation,
                        info.score: mark.test,
                        "low": low,
                        "high": high,
                        "draws": mark.draws,
                    }
                )
    return out
