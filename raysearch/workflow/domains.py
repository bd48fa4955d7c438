"""Score the models of each run on the tests of the others: a matrix for each method."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.analysis import Run, read_run
from raysearch.analysis.domains import Cell, Domain, Matrix, MethodMatrix, Source, write_domains
from raysearch.analysis.point_lookup import NoSuchPoint, find
from raysearch.analysis.selected_point import chosen
from raysearch.analysis.transfer import transfer
from raysearch.errors import InputError
from raysearch.run.folder import RunFolder, locked
from raysearch.run.study_file import StudyManifest, read_study_manifest
from raysearch.workflow.cross_domain import TrainedPoint, models_of, predict_tests
from raysearch.workflow.listeners import Notify
from raysearch.workflow.open_run import open_data

if TYPE_CHECKING:
    from raysearch.analysis.bootstrap import Judged
    from raysearch.data.task_data import TaskData


def compare_domains(
    runs: Sequence[Path],
    notify: Notify,
    *,
    points: Sequence[str] = (),
    train: bool = False,
    data_dir: Path | None = None,
    models_dir: Path | None = None,
) -> Matrix:
    """Score each run's models on every run's test, and keep the matrix in every run's folder.

    Args:
        runs: folders of two runs or more, of different tasks with the same classes.
        notify: takes one line for a person.
        points: starts of ids of the points that are meant; empty: what validation chooses.
        train: train again what has no weights.
        data_dir: folder of data sets; None: where each run found them.
        models_dir: likewise of checkpoints.

    Raises:
        InputError: runs that cannot be compared, or a point that is none.
    """
    if len(runs) < 2:
        raise InputError(f"{runs[0]}: one run given; domains are compared between two or more")
    comparable([(run, read_study_manifest(run)) for run in runs])
    with ExitStack() as stack:
        for run in runs:  # a search that is at work would drop weights meanwhile
            stack.enter_context(locked(RunFolder(run.resolve())))
        opened = [read_run(run) for run in runs]
        data = {r.folder: open_data(r.folder, data_dir) for r in opened}
        wanted = _wanted(opened, data, points, train=train)
        matrix = _matrix(opened, data, wanted, data_dir, models_dir, notify)
        matrix = replace(matrix, by_hand=bool(points))
        write_domains(runs, matrix)
    return matrix


def comparable(runs: Sequence[tuple[Path, StudyManifest]]) -> None:
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
    """Return two different lists of classes in words: the first of each, or where they part."""
    lists = _list(one), _list(other)
    if lists[0] != lists[1]:
        return lists
    pairs = enumerate(zip(one, other, strict=False), 1)  # a longer list would be seen to be longer
    at, (a, b) = next(p for p in pairs if p[1][0] != p[1][1])
    return f"whose number {at} is '{a}'", f"whose number {at} is '{b}'"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"'{shown}'"


def _wanted(
    runs: Sequence[Run], data: dict[Path, TaskData], points: Sequence[str], *, train: bool
) -> list[TrainedPoint]:
    """Return the points to score: each procedure's chosen one, or those named."""
    named = _named(runs, points) if points else None
    out: list[TrainedPoint] = []
    for at, run in enumerate(runs):
        own = chosen(run) if named is None else named[at]
        if named is None and not own:
            raise InputError(f"{run.folder}: no point has a score on validation: none to take")
        for method, point_id in own.items():
            out.append(models_of(run, data[run.folder], method, point_id, train=train))
    return out


def _named(runs: Sequence[Run], points: Sequence[str]) -> list[dict[str, str]]:
    """Return by run the named points, each by its procedure and model.

    Raises:
        InputError: an id that no run has, that two have, that may be several of one run, or two
            points of one model in one run.
    """
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
    wanted: Sequence[TrainedPoint],
    data_dir: Path | None,
    models_dir: Path | None,
    notify: Notify,
) -> Matrix:
    """Score every model on every test, one trial after the other."""
    import numpy as np

    tasks = {data[r.folder].task.name: data[r.folder] for r in runs}
    score = next(iter(tasks.values())).task.score
    methods = []
    for method in sorted({a.method for a in wanted}):
        judged: dict[tuple[str, str], list[Judged]] = {}
        dropped: dict[tuple[str, str], int] = {}
        sources, pooled = [], set()
        for a in (a for a in wanted if a.method == method):
            home = a.data.task.name
            notify(f"asks {a.words}, trained on {home}")
            predicted, left = predict_tests(
                a, tasks, data_dir=data_dir, models_dir=models_dir, notify=notify
            )
            judged |= {(home, task): j for task, j in predicted.items()}
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
