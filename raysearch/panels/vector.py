"""Figures for print: SVG and PDF by a headless Chromium, offline; kaleido drives it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go

from raysearch.errors import InputError

KINDS = ("svg", "pdf")
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""Metrically one family; a PDF embeds what it uses of it."""
WIDTH = 520
"""A column and a half of a paper [px at 96 per inch]."""


def for_print(figure: go.Figure) -> go.Figure:
    """Return a copy on white with black type and visible axes; the figure stays as it is."""
    plain = figure.to_dict()
    for trace in plain["data"]:
        # WebGL marks would be a bitmap in the file; as vectors they stay sharp.
        trace["type"] = {"scattergl": "scatter"}.get(trace["type"], trace["type"])
    out = go.Figure(plain)
    out.update_layout(
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": FONT, "size": 13, "color": "black"},
        margin={"l": 64, "r": 20, "t": 32, "b": 56},
        width=WIDTH,
    )
    line = {"showline": True, "linecolor": "black", "linewidth": 1, "ticks": "outside"}
    out.update_xaxes(**line, tickcolor="black", tickfont={"size": 12, "color": "black"})
    out.update_yaxes(**line, tickcolor="black", tickfont={"size": 12, "color": "black"})
    return out


def write_vectors(figures: Mapping[str, go.Figure], folder: Path) -> list[Path]:
    """Write each figure as NAME.svg and NAME.pdf; one browser for all of them.

    Raises:
        InputError: kaleido is not installed, or no Chromium is found; its sentence says what helps.
    """
    if importlib.util.find_spec("kaleido") is None:
        raise InputError("--paper: needs kaleido: pip install 'raysearch[paper]'")
    kaleido = importlib.import_module("kaleido")
    failed = importlib.import_module("kaleido.errors")
    paths, jobs = [], []
    for name, figure in figures.items():
        made = for_print(figure).to_dict()
        layout = made["layout"]
        for kind in KINDS:
            size = {"width": layout["width"], "height": layout.get("height", 400)}
            paths.append(folder / f"{name}.{kind}")
            jobs.append({"fig": made, "path": str(paths[-1]), "opts": {"format": kind, **size}})
    try:
        # MathJax would come from the network, and no text of ours holds formulas.
        kaleido.write_fig_from_object_sync(jobs, kopts={"n": 1, "mathjax": False})
    except failed.ChromeNotFoundError as e:
        raise InputError(
            "--paper: no Chromium or Chrome was found: apt-get install chromium, or name one in "
            "the variable BROWSER_PATH"
        ) from e
    except (failed.BrowserFailedError, failed.BrowserClosedError, failed.KaleidoError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise InputError(f"--paper: the browser did not draw the figures: {reason}") from e
    return paths
