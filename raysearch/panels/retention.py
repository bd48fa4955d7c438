"""What students retain of their teacher's score, against how much cheaper they are."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.students import (
    students,
)
from raysearch.analysis.tables import whole
from raysearch.analysis.tables import without_int8 as plain
from raysearch.errors import unknown
from raysearch.panels import style
from raysearch.panels.captions import UNCOUNTED, span
from raysearch.panels.crossing import crossing
from raysearch.panels.panes import legend, names, panes
from raysearch.panels.retention_marks import SPEED_UPS, Curve, Mark, Pane, costs_of, mark_of
from raysearch.recommend.points import MS
from raysearch.recommend.words import format_short
from raysearch.scores import bounds

SIZES = {"params": "parameters of the student", "bytes": "stored size of the student [bytes]"}
"""Along x stands the student's own."""
NO_STUDENTS = "No finished trial of this run has learned from a teacher or is a table of n-grams."
UNTAUGHT = "from labels alone, held against the best teacher of as many labels"
TEACHER = "the teacher"
MAJORITY = "most frequent class"
BUDGETS = ", by label budget"
UNITS = {"infer_flops": "FLOP/text", MS: "ms a text", "params": "parameters", "bytes": "bytes"}
WIDER = 1.3
"""How far the teacher's line reaches beyond the marks, on a log axis."""
TALL = 320


@dataclass(frozen=True, slots=True)
class Info:
    """The panes, fewest labels first."""

    score: str
    cost: str
    axis: str
    procedures: tuple[str, ...]
    """Every one of the run."""
    panes: tuple[Pane, ...]
    run: str
    """The run's folder, for commands."""
    majority: float | None
    """What the most frequent class scores; None: not known, or no share of a teacher's score."""
    caption: str


def chance(run: Run) -> float | None:
    """Return the score of the most frequent class where scores lie above 0; None: not known."""
    value = (run.study.get("baselines") or {}).get("majority")
    scores = {r.score for r in run.records if r.score}
    if not isinstance(value, int | float) or not scores:
        return None
    above = all(bounds(score)[0] >= 0 for score in scores)
    return float(value) if above and math.isfinite(value) and value > 0 else None


def info(run: Run, *, cost: str = "infer_flops") -> Info:
    """Read the students off a run.

    Raises:
        InputError: a cost that this picture does not know.
    """
    axis = {**SPEED_UPS, **SIZES}
    if cost not in axis:
        raise unknown("retention", "cost", str(cost), axis)
    grid, pupils = crossing(run), students(run)
    costs = costs_of(run, cost)
    lost: Counter[str] = Counter()
    by_budget: dict[int, list[Curve]] = {}
    for one in pupils:
        marks = []
        for point in plain(one.record):
            try:
                marks.append(mark_of(run, one, point, costs, cost))
            except LookupError as e:
                lost[str(e.args[0])] += 1
        if marks and one.teacher is not None:
            marks.sort(key=lambda m: (m.x, m.kept.value, m.point_id))
            config = one.record.config
            own = config.method_chain, config.rung, one.words, config.data.validation
            named = (whole(one.record) or plain(one.record)[0]).point_id
            curve = Curve(*own, one.teacher.words, one.taught, tuple(marks), named)
            by_budget.setdefault(config.data.train, []).append(curve)
    shown = tuple(Pane(n, tuple(by_budget[n])) for n in sorted(by_budget))
    sentences = _sentences(shown) if pupils else [NO_STUDENTS]
    majority = chance(run)
    if shown and majority is not None:
        sentences.append(_level(shown, majority, grid.score))
    sentences += [f"Points without {what} left out: {lost[what]:,}." for what in sorted(lost)]
    sentences += [UNCOUNTED] if shown else []
    folder = shlex.quote(str(run.folder))
    head = grid.score, cost, axis[cost], grid.procedures
    return Info(*head, shown, folder, majority, " ".join(sentences))


def _sentences(shown: Sequence[Pane]) -> list[str]:
    """Return what chose, what reports, and what is compared with what."""
    curves = [c for p in shown for c in p.curves]
    if not curves:
        return []
    marks = [m.kept for c in curves for m in c.marks]
    draws = sorted({k.draws for k in marks if k.ends is not None})
    out = [
        f"Trials and their teachers' points chosen on validation "
        f"({span([c.validation_rows for c in curves])} rows), shown on test "
        f"({span([k.rows for k in marks])} rows), "
        + (f"{span(draws)} draws." if draws else "one draw: not confirmed.")
    ]
    hollow = sum(k.ends is None for k in marks)
    if draws and hollow:
        out.append(f"Hollow: {hollow:,} without an interval.")
    alone = sorted({c.procedure for c in curves if not c.taught})
    if alone:
        out.append(f"{', '.join(alone)}: {UNTAUGHT}.")
    return out


def _level(shown: Sequence[Pane], majority: float, score: str) -> str:
    """Return where the most frequent class stands, as shares of the teachers' scores."""
    shares = sorted({f"{majority / t:.3f}" for p in shown for t in p.teachers}, key=float)
    of = " to ".join(dict.fromkeys([shares[0], shares[-1]]))
    return f"Dotted: the {MAJORITY}: {score} {majority:.3f}, {of} of a teacher's."


