"""Pages from records alone: HTML files that answer offline, beside the plotly they draw with."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from raysearch.analysis import Run
from raysearch.analysis.report_text import Namer
from raysearch.config.catalog import baseline_methods
from raysearch.errors import RecordError
from raysearch.panels import controls, frontier, label_curves, style
from raysearch.panels.catalog import picture
from raysearch.panels.dashboard import Dashboard, read_dashboards
from raysearch.panels.embed import (
    choices_json,
    escape,
    figure_json,
    inline_json,
    points_json,
    table_json,
)
from raysearch.panels.template import ANSWERING, asset, filled, put
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.points import Points
from raysearch.recommend.sentences import details, footer, headline, interval_note, why
from raysearch.recommend.words import SENTENCES, WORDS, Sentence

POLICY = (
    "default-src 'none'; script-src 'self' file: 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""The browser itself refuses any request of a page but for the plotly beside it."""
HERE = ' aria-current="page"'
BASIC = "plotly-basic.min.js"
"""The first page's bundle, a quarter of the whole: the whole takes 1.9 s to load on two cores."""
WHOLE = "plotly.min.js"


def write_pages(
    run: Run, out: Path, dashboards: Path | None = None, names: Namer | None = None
) -> Path:
    """Write index.html and the other pages of a folder of dashboards; each whole or not at all.

    A page that needs what the run does not have is not written, and linked nowhere.

    Args:
        run: a run as `raysearch.analysis.read_run` reads it; not changed.
        out: the folder to write to; made when it is not there.
        dashboards: a folder of YAML pages with frontier.yaml in it; None for the shipped ones.
        names: hashes of rows, and their texts where a reader asked for them.

    Returns:
        The path of index.html.

    Raises:
        InputError: a page that is not whole or names what does not exist.
        RecordError: the folder or the disk refuses.
    """
    pages = [page for page in read_dashboards(dashboards) if page.meant_for(run)]
    out = Path(out)
    points = collect(run)
    made = {page.file: _page(page, pages, run, points, names) for page in pages}
    made[BASIC] = gzip.decompress((files(__package__) / "assets" / f"{BASIC}.gz").read_bytes())
    if any(page.layout == "panels" for page in pages):
        made[WHOLE] = get_plotlyjs().encode()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in reversed(made.items()):  # what index.html needs comes before it
            put(out / name, data)
    except OSError as e:
        raise RecordError(f"{out}: pages cannot be written: {e.strerror or e}") from e
    return out / pages[0].file


def _page(
    page: Dashboard, pages: Sequence[Dashboard], run: Run, points: Points, names: Namer | None
) -> bytes:
    nav = "".join(
        f'<a href="{escape(p.file)}"{HERE if p == page else ""}>{escape(p.title)}</a>'
        for p in pages
    )
    slots = {
        "title": escape(f"{points.task}: {page.title}" if points.task else page.title),
        "heading": escape(page.title),
        "task": escape(points.task or "raysearch"),
        "score": escape(points.score),
        "empty": "" if len(points) else " hidden",
        "nav": nav,
        "policy": POLICY,
        "style": asset("style.css"),
    }
    if page.layout == "answer":
        slots |= _answer_slots(page, run, points)
        return filled("index.html", slots)
    slots |= _panel_slots(page, run, points, names)
    return filled("panels.html", slots)


def _answer_slots(page: Dashboard, run: Run, points: Points) -> dict[str, str]:
    options: Mapping[str, Any] = page.panels[0].options
    given = answer(points, **options)
    shown = frontier.of(points, given)
    figure = figure_json(frontier.draw(shown))
    for trace in figure["data"]:
        trace |= {"x": [], "y": [], "type": "scatter"}
        trace.pop("hovertext", None)
        for name in ("error_y", "text"):
            trace.pop(name, None)
    figure["layout"] |= {"shapes": [], "annotations": figure["layout"]["annotations"][:1]}
    figure["layout"].pop("meta", None)
    curves = page.panels[1] if len(page.panels) > 1 else None
    drawn = label_curves.draw(label_curves.info(run, **(curves.options if curves else {})))
    marks = {name: asdict(mark) for name, mark in style.marks(points.methods).items()}
    data = {
        "sentences": SENTENCES,
        "marks": marks,
        "shapes": style.SHAPES,
        "dashes": style.LINES,
        "points": points_json(points),
        "choices": choices_json(run, points),
        "setting": {**asdict(given.setting), "methods": None, "cost": options.get("cost", "")},
        "figure": figure,
        "curves": {"layout": figure_json(drawn)["layout"]} if curves else None,
    }
    scripts = (*ANSWERING, "draw.js", "plot.js", "index.js")
    return controls.controls(points, given) | {
        "headline": "".join(f"<p>{_html(s)}</p>" for s in headline(points, given)),
        "details": "".join(f"<p>{_html(s)}</p>" for s in details(points, given)),
        "interval": escape(interval_note(points, given)),
        "reasons": "".join(
            f"<div><dt>{escape(who)}</dt><dd>{escape(text)}</dd></div>"
            for who, text in why(points, given)
        ),
        "footer": escape(footer(points, given)),
        "line": escape(WORDS["line"]),
        "plot": escape(f"{points.score} on test against {shown.cost}, one mark a point"),
        "curves": "" if curves else " hidden",
        "baselines": escape(inline_json(baseline_methods())),
        "data": inline_json(data),
        "script": "\n".join(asset(name) for name in scripts),
    }


def _panel_slots(page: Dashboard, run: Run, points: Points, names: Namer | None) -> dict[str, str]:
    sections, links, figures = [], [], []
    for at, panel in enumerate(page.panels):
        module = picture(panel.name)
        shown = module.info(run, **panel.options)
        if names is not None and hasattr(module, "named"):
            shown = module.named(shown, names)
        figure = figure_json(module.draw(shown))
        title = panel.title or panel.name.replace("_", " ")
        more = (figure["layout"].pop("meta", None) or {}).get("caption", "")
        note = " ".join(part for part in (panel.note, more) if part)
        figures.append(figure)
        links.append(f'<a href="#panel-{at}">{escape(title)}</a>')
        sections.append(
            f'<section class="panel" id="panel-{at}"><h2>{escape(title)}</h2>'
            f'<p class="fine">{escape(note)}</p>'
            f'<div class="plot" id="figure-{at}" role="img" aria-label="{escape(title)}"></div>'
            "</section>"
        )
    if page.table:
        links.append('<a href="#all-points">All points</a>')
        sections.append(asset("table.html"))
    data = {"figures": figures, "table": table_json(run, points) if page.table else None}
    return {
        "toc": "".join(links),
        "panels": "\n".join(sections),
        "footer": escape(footer(points, answer(points))),
        "data": inline_json(data),
        "script": "\n".join(asset(name) for name in ("read.js", "draw.js", "research.js")),
    }


def _html(sentence: Sentence) -> str:
    return "".join(f"<b>{escape(t)}</b>" if bold else escape(t) for t, bold in sentence)
