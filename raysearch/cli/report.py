"""The verb that looks closely at one point: report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.cli.printing import printer
from raysearch.run.folder import RunFolder

if TYPE_CHECKING:
    from raysearch.analysis.report import Report
    from raysearch.analysis.report_text import RowName

SHOWN = 10
"""Hardest rows and confusions of a terminal; the page and --json have more."""
CLASSES = 12
"""Classes above which the matrix gives way to its largest confusions."""


@click.command()
@click.argument("run", type=options.FOLDER)
@click.argument("point", required=False, default="")
@click.option("--with-texts", is_flag=True, help="Show the texts of the hardest rows.")
@click.option("--paper", type=options.FOLDER, metavar="DIR", help="Vector figures, CSV, hashes.")
@click.option(
    "--out", type=options.FOLDER, metavar="FILE", help="[default: RUN/dashboard/report.html]"
)
@options.share
@options.data_dir
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def report(run: Path, point: str, as_json: bool, **given: Any) -> int:
    r"""Look closely at one point: by class, by confidence, by labels, and where it errs.

    POINT is the start of a point's or a trial's id; without it, the recommended one is taken.

    \b
    raysearch report runs/sst2-quick
    raysearch report runs/sst2-quick 938af3b6 --paper figures
    """
    from raysearch.analysis import read_run
    from raysearch.analysis.report_text import to_json
    from raysearch.panels.report_page import write_report
    from raysearch.recommend.request import share_of
    from raysearch.workflow.report import report_point

    read = read_run(run, shared_by=share_of(given))
    made, rows, missing = report_point(read, point, given["data_dir"], texts=given["with_texts"])
    line = printer(as_json)
    if missing:
        line(f"rows are named by number: {missing}")
    page = write_report(made, given["out"] or RunFolder(run).report, rows)
    if given["paper"] is not None:
        from raysearch.panels.paper import write_paper

        written = write_paper(read, made, given["paper"])
        line(f"{given['paper']}: {', '.join(sorted(p.name for p in written))}")
    if as_json:
        print(json.dumps({**to_json(made, rows), "page": str(page)}, allow_nan=False))
        return 0
    _show(made, rows)
    print(f"page: {page}")
    return 0


def _show(made: Report, rows: dict[int, RowName]) -> None:
    from rich.console import Console

    from raysearch.analysis.report_text import summary, title

    console = Console(width=110, highlight=False)
    print(f"{title(made)} (point {made.about.point.point_id})")
    for line in summary(made):
        print(line)
    print()
    for table in _tables(made, rows):
        console.print(table)


def _tables(made: Report, rows: dict[int, RowName]) -> list[Any]:
    from raysearch.analysis.report_text import label_name, spread

    out = []
    if made.classes:
        body = [
            [c.name, spread(c.precision), spread(c.recall), spread(c.f1), f"{c.support:,}"]
            for c in made.classes
        ]
        head = ["class", "precision", "recall", "F1", "support"]
        out.append(_table("By class: mean (range over draws)", head, body))
        out.append(_confusion(made))
    else:
        body = [[name, spread(value)] for name, value in made.scores.items()]
        out.append(_table("On test: mean (range over draws)", ["score", "value"], body))
    body = []
    for p in made.curve:
        ends = f"[{p.low:.3f}, {p.high:.3f}]" if p.low is not None else "one draw"
        body.append([f"{p.labels:,.0f}", f"{p.score:.3f}", ends])
    out.append(_table("Score against labels", ["labels used", made.score, "95 % interval"], body))
    last = "distance" if made.about.regression else "confidence"
    head, body = ["row", "label", "prediction", last, "wrong draws"], []
    texts = any(n.text is not None for n in rows.values())
    for h in made.hard[:SHOWN]:
        name = rows.get(h.id)
        body.append(
            [
                f"number {h.id}" if name is None else name.hash,
                label_name(made, h.label),
                label_name(made, h.prediction),
                f"{h.confidence:.3f}",
                f"{h.wrong} of {h.draws}",
                *([" | ".join(t for t in (name.text, name.pair) if t)] if texts and name else []),
            ]
        )
    out.append(_table("Hardest rows", [*head, *(["text"] if texts else [])], body))
    return out


def _confusion(made: Report) -> Any:
    """Return the matrix, or of more classes the largest confusions."""
    names, counts = made.about.names, made.confusion
    if len(names) <= CLASSES:
        body = [
            [name, *(f"{n:,}" for n in row)]
            for name, row in zip(names, counts.tolist(), strict=True)
        ]
        return _table("Confusion, true classes down", ["", *names], body)
    pairs = [
        (int(counts[i, j]), i, j)
        for i in range(len(names))
        for j in range(len(names))
        if i != j and counts[i, j]
    ]
    pairs.sort(key=lambda p: (-p[0], p[1], p[2]))
    body = [[names[i], names[j], f"{n:,}"] for n, i, j in pairs[:SHOWN]]
    return _table("Largest confusions", ["true", "predicted", "count"], body)


def _table(title: str, head: list[str], body: list[list[str]]) -> Any:
    """Return a table of plain texts: what users wrote is no markup."""
    from rich.table import Table
    from rich.text import Text

    out = Table(title=Text(title), title_justify="left")
    for i, name in enumerate(head):
        out.add_column(Text(name), justify="left" if i == 0 else "right")
    for row in body:
        out.add_row(*(Text(cell) for cell in row))
    return out
