"""A board of cells for a map: fields in colours or hatched, each with its words for the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from raysearch.panels import style

UNSURE = "rgba(128,134,145,0.12)"
"""The field of what is undecided."""
HALF = 0.48
"""Half a cell's side."""


def fields(
    out: go.Figure,
    places: Sequence[tuple[int, int]],
    colour: str,
    texts: Sequence[str],
    pattern: dict[str, Any] | None = None,
) -> None:
    """Draw one field for each (column, row), hatched where there is a pattern."""
    if not places:
        return
    out.add_bar(
        x=[x for x, _ in places],
        y=[2 * HALF] * len(places),
        base=[y - HALF for _, y in places],
        width=2 * HALF,
        marker={
            "color": colour,
            "line": {"width": 1, "color": "rgba(128,134,145,0.35)"},
            **({"pattern": {**pattern, "bgcolor": colour, "solidity": 0.2}} if pattern else {}),
        },
        hovertext=list(texts),
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )


def empties(out: go.Figure, places: Sequence[tuple[int, int]]) -> None:
    """Write in each cell where nothing fits that this is so."""
    fields(out, places, "rgba(0,0,0,0)", ["nothing fits"] * len(places))
    if places:
        out.add_scatter(
            x=[x for x, _ in places],
            y=[y for _, y in places],
            mode="text",
            text=["nothing fits"] * len(places),
            textfont={"size": 11, "color": style.GREY},
            hoverinfo="skip",
            showlegend=False,
        )


def pale(colour: str, share: float) -> str:
    """Return a colour through which the paper shows.

    >>> pale("#0077bb", 0.3)
    'rgba(0,119,187,0.3)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"


def power(value: float) -> str:
    """Return a half decade as the text of a tick.

    >>> power(3.2e12), power(1e9)
    ('3.2·10<sup>12</sup>', '10<sup>9</sup>')
    """
    digits, exponent = f"{value:.1e}".split("e")
    power = f"10<sup>{int(exponent)}</sup>"
    return power if digits == "1.0" else f"{digits}·{power}"
