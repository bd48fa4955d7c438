"""A folder for a paper: vector figures, a CSV of every plotted number, and where they come from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.provenance import commands, hashes, versions
from raysearch.analysis.report import Report
from raysearch.errors import RecordError
from raysearch.panels import confusion, learning_curve, reliability, residuals, score_cost
from raysearch.panels.template import put
from raysearch.panels.vector import write_vectors

Rows = list[dict[str, object]]


def write_paper(run: Run, report: Report, folder: Path) -> list[Path]:
    """Write the figures as SVG and PDF, a CSV for each, hashes, versions and commands.

    Args:
        run: the run; not changed.
        report: of the point that the figures are about.
        folder: made when it is not there; files of the same names are replaced.

    Returns:
        What was written.

    Raises:
        InputError: kaleido or a browser is missing.
        RecordError: the folder or the disk refuses.
    """
    pictures = figures(run, report)
    shown = [str(r["point_id"]) for _, rows in pictures.values() for r in rows if "point_id" in r]
    point = report.about.point.point_id
    texts = {f"{name}.csv": _csv(rows) for name, (_, rows) in pictures.items()}
    texts["hashes.json"] = json.dumps(hashes(run, [point, *shown]), indent=1) + "\n"
    texts["versions.txt"] = "\n".join(versions(run)) + "\n"
    texts["commands.txt"] = "\n".join(commands(run, point, folder.resolve().name)) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = write_vectors({name: figure for name, (figure, _) in pictures.items()}, folder)
        for name, text in texts.items():
            put(folder / name, text.encode("utf-8", "backslashreplace"))
    except OSError as e:
        raise RecordError(f"{folder}: cannot be written: {e.strerror or e}") from e
    return made + [folder / name for name in texts]


def figures(run: Run, report: Report) -> Mapping[str, tuple[go.Figure, Rows]]:
    """Return the figures by file name, each with all its numbers; empty ones are left out."""
    frontier = score_cost.info(run)
    out = {
        "frontier": (score_cost.draw(frontier), score_cost.numbers(frontier)),
    }
    labels = learning_curve.of(report)
    out["labels"] = (learning_curve.draw(labels), learning_curve.numbers(labels))
    if report.about.regression:
        marks = residuals.of(report)
        out["residuals"] = (residuals.draw(marks), residuals.numbers(marks))
    else:
        bins, cells = reliability.of(report), confusion.of(report)
        out["reliability"] = (reliability.draw(bins), reliability.numbers(bins))
        out["confusion"] = (confusion.draw_vector(cells), confusion.numbers(cells))
    return {name: made for name, made in out.items() if made[1]}


def _csv(rows: Rows) -> str:
    """Return rows as CSV; an absent number is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
