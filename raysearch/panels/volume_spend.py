"""Hypervolume of everything found so far against search FLOPs spent."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run, hypervolume_over_spend, reference_point
from raysearch.panels.best_spend import Curve, courses, steps
from raysearch.recommend.collect import collect


@dataclass(frozen=True, slots=True)
class Info:
    """The courses, and the corner they are measured from."""

    objectives: tuple[str, ...]
    methods: tuple[str, ...]
    curves: tuple[Curve, ...]
    caption: str


def info(
    run: Run,
    *,
    objectives: tuple[str, ...] | list[str] = ("score", "train_flops_full", "infer_flops"),
    by_method: bool = True,
) -> Info:
    """Compute from the records the hypervolume against spend; costs on a log scale."""
    names = tuple(objectives)
    corner = reference_point(run.table, names, run.study)
    frame = hypervolume_over_spend(run.table, names, corner, by_method=by_method)
    methods = collect(run, spend=False).methods
    return Info(names, methods, steps(frame, "hypervolume"), corner.caption)


def draw(info: Info) -> go.Figure:
    """Draw step lines, level until the next find."""
    out = courses("hypervolume (score × decades of cost)", info.methods, info.curves)
    out.update_layout(meta={"caption": info.caption})
    return out
