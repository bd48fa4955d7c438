"""Parallel coordinates: every knob, cost and score of one method at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.panels import style

COLUMNS = ("labels_train", "train_flops_full", "infer_flops", "score_validation", "score_test")
MOST = 3000


@dataclass(frozen=True, slots=True)
class Axis:
    """One coordinate; values parallel to the group's points, NaN-free."""

    name: str
    values: tuple[float, ...]
    """Numbers as drawn: log10 where `log`, positions where `ticks` are names."""
    log: bool = False
    ticks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """The points of one method."""

    method: str
    axes: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """One group per method."""

    groups: tuple[Group, ...]


def info(run: Run, *, most: int = MOST) -> Info:
    """Read knobs and objectives of the DONE points; beyond `most` of a method, evenly thinned."""
    table = run.table[(run.table["status"] == "DONE") & run.table["score_validation"].notna()]
    groups = []
    for method, part in table.groupby("method", sort=True):
        if len(part) > most:
            part = part.iloc[np.linspace(0, len(part) - 1, most).round().astype(int)]
        hypers = [json.loads(h) for h in part["hyper"]]
        names = sorted({k for h in hypers for k in h})
        axes = [_axis("model", [str(v) for v in part["model"]])]
        axes += [_axis(name, [h.get(name) for h in hypers]) for name in names]
        axes += [_axis(c, part[c].tolist()) for c in COLUMNS if bool(part[c].notna().all())]
        groups.append(Group(str(method), tuple(a for a in axes if a.values)))
    return Info(tuple(groups))


def _axis(name: str, values: Sequence[Any]) -> Axis:
    if any(v is None for v in values):
        values = ["unset" if v is None else v for v in values]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        low, high = min(numbers), max(numbers)
        if low > 0 and high / low >= 50:
            return Axis(name, tuple(math.log10(v) for v in numbers), log=True)
        return Axis(name, tuple(float(v) for v in numbers))
    ticks = tuple(sorted({str(v) for v in values}))
    at = {t: float(i) for i, t in enumerate(ticks)}
    return Axis(name, tuple(at[str(v)] for v in values), ticks=ticks)


def draw(info: Info) -> go.Figure:
    """Draw one set of coordinates per method, by a menu; lines coloured by validation score."""
    out = style.figure(height=460, margin={"l": 70, "r": 60, "t": 90, "b": 24})
    for i, group in enumerate(info.groups):
        dimensions = []
        for axis in group.axes:
            one: dict[str, Any] = {"label": style.inert(axis.name), "values": axis.values}
            if axis.log:
                low, high = math.floor(min(axis.values)), math.ceil(max(axis.values))
                step = max(1, (high - low) // 6)
                one["tickvals"] = list(range(low, high + 1, step))
                one["ticktext"] = [f"1e{k}" for k in one["tickvals"]]
            elif axis.ticks:
                one["tickvals"] = list(range(len(axis.ticks)))
                one["ticktext"] = [style.inert(t[:24]) for t in axis.ticks]
            dimensions.append(one)
        colour = next((a.values for a in group.axes if a.name == "score_validation"), ())
        out.add_parcoords(
            dimensions=dimensions,
            visible=i == 0,
            name=style.inert(group.method),
            line={"color": colour, "colorscale": "Viridis"},
            labelangle=-20,
        )
    if len(info.groups) > 1:
        buttons = [
            {
                "label": style.inert(g.method),
                "method": "restyle",
                "args": ["visible", [j == i for j in range(len(info.groups))]],
            }
            for i, g in enumerate(info.groups)
        ]
        menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.32, "yanchor": "top"}
        out.update_layout(updatemenus=[menu])
    return out
