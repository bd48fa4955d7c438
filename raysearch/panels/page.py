"""Pages from records alone: HTML files that answer offline, beside the plotly they draw with."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
from raysearch.panels.embed import choices_json, figure_json, points_json, table_json
from raysearch.panels.template import ANSWERING, put, render
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.points import Points
from raysearch.recommend.sentences import details, footer, headline, interval_note, why
from raysearch.recommend.words import SENTENCES, WORDS

POLICY = (
    "default-src 'none'; script-src 'self' file: 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""The browser itself refuses any request of a page but for the plotly beside it."""
BASIC = "plotly-basic.min.js"
"""The first page's bundle, a quarter of the whole: the whole takes 1.9 s to load on two cores."""
WHOLE = "plotly.min.js"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page under its heading: a picture, or a table where there are rows."""

    id: str
    title: str
    note: str
    plot: str = ""
    """Id of the element that the picture is drawn in; empty: a table."""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    flush_right: bool = False
    """All columns but the first."""

    @classmethod
    def of_picture(cls, at: int, title: str, note: str) -> Section:
        """Return the section of the page's picture number `at`, from 0."""
        return cls(f"panel-{at}", title, note, plot=f"figure-{at}")


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
    if page.layout == "answer":
        template, values = "index.html", _answer(page, run, points)
    else:
        template, values = "panels.html", _panels(page, run, points, names)
    return render(
        __package__,
        template,
        policy=POLICY,
        title=f"{points.task}: {page.title}" if points.task else page.title,
        heading=page.title,
        task=points.task or "raysearch",
        score=points.score,
        nav=[(p.file, p.title) for p in pages],
        here=page.file,
        **values,
    ).encode()


def _answer(page: Dashboard, run: Run, points: Points) -> dict[str, Any]:
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
    data = {
        "sentences": SENTENCES,
        "marks": {name: asdict(mark) for name, mark in style.marks(points.methods).items()},
        "shapes": style.SHAPES,
        "dashes": style.LINES,
        "points": points_json(points),
        "choices": choices_json(run, points),
        "setting": {**asdict(given.setting), "methods": None, "cost": options.get("cost", "")},
        "figure": figure,
        "curves": {"layout": figure_json(drawn)["layout"]} if curves else None,
    }
    return controls.controls(points, given) | {
        "empty": not len(points),
        "headline": headline(points, given),
        "details": details(points, given),
        "interval": interval_note(points, given),
        "reasons": why(points, given),
        "footer": footer(points, given),
        "line": WORDS["line"],
        "cost": shown.cost,
        "baselines": baseline_methods(),
        "data": data,
        "scripts": (*ANSWERING, "draw.js", "plot.js", "index.js"),
    }


def _panels(page: Dashboard, run: Run, points: Points, names: Namer | None) -> dict[str, Any]:
    sections, figures = [], []
    for at, panel in enumerate(page.panels):
        module = picture(panel.name)
        shown = module.info(run, **panel.options)
        if names is not None and hasattr(module, "named"):
            shown = module.named(shown, names)
        figure = figure_json(module.draw(shown))
        more = (figure["layout"].pop("meta", None) or {}).get("caption", "")
        note = " ".join(part for part in (panel.note, more) if part)
        sections.append(Section.of_picture(at, panel.title or panel.name.replace("_", " "), note))
        figures.append(figure)
    return {
        "sections": sections,
        "footer": footer(points, answer(points)),
        "data": {"figures": figures, "table": table_json(run, points) if page.table else None},
        "scripts": ("read.js", "draw.js", "research.js"),
    }
