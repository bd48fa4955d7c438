"""The frontier for print: score on test against one cost, confirmed points with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run, winners
from raysearch.analysis.confirmation import confirmation
from raysearch.objectives import get as find_objective
from raysearch.panels import style


@dataclass(frozen=True, slots=True)
class Mark:
    """The winner of a (method, model, label budget) cell."""

    point_id: str
    method: str
    model: str
    labels: float
    cost: float
    validation: float
    """What chooses: the mean over fresh draws where confirmed."""
    test: float
    low: float | None
    high: float | None
    """95 % interval; None where not confirmed."""
    draws: int
    """Fresh draws; 0: not confirmed."""
    member: bool
    """On the line: nothing as cheap is better on validation."""


@dataclass(frozen=True, slots=True)
class Info:
    """The marks, cheapest first."""

    score: str
    cost: str
    unit: str
    methods: tuple[str, ...]
    marks: tuple[Mark, ...]
    left_out: int
    """Winners without a test score or without the cost."""


def info(run: Run, *, cost: str = "infer_flops") -> Info:
    """Read the marks off a run; the line goes through confirmed points where there are any."""
    objective = find_objective(cost)
    made = confirmation(run)
    marks, left = [], 0
    won = winners(run.table)
    for row in won.to_dict("records"):
        at = made.at(str(row["point_id"]))
        estimate = None if at is None else made.estimates[at]
        test = float(row["score_test"]) if estimate is None else estimate.score
        if not (math.isfinite(test) and float(row[cost]) > 0):
            left += 1
            continue
        sure = estimate is not None and math.isfinite(estimate.validation)
        marks.append(
            Mark(
                str(row["point_id"]),
                str(row["procedure"]),
                str(row["model"]),
                float(row["labels"]),
                float(row[cost]),
                estimate.validation if estimate and sure else float(row["score_validation"]),
                test,
                None if estimate is None else estimate.low,
                None if estimate is None else estimate.high,
                0 if estimate is None else estimate.draws,
                False,
            )
        )
    marks.sort(key=lambda m: (m.cost, -m.validation, m.point_id))
    score = str(won["score_name"].iloc[0]) if len(won) else str(run.study.get("score") or "score")
    methods = tuple(sorted({m.method for m in marks}))
    return Info(score, cost, objective.unit, methods, _with_line(marks), left)


def _with_line(marks: list[Mark]) -> tuple[Mark, ...]:
    """Return the marks, cheapest first, each marked as on the line if it beats all before it."""
    sure = any(m.draws for m in marks)
    best = -math.inf
    out = []
    for mark in marks:
        on = (mark.draws > 0 or not sure) and mark.validation > best
        best = mark.validation if on else best
        kept = {f: getattr(mark, f) for f in Mark.__dataclass_fields__}
        out.append(Mark(**{**kept, "member": on}))
    return tuple(out)


def draw(info: Info) -> go.Figure:
    """Draw marks, filled with a bar where confirmed, else hollow; colour and shape by method."""
    unit = f"{info.cost} [{info.unit}]"
    out = style.figure(
        height=440,
        xaxis=style.log_axis("inference FLOPs per text" if info.cost == "infer_flops" else unit),
        annotations=[style.top_title(f"{info.score} on test")],
    )
    line = [m for m in info.marks if m.member]
    if line:
        out.add_scatter(
            x=[m.cost for m in line],
            y=[m.test for m in line],
            mode="lines",
            line={"shape": "hv", "width": 1.4, "color": style.GREY},
            hoverinfo="skip",
            showlegend=False,
        )
    for method, mark in style.marks(info.methods).items():
        for sure in (True, False):
            marks = [m for m in info.marks if m.method == method and bool(m.draws) == sure]
            if not marks:
                continue
            out.add_scatter(
                x=[m.cost for m in marks],
                y=[m.test for m in marks],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [0 if m.high is None else m.high - m.test for m in marks],
                    "arrayminus": [0 if m.low is None else m.test - m.low for m in marks],
                    "thickness": 1.2,
                    "width": 3,
                    "visible": sure,
                },
                mode="markers",
                name=style.inert(method if sure else f"{method}, one draw"),
                marker={
                    "symbol": mark.shape if sure else mark.shape + "-open",
                    "size": 9,
                    "color": mark.colour,
                    "line": {"width": 1.4, "color": mark.colour},
                },
                text=[style.inert(f"{m.model}, {m.labels:,.0f} labels") for m in marks],
                hovertemplate="%{text}: %{y:.3f}<extra></extra>",
            )
    out.update_layout(legend=style.BELOW)
    return out


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per mark."""
    return [
        {
            "point_id": m.point_id,
            "method": m.method,
            "model": m.model,
            "labels_used": m.labels,
            info.cost: m.cost,
            "validation": m.validation,
            info.score: m.test,
            "low": m.low,
            "high": m.high,
            "draws": m.draws,
            "on_line": m.member,
        }
        for m in info.marks
    ]
