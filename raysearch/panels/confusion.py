"""Which classes are taken for which: true classes down, predicted classes across."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from raysearch.analysis import Run
from raysearch.analysis.classification_report import normalised
from raysearch.analysis.report import Report
from raysearch.panels import style
from raysearch.recommend.recommended import look

TEXTS_UP_TO = 12
"""Classes above which a cell is too small for its number."""
LONGEST = 24
"""Characters of a label's name along an axis."""
WHITE_TO_BLUE = ((0.0, "#ffffff"), (0.5, "#6baed6"), (1.0, "#08306b"))
"""One hue, dark is much: the same in grey and to colour-blind readers."""
SHADES = 50
"""Steps of the colour scale where it is drawn as polygons."""
WHITE_TEXT_ABOVE = 0.55


@dataclass(frozen=True, slots=True)
class Info:
    """The matrix, as counts over all draws and as shares of each true class."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float | None, ...], ...]
    """None for a class that does not occur."""
    draws: int


def info(run: Run, *, point: str = "") -> Info:
    """Read the matrix of a point, or of the best, off a run; empty for regression."""
    report = look(run, point)
    return Info((), (), (), 0) if report is None else of(report)


def of(report: Report) -> Info:
    """Return the matrix of a report."""
    counts = report.confusion
    shares = tuple(
        tuple(None if v != v else float(v) for v in row) for row in normalised(counts).tolist()
    )
    cells = tuple(tuple(int(v) for v in row) for row in counts.tolist())
    return Info(report.about.names if len(counts) else (), cells, shares, len(report.about.draws))


def draw(info: Info) -> go.Figure:
    """Draw a heat map of the shares; the counts stand in the cells where there is room."""
    out = _framed(info)
    if not info.names:
        return out
    places = list(range(len(info.names)))
    out.add_heatmap(
        x=places,
        y=places,
        z=[list(row) for row in info.shares],
        zmin=0,
        zmax=1,
        text=_texts(info),
        texttemplate="%{text}" if len(places) <= TEXTS_UP_TO else None,
        xgap=1,
        ygap=1,
        hovertemplate="true %{y}, predicted %{x}: %{text}<extra></extra>",
        **_scale(),
    )
    return out


def draw_vector(info: Info) -> go.Figure:
    """Draw the same without a bitmap, which a heat map is: polygons, one trace a shade."""
    out = _framed(info)
    shades: dict[int, tuple[list[float | None], list[float | None]]] = {}
    for i, row in enumerate(info.shares):
        for j, share in enumerate(row):
            if share is None:
                continue
            x, y = shades.setdefault(round(share * SHADES), ([], []))
            x += [j - 0.49, j + 0.49, j + 0.49, j - 0.49, j - 0.49, None]
            y += [i - 0.49, i - 0.49, i + 0.49, i + 0.49, i - 0.49, None]
    scale = [list(stop) for stop in WHITE_TO_BLUE]
    for shade, (x, y) in sorted(shades.items()):
        (colour,) = sample_colorscale(scale, [shade / SHADES])
        fill = {"fill": "toself", "fillcolor": colour, "line": {"width": 0}}
        out.add_scatter(x=x, y=y, mode="lines", showlegend=False, hoverinfo="skip", **fill)
    texts = _texts(info) if 0 < len(info.names) <= TEXTS_UP_TO else []
    for dark in (False, True):
        cells = [
            (j, i, text)
            for i, row in enumerate(texts)
            for j, text in enumerate(row)
            if text and ((info.shares[i][j] or 0) > WHITE_TEXT_ABOVE) == dark
        ]
        out.add_scatter(
            x=[x for x, _, _ in cells],
            y=[y for _, y, _ in cells],
            text=[text for _, _, text in cells],
            mode="text",
            textfont={"color": "white" if dark else "black", "size": 12},
            showlegend=False,
        )
    if info.names:
        bar = {"color": [0, 1], "cmin": 0, "cmax": 1, "opacity": 0, "showscale": True, **_scale()}
        out.add_scatter(x=[None], y=[None], mode="markers", marker=bar, showlegend=False)
    return out


def _framed(info: Info) -> go.Figure:
    """Draw the axes: names along both, the first class on top."""
    classes = len(info.names)
    out = style.figure(height=max(280, min(900, 120 + 46 * classes)))
    ticks = [style.inert(n if len(n) <= LONGEST else n[: LONGEST - 1] + "…") for n in info.names]
    axis: dict[str, Any] = {"tickmode": "array"}
    axis |= {"tickvals": list(range(classes)), "ticktext": ticks}
    axis |= {"showgrid": False, "showline": False}
    out.update_xaxes({**axis, "title": {"text": "predicted"}, "range": [-0.5, classes - 0.5]})
    out.update_yaxes({**axis, "title": {"text": "true"}, "range": [classes - 0.5, -0.5]})
    return out


def _scale() -> dict[str, Any]:
    title = {"text": "share of the<br>true class", "font": {"size": 12}}
    bar = {"title": title, "tickfont": {"size": 12}, "thickness": 12, "outlinewidth": 0}
    return {"colorscale": [list(stop) for stop in WHITE_TO_BLUE], "colorbar": bar}


def _texts(info: Info) -> list[list[str]]:
    return [
        ["" if s is None else f"{c:,}<br>{s:.2f}" for c, s in zip(cs, ss, strict=True)]
        for cs, ss in zip(info.counts, info.shares, strict=True)
    ]


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per cell."""
    return [
        {"true": t, "predicted": p, "count": info.counts[i][j], "share": info.shares[i][j]}
        for i, t in enumerate(info.names)
        for j, p in enumerate(info.names)
    ]