def draw(info: Info) -> go.Figure:
    """Draw a thin line per trained model (not over time) through its points; large: as trained.

    Dashed at 1: the teacher. Dotted: the most frequent class, over each teacher's score.
    """
    values = [m.x for p in info.panes for c in p.curves for m in c.marks]
    titles = [f"{p.budget:,} labels" for p in info.panes]
    above = f"share of the teacher's {info.score} on test" + BUDGETS * (len(titles) > 1)
    out = panes(titles, info.axis, above, values, across=2, height=TALL)
    out.update_layout(meta={"caption": info.caption})
    for k, pane in enumerate(info.panes):
        across, up = names(k)
        out.add_scatter(
            x=[min(values) / WIDER, max(values) * WIDER],
            y=[1.0, 1.0],
            xaxis=across,
            yaxis=up,
            mode="lines",
            name=TEACHER,
            legendgroup=TEACHER,
            showlegend=k == 0,
            line={"color": style.GREY, "width": 1.2, "dash": "dash"},
            hoverinfo="skip",
        )
        for n, teacher in enumerate(pane.teachers if info.majority is not None else ()):
            out.add_scatter(
                x=[min(values) / WIDER, max(values) * WIDER],
                y=[(info.majority or 0.0) / teacher] * 2,
                xaxis=across,
                yaxis=up,
                mode="lines",
                name=MAJORITY,
                legendgroup=MAJORITY,
                showlegend=k == n == 0,
                line={"color": style.GREY, "width": 1.2, "dash": "dot"},
                hoverinfo="skip",
            )
        for curve in pane.curves:
            _curve(out, k, curve, info)
    legend(out, info.procedures, [c.procedure for p in info.panes for c in p.curves])
    return out


def _curve(out: go.Figure, k: int, curve: Curve, info: Info) -> None:
    across, up = names(k)
    look = style.marks(info.procedures)[curve.procedure]
    shares = [m.kept.value for m in curve.marks]
    shown = [m.kept.ends if m.point_id == curve.whole else None for m in curve.marks]
    hollow = ["-open" if m.kept.ends is None else "" for m in curve.marks]
    out.add_scatter(
        x=[m.x for m in curve.marks],
        y=shares,
        xaxis=across,
        yaxis=up,
        mode="markers" if info.cost == MS else "lines+markers",  # times of cuts differ by noise
        line={"color": look.colour, "width": 0.8},
        marker={
            "symbol": [look.shape + h for h in hollow],
            "size": [
                9 if m.point_id == curve.whole else 4 if m.rounded else 6 for m in curve.marks
            ],
            "color": look.colour,
            "line": {"width": 1.2, "color": look.colour},
            "opacity": [1.0 if m.point_id == curve.whole else 0.75 for m in curve.marks],
        },
        error_y=style.bars(shares, shown),
        showlegend=False,
        legendgroup=style.inert(curve.procedure),
        text=[_hover(info, curve, m) for m in curve.marks],
        hovertemplate="%{text}<extra></extra>",
    )


def _size(curve: Curve, mark: Mark) -> int:
    """Return the size of a mark [px]: largest as trained, smallest for rounded tables."""
    if mark.point_id == curve.whole:
        return 9
    return 4 if mark.rounded else 6


def _hover(info: Info, curve: Curve, mark: Mark) -> str:
    kept = mark.kept
    ends = "not confirmed"
    if kept.ends is not None:
        ends = f"[{kept.ends[0]:.3f}, {kept.ends[1]:.3f}], {kept.draws} draws"
    learned = "taught by" if curve.taught else "from labels alone; held against"
    at = f"{format_short(mark.x)} {info.axis}: " if info.cost in SPEED_UPS else ""
    lines = [
        f"{curve.words}: {mark.words}" if mark.words else curve.words,
        f"{learned} {curve.teacher}",
        f"{kept.value:.3f} of its {info.score} {ends}",
        f"{info.score} {kept.score:.3f}, the teacher's {kept.teacher:.3f}",
        f"{at}{format_short(mark.cost)} {UNITS[info.cost]}",
        f"raysearch export {info.run} {mark.point_id} --to DIR",
    ]
    return "<br>".join(style.inert(text) for text in lines)


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per mark."""
    out: list[dict[str, object]] = []
    for pane in info.panes:
        for curve in pane.curves:
            for mark in curve.marks:
                low, high = mark.kept.ends or (None, None)
                out.append(
                    {
                        "pane": pane.budget,
                        "procedure": curve.procedure,
                        "model": curve.model,
                        "teacher": curve.teacher,
                        "taught": curve.taught,
                        "point_id": mark.point_id,
                        "words": mark.words,
                        info.cost: mark.cost,
                        "x": mark.x,
                        "retained": mark.kept.value,
                        "low": low,
                        "high": high,
                        info.score: mark.kept.score,
                        "of_teacher": mark.kept.teacher,
                        "draws": mark.kept.draws,
                    }
                )
    return out
