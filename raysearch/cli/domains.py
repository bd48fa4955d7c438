"""The verb that tests the models of each run on the tasks of the others: domains."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.analysis.bootstrap import Judged
    from raysearch.analysis.domains import Matrix, MethodMatrix
    from raysearch.cli.cross_domain import Asked
    from raysearch.data.task_data import TaskData
    from raysearch.run.study_file import AsRun


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
    from raysearch.analysis.domains import write_domains
    from raysearch.cli import studies
    from raysearch.cli.open_run import open_data
    from raysearch.run.folder import Folder, held
    from raysearch.run.study_file import read_asrun

    if len(runs) < 2:
        raise InputError(f"{runs[0]}: one run given; domains are compared between two or more")
    comparable([(run, read_asrun(run)) for run in runs])
    say = studies.printer(as_json)
    with ExitStack() as stack:
        for run in runs:  # a search that is at work would drop weights under our hands
            stack.enter_context(held(Folder(run.resolve())))
        found = [read_run(run) for run in runs]
        data = {r.folder: open_data(r.folder, data_dir) for r in found}
        wanted = _wanted(found, data, points, train=train)
        matrix = _matrix(found, data, wanted, data_dir, models_dir, say)
        matrix = replace(matrix, by_hand=bool(points))
        write_domains(runs, matrix)
    pages = [studies.write_page(run) for run in runs]
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


def comparable(runs: Sequence[tuple[Path, AsRun]]) -> None:
    """Refuse runs whose models cannot answer each other's tests.

    Raises:
        InputError: numbers instead of classes, or two runs of one task or the same rows, of
            different classes, scores, or of texts and pairs of texts; one line that names both.
    """
    tasks = [(run, as_run.task) for run, as_run in runs]
    for run, task in tasks:
        if task.regression:
            raise InputError(
                f"{run}: task '{task.name}' has numbers for labels; domains need classes"
            )
    first, one = tasks[0]
    kinds = ("pairs of texts", "single texts")
    seen: dict[str, Path] = {}
    rows: dict[str, Path] = {}
    for run, as_run in runs:
        task = as_run.task
        if task.name in seen:
            raise InputError(
                f"{seen[task.name]} and {run} are both of task '{task.name}'; domains are "
                "different tasks"
            )
        if as_run.splits in rows:
            raise InputError(f"{rows[as_run.splits]} and {run} hold the same rows; domains differ")
        seen[task.name] = rows[as_run.splits] = run
        if one.label_names != task.label_names:
            theirs, ours = _lists(one.label_names, task.label_names)
            raise InputError(
                f"{first} has classes {theirs}, {run} has classes {ours}; domains must be alike"
            )
        alike: list[tuple[str, Any, Any]] = [
            ("score", one.score, task.score),
            ("rows of", kinds[one.text_pair is None], kinds[task.text_pair is None]),
        ]
        for what, theirs, ours in alike:
            if theirs != ours:
                raise InputError(
                    f"{first} has {what} {theirs}, {run} has {what} {ours}; domains must be alike"
                )


def _lists(one: Sequence[str], other: Sequence[str]) -> tuple[str, str]:
    """Two different lists of classes in words: the first of each, or where they part."""
    said = _list(one), _list(other)
    if said[0] != said[1]:
        return said
    pairs = enumerate(zip(one, other, strict=False), 1)  # a longer list would be seen to be longer
    at, (a, b) = next(p for p in pairs if p[1][0] != p[1][1])
    return f"whose number {at} is '{a}'", f"whose number {at} is '{b}'"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"'{shown}'"


def _wanted(
    runs: Sequence[Run], data: dict[Path, TaskData], points: Sequence[str], *, train: bool
) -> list[Asked]:
    """The points to ask: each procedure's chosen one, or those named."""
    from raysearch.analysis.selected_point import chosen
    from raysearch.cli.cross_domain import models_of

    named = _named(runs, points) if points else None
    out: list[Asked] = []
    for at, run in enumerate(runs):
        mine = chosen(run) if named is None else named[at]
        if named is None and not mine:
            raise InputError(f"{run.folder}: no point has a score on validation: none to take")
        for method, point_id in mine.items():
            out.append(models_of(run, data[run.folder], method, point_id, train=train))
    return out


