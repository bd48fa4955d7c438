"""The verb that tests the models of each run on the tasks of the others: domains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raysearch.cli import options
from raysearch.cli.printing import printer

if TYPE_CHECKING:
    from raysearch.analysis.domains import Matrix, MethodMatrix


@click.command("domains")
@click.argument("runs", nargs=-1, required=True, type=options.FOLDER, metavar="RUN RUN...")
@click.option(
    "--point",
    "points",
    multiple=True,
    metavar="ID",
    help="Only this point, by the start of its id; may be given several times.",
)
@click.option("--train", is_flag=True, help="Train again what has no weights, fresh draws too.")
@options.folders
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def domains(
    runs: tuple[Path, ...],
    points: tuple[str, ...],
    train: bool,
    data_dir: Path | None,
    models_dir: Path | None,
    as_json: bool,
) -> int:
    r"""Train on one domain, test on the others: a matrix of test scores for each method.

    The runs are of different tasks with the same classes. Of each run the point that validation
    chooses is taken for each method. The matrix is kept in every run's folder, and on its pages.

    \b
    raysearch domains runs/blitzer_books-quick runs/blitzer_dvd-quick
    """
    from raysearch.analysis import read_run
    from raysearch.workflow.domains import compare_domains
    from raysearch.workflow.pages import write_page

    matrix = compare_domains(
        runs,
        printer(as_json),
        points=points,
        train=train,
        data_dir=data_dir,
        models_dir=models_dir,
    )
    pages = [write_page(read_run(run)) for run in runs]
    if as_json:
        print(json.dumps({**matrix.to_json(), "pages": list(map(str, pages))}, allow_nan=False))
        return 0
    for method in matrix.methods:
        _show(matrix, method)
    for line in notes(matrix):
        print(line)
    for page in pages:
        print(f"page: {page.with_name('domains.html')}")
    return 0


def _show(matrix: Matrix, method: MethodMatrix) -> None:
    """Print the matrix of one method: trained on down, tested on across."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{method.method}: {matrix.score} on test"), box=box.SIMPLE_HEAD)
    table.title_justify = "left"
    table.add_column("trained on \\ tested on")
    for domain in matrix.domains:
        table.add_column(Text(domain.task), justify="right", no_wrap=True)
    cells = {(c.trained_on, c.tested_on): c for c in method.cells}
    for source in matrix.domains:
        row = []
        for target in matrix.domains:
            c = cells.get((source.task, target.task))
            row.append("-" if c is None else f"{c.score:.3f} [{c.low:.3f}, {c.high:.3f}]")
        table.add_row(Text(source.task), *map(Text, row))
    Console(width=max(100, Console().width), highlight=False).print(table)


def notes(matrix: Matrix) -> list[str]:
    """Return the lines under the tables: who chose, whose models, drops, what was left out."""
    from raysearch.analysis.domain_words import (
        choice_words,
        drop_words,
        dropped_words,
        models_words,
    )

    return [
        *choice_words(matrix),
        *drop_words(matrix),
        *models_words(matrix),
        *dropped_words(matrix),
    ]
