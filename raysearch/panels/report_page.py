"""The page of one point: how it fares by class, by confidence, by labels, and where it errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from raysearch.analysis.report import Report
from raysearch.analysis.report_text import RowName, label_name, spread, summary, title
from raysearch.errors import RecordError
from raysearch.panels import confusion, learning_curve, reliability, residuals
from raysearch.panels.embed import escape, figure_json, inline_json
from raysearch.panels.page import POLICY, WHOLE
from raysearch.panels.template import asset, filled, put
from raysearch.run.folder import REPORT

SCRIPTS = ("draw.js", "research.js")
INDEX = "index.html"
FLUSH = ' class="n"'


def write_report(report: Report, path: Path, rows: Mapping[int, RowName]) -> Path:
    """Write the page, and plotly beside it; each whole or not at all.

    Args:
        report: what it says; not changed.
        path: the HTML file; its folder is made.
        rows: names of the hardest rows, by row number; texts only where a reader asked for them.

    Raises:
        RecordError: the folder or the disk refuses.
    """
    page = _page(report, rows, (path.parent / INDEX).is_file())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.parent / WHOLE).is_file():
            put(path.parent / WHOLE, get_plotlyjs().encode())
        put(path, page)
    except OSError as e:
        raise RecordError(f"{path}: cannot be written: {e.strerror or e}") from e
    return path


def figures(report: Report) -> list[tuple[str, str, go.Figure]]:
    """Return the report's pictures: title, note, figure."""
    curve = (
        "Score against labels",
        "The best on validation of each label budget, of this method and model. Filled: confirmed, "
        "with the 95 % interval; hollow: one draw.",
        learning_curve.draw(learning_curve.of(report)),
    )
    if report.about.regression:
        note = "One mark a test row; on the dotted line the prediction is right."
        return [("Predictions", note, residuals.draw(residuals.of(report))), curve]
    cells = "Counts are added up over draws." if len(report.about.draws) > 1 else ""
    return [
        (
            "Confusion",
            f"True classes down, predicted across; the share is that of the true class. {cells}",
            confusion.draw(confusion.of(report)),
        ),
        (
            "Reliability",
            "On the dotted line confidence can be believed; below it the model is too sure. "
            "Answers of all draws together; a larger mark holds more of them.",
            reliability.draw(reliability.of(report)),
        ),
        curve,
    ]


def _page(report: Report, rows: Mapping[int, RowName], beside: bool) -> bytes:
    links, sections = [], [_about(report)]
    if report.classes:
        links.append(("classes", "By class"))
        sections.append(_classes(report))
    drawn = figures(report)
    for at, (name, note, _) in enumerate(drawn):
        links.append((f"panel-{at}", name))
        sections.append(
            f'<section class="panel" id="panel-{at}"><h2>{escape(name)}</h2>'
            f'<p class="fine">{escape(note)}</p>'
            f'<div class="plot" id="figure-{at}" role="img" aria-label="{escape(name)}"></div>'
            "</section>"
        )
    links.append(("hardest", "Hardest rows"))
    sections.append(_hardest(report, rows))
    current = f'<a href="{REPORT}" aria-current="page">Report</a>'
    score = report.score
    return filled(
        "panels.html",
        {
            "title": escape(f"{report.about.record.config.task}: {title(report)}"),
            "heading": escape(title(report)),
            "task": escape(report.about.record.config.task),
            "score": escape(score),
            "nav": (f'<a href="{INDEX}">What to train</a>' if beside else "") + current,
            "policy": POLICY,
            "style": asset("style.css"),
            "toc": "".join(f'<a href="#{i}">{escape(n)}</a>' for i, n in links),
            "panels": "\n".join(sections),
            "footer": escape(
                f"Point {report.about.point.point_id} of trial {report.about.record.id}. "
                + ("Chosen on validation" if report.about.record.labels_used else "Not chosen")
                + ", shown on test."
            ),
            "data": inline_json({"figures": [figure_json(f) for _, _, f in drawn], "table": None}),
            "script": "\n".join(asset(name) for name in SCRIPTS),
        },
    )


def _about(report: Report) -> str:
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in summary(report))
    hyper = ", ".join(f"{k} {v}" for k, v in sorted(report.about.record.hyper.items()))
    rows = [(name, spread(value)) for name, value in report.scores.items()]
    table = _table(("score on test", "mean (range over draws)"), rows, numeric=1)
    return (
        f'<div class="headline">{paragraphs}</div>'
        f'<p class="fine">{escape(hyper)}</p><div class="scroll">{table}</div>'
    )


def _classes(report: Report) -> str:
    head = ("class", "precision", "recall", "F1", "support")
    rows = [
        (c.name, spread(c.precision), spread(c.recall), spread(c.f1), f"{c.support:,}")
        for c in report.classes
    ]
    note = "Means over draws, with the range over draws; support: test rows of the class."
    return _section("classes", "By class", note, _table(head, rows, numeric=1))


def _hardest(report: Report, rows: Mapping[int, RowName]) -> str:
    named = [rows.get(h.id) for h in report.hard]
    texts = any(n is not None and n.text is not None for n in named)
    pairs = any(n is not None and n.pair is not None for n in named)
    last = "distance" if report.about.regression else "confidence"
    head = ["row", "label", "prediction", last, "wrong draws"]
    head += (["text"] if texts else []) + (["second text"] if pairs else [])
    body = []
    for hard, name in zip(report.hard, named, strict=True):
        row = [
            f"number {hard.id}" if name is None else name.hash,
            label_name(report, hard.label),
            label_name(report, hard.prediction),
            f"{hard.confidence:.3f}",
            f"{hard.wrong} of {hard.draws}",
        ]
        if texts:
            row.append((name.text if name else None) or "")
        if pairs:
            row.append((name.pair if name else None) or "")
        body.append(row)
    note = (
        "Those the most draws get wrong, the surest mistakes first. A row is named by the first 16 "
        "digits of SHA-256 over its text, case folded and white space collapsed."
    )
    if report.about.regression:
        note = note.replace(
            "Those the most draws get wrong, the surest mistakes first",
            "Those predicted furthest from their label",
        )
    if not body:
        note = "No test row was answered wrong."
    return _section("hardest", "Hardest rows", note, _table(head, body) if body else "")


def _section(name: str, heading: str, note: str, table: str) -> str:
    return (
        f'<section class="panel" id="{name}"><h2>{escape(heading)}</h2>'
        f'<p class="fine">{escape(note)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(heading)}">'
        f"{table}</div></section>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]], numeric: int | None = None) -> str:
    """Return an HTML table, every cell escaped; columns from `numeric` on stand flush right."""

    def cells(tag: str, values: Sequence[Any], more: str = "") -> str:
        right = [numeric is not None and i >= numeric for i in range(len(values))]
        return "".join(
            f"<{tag}{more}{FLUSH if r else ''}>{escape(v)}</{tag}>"
            for v, r in zip(values, right, strict=True)
        )

    top = cells("th", head, ' scope="col"')
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