def _named(runs: Sequence[Run], points: Sequence[str]) -> list[dict[str, str]]:
    """By run the named points, each by its procedure and model.

    Raises:
        InputError: an id that no run has, that two have, that may be several of one run, or two
            points of one model in one run.
    """
    from raysearch.analysis.point_lookup import NoSuchPoint, find

    out: list[dict[str, str]] = [{} for _ in runs]
    for name in points:
        hits, errors = [], []
        for at, run in enumerate(runs):
            try:
                hits.append((at, *find(run, name)))
            except NoSuchPoint as e:
                errors.append(e)
        if not hits:
            raise errors[0]
        if len(hits) > 1:
            raise InputError(f"--point '{name}': several of the runs have it; give more digits")
        at, record, point = hits[0]
        method = f"{record.config.method_chain} {record.config.rung}"
        if out[at].setdefault(method, point.point_id) != point.point_id:
            raise InputError(
                f"--point '{name}': {out[at][method]} stands for {method} of {runs[at].folder} "
                "already; one point a method and model"
            )
    return out


def _matrix(
    runs: Sequence[Run],
    data: dict[Path, TaskData],
    wanted: Sequence[Asked],
    data_dir: Path | None,
    models_dir: Path | None,
    say: Callable[[str], None],
) -> Matrix:
    """Ask every model about every test, one trial after the other."""
    import numpy as np

    from raysearch.analysis.domains import Cell, Domain, Matrix, MethodMatrix, Source
    from raysearch.analysis.transfer import transfer
    from raysearch.cli.cross_domain import ask

    tasks = {data[r.folder].task.name: data[r.folder] for r in runs}
    score = next(iter(tasks.values())).task.score
    methods = []
    for method in sorted({a.method for a in wanted}):
        judged: dict[tuple[str, str], list[Judged]] = {}
        dropped: dict[tuple[str, str], int] = {}
        sources, pooled = [], set()
        for a in (a for a in wanted if a.method == method):
            home = a.data.task.name
            say(f"asks {a.words}, trained on {home}")
            found, left = ask(a, tasks, data_dir=data_dir, models_dir=models_dir, say=say)
            judged |= {(home, task): j for task, j in found.items()}
            dropped |= {(home, task): 0 if task == home else n for task, n in left.items()}
            if a.models[0][1].config.data.folds:
                pooled.add((home, home))
            draws = 0 if a.own else len(a.models)
            sources.append(Source(home, a.point_id, a.words, draws, a.confirmed))
        estimates, drop = transfer(judged, score, pooled=pooled)
        cells = []
        for pair, e in estimates.items():
            rows = len(np.unique(np.concatenate([j.ids for j in judged[pair]])))
            ends = (round(e.low, 6), round(e.high, 6))
            cells.append(Cell(*pair, e.score, *ends, rows, dropped[pair], e.per_draw))
        order = {name: i for i, name in enumerate(tasks)}
        cells.sort(key=lambda c: (order[c.trained_on], order[c.tested_on]))
        methods.append(MethodMatrix(method, tuple(sources), tuple(cells), drop))
    about = tuple(
        Domain(
            data[r.folder].task.name,
            r.folder.resolve().name,
            data[r.folder].digest,
            len(data[r.folder].splits["test"]),
        )
        for r in runs
    )
    return Matrix(score, about, tuple(methods))


def _show(matrix: Matrix, method: MethodMatrix) -> None:
    """The matrix of one method: trained on down, tested on across."""
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
    """What is said under the tables: who chose, whose models, drops, what was left out."""
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
