"""The picture that answers: main score on test against one log cost, with the step frontier."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.config.catalog import baseline_methods
from raysearch.panels import style
from raysearch.recommend import point_text, sentences
from raysearch.recommend.answer import Answer, answer
from raysearch.recommend.collect import collect
from raysearch.recommend.ownership_cost import baseline_cost, cost_of, prices_of
from raysearch.recommend.points import NOUNS, OWN, Points
from raysearch.recommend.words import count, format_fixed


@dataclass(frozen=True, slots=True)
class Info:
    """The marks of the picture; the tuples of one group are parallel."""

    score: str
    cost: str
    """Name of the x axis with its unit."""
    methods: tuple[str, ...]
    x: tuple[float, ...]
    """Cost of the points off the frontier."""
    y: tuple[float, ...]
    """Their score on test."""
    by: tuple[str, ...]
    """Their method."""
    fresh: tuple[bool, ...]
    """Whether they are confirmed."""
    front_x: tuple[float, ...]
    front_y: tuple[float, ...]
    front_by: tuple[str, ...]
    front_ends: tuple[tuple[float, float] | None, ...]
    """The 95 % interval of the confirmed ones; None: not confirmed."""
    front_names: tuple[str, ...]
    baselines: tuple[tuple[float, float, str], ...]
    """(cost, score, name) of the outside systems and zero-shot models that have the cost."""
    ring: tuple[float, float] | None
    """The recommendation."""
    band: tuple[float, float] | None
    majority: float | None
    linear: tuple[float, str] | None
    """A baseline's score, and what it is called."""
    caption: str


def info(run: Run, *, cost: str = "", labels: int | None = None, teacher: str = "full") -> Info:
    """Read the picture off a run, as the page shows it before any control is touched."""
    points = collect(run)
    return of(points, answer(points, labels=labels, cost=cost, teacher=teacher))


def of(points: Points, given: Answer) -> Info:
    """Return the picture of one answer."""
    axis = given.setting.cost
    x = cost_of(points, given.setting, given.own) if axis else points.test
    on = set(given.frontier)
    fits = [i for i in range(len(points)) if given.fits[i]]
    rest = [i for i in fits if i not in on]
    front = list(given.frontier)
    ring = given.choice
    linear = given.linear
    words = "" if linear is None else baseline_methods()[points.methods[points.method[linear]]]
    return Info(
        score=points.score,
        cost=axis_title(points, axis),
        methods=points.methods,
        x=tuple(float(x[i]) for i in rest),
        y=tuple(float(points.test[i]) for i in rest),
        by=tuple(points.methods[points.method[i]] for i in rest),
        fresh=tuple(bool(points.place[i] >= 0) for i in rest),
        front_x=tuple(float(x[i]) for i in front),
        front_y=tuple(float(points.test[i]) for i in front),
        front_by=tuple(points.methods[points.method[i]] for i in front),
        front_ends=tuple(
            (float(points.low[i]), float(points.high[i])) if points.place[i] >= 0 else None
            for i in front
        ),
        front_names=tuple(point_text.name(points, i) for i in front),
        baselines=tuple(
            (cost, r.test, r.name)
            for r in points.baselines
            if (cost := baseline_cost(r, given.setting, prices_of(points, given.setting))) > 0
        ),
        ring=None if ring is None else (float(x[ring]), float(points.test[ring])),
        band=given.band,
        majority=points.majority,
        linear=None if linear is None else (float(points.test[linear]), words),
        caption=sentences.footer(points, given),
    )


def axis_title(points: Points, axis: str) -> str:
    """Return the axis in words, with its unit."""
    if axis == OWN:
        return f"{NOUNS[OWN]} [$]"
    known = next((a for a in points.axes if a.name == axis), None)
    if known is None:
        return "cost"
    return f"{known.noun} [{known.unit}]" if known.unit != known.noun else known.noun


def draw(info: Info) -> go.Figure:
    """Draw it; the page fills the same traces again, by their `meta.role`, when a control moves."""
    marks = style.marks(info.methods)
    out = style.figure(
        height=440,
        xaxis=style.log_axis(info.cost),
        annotations=[style.top_title(f"{info.score} on test")],
    )
    kind = go.Scattergl if len(info.x) > style.GL_ABOVE else go.Scatter
    for role, opacity in (("out", 0.22), ("rest", 0.6)):
        is_rest = role == "rest"
        out.add_trace(
            kind(
                x=info.x if is_rest else (),
                y=info.y if is_rest else (),
                mode="markers",
                name="off the line",
                showlegend=False,
                meta={"role": role},
                opacity=opacity,
                marker={
                    "size": 7,
                    "color": style.GREY,
                    "symbol": [
                        marks[m].shape + ("" if fresh else "-open")
                        for m, fresh in zip(info.by, info.fresh, strict=True)
                    ]
                    if is_rest
                    else [],
                },
            )
        )
    line = {"shape": "hv", "width": 1.5, "color": style.GREY}
    out.add_scatter(
        x=info.front_x,
        y=info.front_y,
        mode="lines",
        line=line,
        hoverinfo="skip",
        showlegend=False,
        meta={"role": "line"},
    )
    for method, mark in marks.items():
        here_ = [i for i, m in enumerate(info.front_by) if m == method]
        out.add_scatter(
            x=[info.front_x[i] for i in here_],
            y=[info.front_y[i] for i in here_],
            hovertext=[style.inert(info.front_names[i]) for i in here_],
            mode="markers",
            name=style.inert(method),
            meta={"role": "member", "method": method},
            error_y=style.bars(
                [info.front_y[i] for i in here_], [info.front_ends[i] for i in here_]
            ),
            marker={
                "size": 12,
                "symbol": [
                    mark.shape + ("-open" if info.front_ends[i] is None else "") for i in here_
                ],
                "color": mark.colour,
                "line": {"width": 2.2, "color": mark.colour},
            },
        )
    out.add_scatter(
        x=[x for x, _, _ in info.baselines],
        y=[y for _, y, _ in info.baselines],
        text=[style.inert(name) for _, _, name in info.baselines],
        mode="markers+text",
        textposition="top left",
        showlegend=False,
        meta={"role": "rival"},
        marker={"size": 11, "symbol": "diamond", "color": "#1d2128"},
    )
    ring = info.ring
    out.add_scatter(
        x=() if ring is None else (ring[0],),
        y=() if ring is None else (ring[1],),
        mode="markers",
        hoverinfo="skip",
        showlegend=False,
        meta={"role": "ring"},
        marker={"size": 26, "symbol": "circle-open", "color": "#4a515c", "line": {"width": 2}},
    )
    _levels(out, info)
    return out


def _levels(out: go.Figure, info: Info) -> None:
    if info.band is not None:
        out.add_hrect(*info.band, fillcolor="#0077bb", opacity=0.09, line_width=0, layer="below")
    best, named = info.linear or (None, "")
    for value, dash, words in (
        (info.majority, "dot", "most frequent class"),
        (best, "dash", named),
    ):
        if value is not None:
            text = f"{words} {format_fixed(value, 2)}"
            out.add_hline(
                value,
                line={"dash": dash, "width": 1, "color": style.GREY},
                annotation={"text": text, "font": {"size": 11}, "xanchor": "right"},
            )
    n = count(len(info.x) + len(info.front_x))
    out.update_layout(meta={"caption": info.caption, "points": n})
