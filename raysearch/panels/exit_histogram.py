"""Early exit: how many texts leave at each exit as the threshold goes, and what that spends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from raysearch.analysis import Run
from raysearch.analysis.exit_trials import (
    FIRST,
    by_criterion,
    exit_trial,
    has_exits,
    in_draws,
    never,
    shares_words,
    threshold_words,
    title,
)
from raysearch.analysis.point_costs import flops_of
from raysearch.panels import style
from raysearch.panels.captions import span
from raysearch.recommend.words import format_short
from raysearch.record import OperatingPoint

NEEDS = {"exits": has_exits}
"""Needs of pages: points of a model with exits."""

ROW = 22
"""Height of a threshold."""
ROOM = 0.06
"""Share of texts below which a bar has no room for its exit's number."""
DARK = 0.55
"""Part of the colour scale from which on letters are black."""


@dataclass(frozen=True, slots=True)
class Level:
    """One threshold."""

    point_id: str
    threshold: str
    draws: int
    """Fresh ones that it is the mean of; 0: the search's own trial."""
    rows: tuple[int, ...]
    """Validation rows of each of them."""
    shares: tuple[float, ...]
    """Of the validation rows, by exit."""
    infer_flops: float
    """Expected [FLOP/text]."""
    spent: float
    """Part of the FLOPs that `Info.dearest` has."""
    validation: float | None


@dataclass(frozen=True, slots=True)
class Info:
    """The thresholds of one trial by one criterion, dear to cheap."""

    whose: str
    score: str
    criterion: str
    exits: tuple[str, ...]
    """By depth."""
    levels: tuple[Level, ...]
    dearest: str
    """Whose FLOPs are the whole."""
    caption: str


def info(run: Run, *, point: str = "", criterion: str = FIRST) -> Info:
    """Read the thresholds of a point's trial, or of the best, off a run.

    Raises:
        InputError: a point is named, and there is no such or its model has no exits; or an unknown
            criterion.
    """
    trial = exit_trial(run, point)
    if trial is None:
        return Info("", "score", criterion, (), (), "", "")
    score = trial.record.score
    points = by_criterion(trial, criterion)
    tried = [p for p in points if flops_of(p)]
    whole = max(map(flops_of, tried), default=1.0)
    dearest = "the whole model's" if any(map(never, tried)) else "the dearest point's"
    levels = tuple(_level(run, p, score, whole) for p in tried)
    sentences = [f"{title(trial)}."]
    if levels:
        sentences.append(
            f"{_who(levels)} Numbers in the bars are those of the exits, beside them the part of "
            f"{dearest} FLOPs that is spent."
        )
    if len(points) > len(tried):
        sentences.append(f"Points without infer_flops left out: {len(points) - len(tried):,}.")
    whose = title(trial)
    return Info(whose, score, criterion, trial.names, levels, dearest, " ".join(sentences))


def _level(run: Run, point: OperatingPoint, score: str, whole: float) -> Level:
    fresh = in_draws(run, point)
    of = fresh or [point]
    seen = [v for p in of if (v := p.scores.get("validation", {}).get(score)) is not None]
    flops = flops_of(point)
    return Level(
        point.point_id,
        threshold_words(point),
        len(fresh),
        tuple(p.rows.get("validation", 0) for p in of),
        tuple(float(s) for s in point.exits),
        flops,
        flops / whole,
        float(np.mean(seen)) if seen else None,
    )


def _who(levels: Sequence[Level]) -> str:
    """Return whose shares and FLOPs the bars are, and on how many validation rows."""
    fresh, own = [lv for lv in levels if lv.draws], [lv for lv in levels if not lv.draws]
    sentences = []
    if fresh:
        rows = span([n for lv in fresh for n in lv.rows])
        draws = span([lv.draws for lv in fresh])
        sentences.append(
            f"Means over {draws} fresh draws, each on {rows} validation rows of its own."
        )
    if own:
        rows = span([n for lv in own for n in lv.rows])
        which = f"{len(own):,} of the bars: the" if fresh else "The"
        sentences.append(f"{which} search's own trial on {rows} validation rows.")
    return " ".join(sentences)


def draw(info: Info) -> go.Figure:
    """Draw one bar per threshold, its parts by exit; shallow to deep is dark to light."""
    rows = len(info.levels)
    out = style.figure(
        height=max(200, 130 + ROW * rows),
        margin={"l": 56, "r": 56, "t": 34, "b": 48},
        barmode="stack",
        bargap=0.18,
        xaxis={"title": {"text": "share of the texts"}, "range": [0, 1], "tickformat": ".0%"},
        annotations=[{**style.top_title(f"leaves at {info.criterion}")}],
        meta={"caption": info.caption},
        legend={"yref": "container", "y": 0, "yanchor": "bottom", "traceorder": "normal"},
    )
    if not rows:
        return out
    out.update_yaxes(
        {
            "tickmode": "array",
            "tickvals": list(range(rows)),
            "ticktext": [f"{style.inert(level.threshold)}\u00a0" for level in info.levels],
            "range": [rows - 0.5, -0.5],
            "showgrid": False,
        }
    )
    for k, (name, colour, letters) in enumerate(
        zip(info.exits, *_shades(len(info.exits)), strict=True)
    ):
        shares = [level.shares[k] for level in info.levels]
        out.add_bar(
            x=shares,
            y=list(range(rows)),
            orientation="h",
            name=style.inert(name),
            marker={"color": colour, "line": {"width": 0.8, "color": "rgba(128,134,145,0.7)"}},
            text=[name.split()[-1] if share >= ROOM else "" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": letters, "size": 11},
            hovertext=[_hover(info, level, k) for level in info.levels],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    for at, level in enumerate(info.levels):
        out.add_annotation(
            text=f"{100 * level.spent:.0f} %",
            xref="paper",
            x=1,
            xanchor="left",
            xshift=6,
            y=at,
            showarrow=False,
            font={"size": 11},
        )
    out.add_annotation(
        text="FLOPs", xref="paper", x=1, xanchor="left", xshift=6, yref="paper", y=1,
        yanchor="bottom", yshift=6, showarrow=False, font={"size": 12},
    )  # fmt: skip
    return out


def _shades(count: int) -> tuple[list[str], list[str]]:
    """Return colours of exits, shallow to deep, and of letters on them: one scale, safe in grey."""
    at = [0.12 + 0.86 * k / max(1, count - 1) for k in range(count)]
    colours: list[str] = sample_colorscale("Cividis", at)
    return colours, ["#000000" if a > DARK else "#ffffff" for a in at]


def _hover(info: Info, level: Level, k: int) -> str:
    seen = (
        "" if level.validation is None else f", {info.score} {level.validation:.3f} on validation"
    )
    lines = [
        f"{100 * level.shares[k]:.1f} % leave at {info.exits[k]}",
        f"{info.criterion} {level.threshold}{seen}",
        f"{format_short(level.infer_flops)} FLOPs a text, {100 * level.spent:.0f} % of "
        f"{info.dearest}",
        shares_words(info.exits, level.shares),
        f"point {level.point_id}",
    ]
    return "<br>".join(style.inert(text) for text in lines)


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per threshold and exit."""
    return [
        {
            "point_id": level.point_id,
            "criterion": info.criterion,
            "threshold": level.threshold,
            "draws": level.draws,
            "exit": name,
            "share": share,
            "infer_flops": level.infer_flops,
            "spent": level.spent,
            "validation": level.validation,
        }
        for level in info.levels
        for name, share in zip(info.exits, level.shares, strict=True)
    ]
