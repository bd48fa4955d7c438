"""Bring the options of a study, its folder and the catalogs together before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.config.catalog import find_study, method_spaces
from raysearch.config.option import with_options
from raysearch.config.option_values import numbers
from raysearch.config.study import Study
from raysearch.config.task import Task
from raysearch.errors import InputError
from raysearch.objectives import get as find_objective
from raysearch.run.study_file import StudyManifest
from raysearch.search.budget import Budget
from raysearch.workflow.connect import Cluster
from raysearch.workflow.options import gpus_of
from raysearch.workflow.sync import absolute, find_run, run_at
from raysearch.workflow.task_option import task_of

if TYPE_CHECKING:
    from raysearch.planning.planner import Planner


@dataclass(frozen=True, slots=True)
class Prepared:
    """A study that could start now."""

    run: StudyManifest
    world: Planner
    out: Path
    extends: bool
    """The folder already holds a run of this study."""
    storage: str | None = None
    """The run's place on storage that all nodes see."""
    gpus: float | None = None
    """Of each trial that gains from one; None: what it is predicted to need."""


def prepare(given: Mapping[str, Any], cluster: Cluster | None = None) -> Prepared:
    """Combine the options, the folder and the catalogs, and open the data.

    Args:
        given: the options of a study by name, as `DEFAULT_OPTIONS` has them.
        cluster: where trials run; None: on this machine.

    Raises:
        InputError: a name, file, number or folder cannot be used.
    """
    out: Path | None = given["out"]
    storage = given.get("storage") or None
    old = None if out is None else find_run(out, storage)
    task = task_of(given, old)
    if old is None:
        study = find_study(given["study"] or "quick")
        out = out or Path("runs") / f"{task.name}-{study.name}"
        old = find_run(out, storage)
        if old is not None:
            task = task_of(given, old)
    assert out is not None
    if old is not None:
        study = old.study
        if given["study"] and find_study(given["study"]).name != study.name:
            raise InputError(f"{out}: holds study '{study.name}', not '{given['study']}'")
    study = _with_options(study, given, task)
    for name in study.objectives:
        find_objective(name)
    Budget.of(study)
    data_dir = given["data_dir"] or _folder(old, "data")
    models_dir = given["models_dir"] or _folder(old, "models")
    storage = storage or (None if old is None else old.folders.get("storage"))
    storage = None if storage is None else absolute(storage)
    at, gpus = None if storage is None else run_at(storage, out), gpus_of(given)
    cluster = cluster or Cluster()
    for option, folder in (("--data-dir", data_dir), ("--models-dir", models_dir)):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{option}: no folder '{folder}'")

    from raysearch.data.task_data import load_task
    from raysearch.planning.planner import Planner

    data = load_task(task, data_dir=data_dir)
    if old is not None and data.digest != old.splits:
        raise InputError(
            f"{out}: its run is of other data under the name '{task.name}'; give --out"
        )
    _check_labels(given, len(data.splits["train"]), task.name)
    world = Planner(
        study,
        data,
        out=out,
        data_dir=data_dir,
        models_dir=models_dir,
        storage=at,
        device="cpu" if gpus == 0 else cluster.device,
        call_worker=cluster.on_worker,
        at_once=cluster.at_once,
    )
    notes = data.notes if world.corpus is None else (*data.notes, world.corpus.sentence())
    space = world.space
    study = study.model_copy(update={"labels": space.labels})
    if study.procedures:  # a crossing is as large as it is
        study = study.model_copy(update={"trials": len(world.crossing())})
    run = StudyManifest(
        study,
        task,
        data.digest,
        {name: len(rows) for name, rows in data.splits.items()},
        world.excluded,
        world.baselines(),
        old.reference if old is not None else world.reference(),
        notes,
        {
            k: str(v)
            for k, v in (("data", data_dir), ("models", models_dir), ("storage", storage))
            if v is not None
        },
    )
    return Prepared(run, world, out, old is not None, at, gpus)


def _folder(old: StudyManifest | None, kind: str) -> Path | None:
    return Path(old.folders[kind]) if old is not None and kind in old.folders else None


def _with_options(study: Study, given: Mapping[str, Any], task: Task) -> Study:
    """Return the study with the options applied."""
    if given.get("pool") is not None:
        given = {**given, "pool": _pool(given["pool"])}
    study = study.model_copy(update={"task": task.name})
    return with_options(study, given, {"methods": lambda: tuple(method_spaces())})


def _pool(name: str) -> str:
    """Return a corpus's name, or a file's whole path: trials run elsewhere."""
    from raysearch.data.tables_in import STREAMED

    if not name.strip():
        raise InputError("--pool: is blank; name a corpus or a file")
    path = Path(name).expanduser()
    return str(path.resolve()) if path.suffix in STREAMED else name


def _check_labels(given: Mapping[str, Any], have: int, task: str) -> None:
    """Raise InputError for a budget that was named and cannot be filled: it is not left out."""
    if given["labels"]:
        most = max(numbers(given["labels"], "--labels"))
        if most > have:
            raise InputError(
                f"--labels: {most:,} is more than the {have:,} training rows of task '{task}'"
            )
