"""Where the compute went: the whole bill of the search, by phase, method or payer."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.errors import unknown
from raysearch.ledger import OWN, PHASES
from raysearch.panels import style

BY = ("phase", "payer")


@dataclass(frozen=True, slots=True)
class Info:
    """FLOPs by method (bars) and by part (segments)."""

    by: str
    methods: tuple[str, ...]
    parts: tuple[str, ...]
    flops: tuple[tuple[float, ...], ...]
    """One tuple per part, parallel to `methods`."""


def info(run: Run, *, by: str = "phase") -> Info:
    """Sum the bills; an inherited bill whose payer is no trial here counts once, not per student.

    Raises:
        InputError: `by` is neither phase nor payer.
    """
    if by not in BY:
        raise unknown("panel 'compute'", "part", by, BY)
    searched = [r for r in run.records if r.phase != "confirm"]
    ids = {r.id for r in searched}
    sums: dict[tuple[str, str], float] = {}
    seen: set[tuple[str, str]] = set()
    for record in searched:
        taken = {c.payer for c in record.bill} - ids - {OWN}
        new = {p for p in taken if (p, "") not in seen}
        seen |= {(p, "") for p in new}
        for charge in record.bill:
            if charge.payer != OWN and charge.payer not in new:
                continue
            part = charge.phase if by == "phase" else "own"
            if by == "payer" and charge.payer != OWN:
                part = "teacher from elsewhere"
            key = (part, record.config.method)
            sums[key] = sums.get(key, 0.0) + charge.flops
    methods = tuple(sorted({m for _, m in sums}))
    order = {name: i for i, name in enumerate((*PHASES, "own"))}
    parts = sorted({p for (p, _), v in sums.items() if v}, key=lambda p: (order.get(p, 99), p))
    flops = tuple(tuple(sums.get((p, m), 0.0) for m in methods) for p in parts)
    return Info(by, methods, tuple(parts), flops)


def draw(info: Info) -> go.Figure:
    """Draw stacked bars, one per method."""
    out = style.figure(
        barmode="stack",
        height=120 + 34 * max(3, len(info.methods)),
        xaxis={"title": {"text": "FLOPs"}, "exponentformat": "power", "showgrid": True},
        yaxis={"autorange": "reversed", "type": "category"},
        legend={"traceorder": "normal"},
    )
    patterns = ("", "/", "x", "-", "|", "+", ".", "\\", "")
    for i, (part, values) in enumerate(zip(info.parts, info.flops, strict=True)):
        out.add_bar(
            x=values,
            y=[style.inert(m) for m in info.methods],
            orientation="h",
            name=style.inert(part),
            marker={
                "color": style.COLOURS[i % len(style.COLOURS)],
                "pattern": {"shape": patterns[i % len(patterns)], "size": 6, "solidity": 0.25},
            },
            hovertemplate="%{x:.3g} FLOPs<extra>%{fullData.name}</extra>",
        )
    return out
