"""The page of one point: how it fares by class, by confidence, by labels, and where it errs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from raysearch.analysis.report import Report
from raysearch.analysis.report_text import RowName, label_name, spread, summary, title
from raysearch.errors import RecordError
from raysearch.panels import confusion, learning_curve, reliability, residuals
from raysearch.panels.embed import figure_json
from raysearch.panels.page import POLICY, WHOLE, Section
from raysearch.panels.template import put, render
from raysearch.run.folder import REPORT

INDEX = "index.html"


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
    drawn, about = figures(report), report.about
    pictures = [Section.of_picture(at, name, note) for at, (name, note, _) in enumerate(drawn)]
    chosen = "Chosen on validation" if about.record.labels_used else "Not chosen"
    return render(
        __package__,
        "report.html",
        policy=POLICY,
        title=f"{about.record.config.task}: {title(report)}",
        heading=title(report),
        task=about.record.config.task,
        score=report.score,
        nav=[*([(INDEX, "What to train")] if beside else []), (REPORT, "Report")],
        here=REPORT,
        summary=summary(report),
        hyper=", ".join(f"{k} {v}" for k, v in sorted(about.record.hyper.items())),
        scores=[(name, spread(value)) for name, value in report.scores.items()],
        sections=[*_classes(report), *pictures, _hardest(report, rows)],
        footer=f"Point {about.point.point_id} of trial {about.record.id}. {chosen}, shown on test.",
        data={"figures": [figure_json(f) for _, _, f in drawn], "table": None},
        scripts=("draw.js", "research.js"),
    ).encode()


def _classes(report: Report) -> list[Section]:
    """Return the scores by class; none of a regression."""
    if not report.classes:
        return []
    head = ("class", "precision", "recall", "F1", "support")
    rows = [
        (c.name, spread(c.precision), spread(c.recall), spread(c.f1), f"{c.support:,}")
        for c in report.classes
    ]
    note = "Means over draws, with the range over draws; support: test rows of the class."
    return [Section("classes", "By class", note, head=head, rows=rows, flush_right=True)]


def _hardest(report: Report, rows: Mapping[int, RowName]) -> Section:
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
    return Section("hardest", "Hardest rows", note, head=head, rows=body)
