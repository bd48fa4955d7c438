"""What the confirmed points attain: in every draw, in half of them, in any.

Source: Lopez-Ibanez, Paquete and Stuetzle 2010 (empirical attainment function), as in moocore.
"""

from __future__ import annotations

from dataclasses import dataclass

import moocore
import numpy as np
import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.confirmation import confirmation
from raysearch.objectives import get
from raysearch.panels import style

LEVELS = ("in some draw", "in half of the draws", "in every draw")


@dataclass(frozen=True, slots=True)
class Info:
    """Step lines of the score that is attained at a cost, cheapest first."""

    score: str
    cost: str
    """Name of the x axis with its unit."""
    draws: int
    levels: tuple[str, ...]
    x: tuple[tuple[float, ...], ...]
    """By level."""
    y: tuple[tuple[float, ...], ...]
    """On test."""


def info(run: Run, *, cost: str = "infer_flops") -> Info:
    """Read the surfaces off a run's confirming draws; empty without any."""
    made = confirmation(run)
    objective = get(cost)
    rows = run.table.drop_duplicates("point_id").set_index("point_id")
    title = f"{cost.replace('_', ' ')} [{objective.unit}]"
    name = str(run.table["score_name"].iloc[0]) if len(run.table) else "score"
    sets: list[np.ndarray] = []
    draws = max((e.draws for e in made.estimates), default=0)
    for estimate in made.estimates:
        value = rows[cost].astype("float64").get(estimate.point_id, np.nan)
        if not np.isfinite(value) or len(estimate.per_draw) != draws:
            continue
        sets += [np.array([value, -s, k + 1]) for k, s in enumerate(estimate.per_draw)]
    if not sets:
        return Info(name, title, 0, (), (), ())
    of = np.array(sets)
    of = of[np.argsort(of[:, 2], kind="stable")]
    lines = moocore.eaf(of[:, :2], sets=of[:, 2], percentiles=[100 / draws, 50, 100])
    x, y = [], []
    for level in sorted({float(v) for v in lines[:, -1]}):
        line = lines[lines[:, -1] == level]
        line = line[np.argsort(line[:, 0], kind="stable")]
        x.append(tuple(float(v) for v in line[:, 0]))
        y.append(tuple(float(-v) for v in line[:, 1]))
    return Info(name, title, draws, LEVELS[: len(x)], tuple(x), tuple(y))


def draw(info: Info) -> go.Figure:
    """Draw step lines; the band lies between what some draw and what every draw attains."""
    out = style.figure(
        xaxis=style.log_axis(info.cost), annotations=[style.top_title(f"{info.score} on test")]
    )
    far = max((v for line in info.x for v in line), default=1.0) * 1.5
    dashes = ("dot", "solid", "dash")
    order = [i for i in (0, 2, 1) if i < len(info.x)]  # the band fills from some draw to every
    for i in order:
        out.add_scatter(
            x=(*info.x[i], far),
            y=(*info.y[i], info.y[i][-1]),
            mode="lines",
            name=info.levels[i],
            line={
                "shape": "hv",
                "width": 2 if i == 1 else 1.2,
                "dash": dashes[i],
                "color": "#0077bb",
            },
            fill="tonexty" if i == 2 else None,
            fillcolor="rgba(0, 119, 187, 0.12)",
            hovertemplate="%{x:.2g}: %{y:.3f}<extra>" + info.levels[i] + "</extra>",
        )
    caption = f"{info.draws} draws of the confirmed points." if info.draws else ""
    out.update_layout(legend=style.BELOW, meta={"caption": caption})
    return out
