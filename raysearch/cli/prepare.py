"""What stands before a study: its task, its data, its world and its price."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from raysearch.cli import options
from raysearch.cli.task import task_of
from raysearch.config.catalog import find_study, method_spaces
from raysearch.config.option import with_options
from raysearch.config.option_values import numbers
from raysearch.config.study import Study
from raysearch.config.task import Task
from raysearch.errors import InputError
from raysearch.objectives import get as find_objective
from raysearch.run.study_file import FILE, AsRun, read_asrun
from raysearch.search.budget import Budget

if TYPE_CHECKING:
    from raysearch.planning.planner import World

START_SECONDS = 30.0
"""Importing, starting Ray and its first workers, and writing the page [s]: 23 + 8 measured."""

DRAWS = 16
"""Searches at random that a price is the mean of: one alone is off by a factor of two."""

CONFIRMED = 0.6
"""What the candidates' own trials cost of a search: 0.52 and 0.67 measured on two."""

LONG_HOURS = 12.0
"""A study predicted to take longer than this starts only with --yes or --hours."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A study that could start now."""

    run: AsRun
    world: World
    out: Path
    extends: bool
    """The folder already holds a run of this study."""
    storage: str | None = None
    """The run's place on storage that all nodes see."""
    gpus: float | None = None
    """Of each trial that gains from one; None: what it is predicted to need."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a study is predicted to cost on this machine."""

    trials: int
    """Trials still to run."""
    flops: float
    labels: int
    hours: float
    draws: int = 0
    """Fresh draws of the candidates after the search; in `flops` and `hours`."""
    crossing: bool = False
    """A grid study: every cell on so many draws, nothing chosen."""

    def to_json(self) -> dict[str, float]:
        """Plain JSON."""
        return {
            "trials": self.trials,
            "flops": self.flops,
            "labels": self.labels,
            "hours": round(self.hours, 4),
            "draws": self.draws,
        }

    def sentence(self) -> str:
        """For a person."""
        again = f" and {self.draws} fresh draws of the best" if self.draws else ""
        if self.crossing and self.draws:
            again = f" on {self.draws} draws each"
        return (
            f"{self.trials} trials{again}, {self.flops:.2g} FLOPs, {self.labels:,} labels, "
            f"about {span(self.hours * 3600)} on this machine"
        )


def span(seconds: float) -> str:
    """Return a duration for a person.

    >>> span(40), span(600), span(9000)
    ('40 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def prepare(
    given: Mapping[str, Any],
    device: str | None = None,
    there: Callable[..., Any] | None = None,
    at_once: int | None = None,
) -> Prepared:
    """Bring the options, the folder and the catalogs together, and open the data.

    Args:
        given: the options of a verb that runs a study.
        device: what trials run on; None: what this machine has.
        there: calls a function where trials run.
        at_once: trials that the cluster has room for; None: fitted to this machine.

    Raises:
        InputError: a name, file, number or folder cannot be used.
    """
    out: Path | None = given["out"]
    storage = given.get("storage") or None
    old = None if out is None else known(out, storage)
    task = task_of(given, old)
    if old is None:
        study = find_study(given["study"] or "quick")
        out = out or Path("runs") / f"{task.name}-{study.name}"
        old = known(out, storage)
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
    storage = None if storage is None else named(storage)
    at, gpus = None if storage is None else run_at(storage, out), options.gpus_of(given)
    for option, folder in (("--data-dir", data_dir), ("--models-dir", models_dir)):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{option}: no folder '{folder}'")

    from raysearch.data.task_data import load_task
    from raysearch.planning.planner import World

    data = load_task(task, data_dir=data_dir)
    if old is not None and data.digest != old.splits:
        raise InputError(
            f"{out}: its run is of other data under the name '{task.name}'; give --out"
        )
    _check_labels(given, len(data.splits["train"]), task.name)
    world = World(
        study,
        data,
        out=out,
        data_dir=data_dir,
        models_dir=models_dir,
        storage=at,
        device="cpu" if gpus == 0 else device,
        there=there,
        at_once=at_once,
    )
    notes = data.notes if world.corpus is None else (*data.notes, world.corpus.sentence())
    space = world.space
    study = study.model_copy(update={"labels": space.labels})
    if study.procedures:  # a crossing is as large as it is
        study = study.model_copy(update={"trials": len(world.crossing())})
    run = AsRun(
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


def known(out: Path, storage: str | None) -> AsRun | None:
    """The run that lies in a folder, or under its name on a storage; None where there is none.

    What the folder lacks of it is brought from the storage.

    Raises:
        InputError: another run has this name there.
    """
    from raysearch.run.folder import Folder
    from raysearch.storage.mirror import Mirror

    old = read_asrun(out) if (out / FILE).exists() else None
    storage = storage or (None if old is None else old.folders.get("storage"))
    if storage is not None and Mirror(run_at(storage, out), Folder(out.resolve())).meet():
        old = read_asrun(out)
    return old


def named(storage: str) -> str:
    """A storage by a name that holds wherever one stands."""
    return storage if "://" in storage else str(Path(storage).expanduser().resolve())


def run_at(storage: str, out: Path) -> str:
    """The place of a run on a storage: it has the name of the run's folder.

    Raises:
        InputError: the storage is none that can be opened, written and read.
    """
    from raysearch.planning.upload import run_of
    from raysearch.storage.remote import SOON, Remote

    where = Remote(named(storage), patience=SOON).where
    return Remote(run_of(where, out.resolve().name), patience=SOON).usable().where


def _folder(old: AsRun | None, kind: str) -> Path | None:
    return Path(old.folders[kind]) if old is not None and kind in old.folders else None


def _with_options(study: Study, given: Mapping[str, Any], task: Task) -> Study:
    """The study with what the command line says."""
    if given.get("pool") is not None:
        given = {**given, "pool": _pool(given["pool"])}
    study = study.model_copy(update={"task": task.name})
    return with_options(study, given, {"methods": lambda: tuple(method_spaces())})


def _pool(name: str) -> str:
    """A corpus's name, or a file's whole path: trials run elsewhere."""
    from raysearch.data.tables_in import STREAMED

    if not name.strip():
        raise InputError("--pool: is blank; name a corpus or a file")
    path = Path(name).expanduser()
    return str(path.resolve()) if path.suffix in STREAMED else name


def _check_labels(given: Mapping[str, Any], have: int, task: str) -> None:
    """A budget that was asked for by hand and cannot be filled is bad input, not left out."""
    if given["labels"]:
        most = max(numbers(given["labels"], "--labels"))
        if most > have:
            raise InputError(
                f"--labels: {most:,} is more than the {have:,} training rows of task '{task}'"
            )


def quote(prepared: Prepared, done: int = 0, *, confirm: bool = True) -> Quote:
    """Price what is still to run: the mean of some searches at random over the same space.

    The confirming draws are priced as a share of the search: who is confirmed is not known yet.
    """
    from raysearch.tune.session import quiet

    study, world = prepared.run.study, prepared.world
    left = max(0, study.trials - done)
    searches = 1 if study.procedures else DRAWS
    with quiet():
        draws = [_draw(study.model_copy(update={"seed": s}), world, left) for s in range(searches)]
    flops, seconds, labels = zip(*draws, strict=True)
    again = (1 + CONFIRMED * study.draws) if confirm else 1.0
    if study.procedures and confirm:
        again = float(max(1, study.draws))  # every cell on every draw
    hours = (START_SECONDS + again * mean(seconds) / world.place.concurrency) / 3600
    times = study.draws if confirm else 0
    limit = study.hours or hours
    crossing = bool(study.procedures)
    return Quote(left, again * mean(flops), max(labels), min(hours, limit), times, crossing)


def _draw(study: Study, world: World, left: int) -> tuple[float, float, int]:
    """(FLOPs, seconds of work, labels) of one search at random, test scores included."""
    from raysearch.search.proposer import Proposer

    searcher = study.searcher if study.procedures else "random"
    proposer = Proposer(study.model_copy(update={"searcher": searcher}), world, study.trials)
    flops = seconds = 0.0
    met: set[str] = set()
    labels = 0
    cells = set()
    for _ in range(left):
        offer = proposer.offer()
        if offer is None:
            break
        if offer.infeasible:
            continue
        for config in (offer.config, *offer.config.upstream.values()):
            if config.id not in met:
                met.add(config.id)
                price = world.price(config)
                flops, seconds = flops + price.own, seconds + price.seconds
                labels = max(labels, price.labels)
        cell = (offer.config.method, offer.config.rung, offer.config.data.train)
        if cell not in cells:
            cells.add(cell)
            seconds += world.test_seconds(offer.config)
    return flops, seconds, labels


def ask(estimate: Quote, given: Mapping[str, Any]) -> None:
    """A study of days never starts silently: a question on a terminal, else InputError."""
    if given["yes"] or given["hours"] is not None or estimate.hours < 1:
        return
    if sys.stdin.isatty():
        print(f"This study takes {estimate.sentence()}. Start? [y/N] ", end="", file=sys.stderr)
        if input().strip().lower() not in ("y", "yes"):
            raise KeyboardInterrupt
    elif estimate.hours > LONG_HOURS:
        raise InputError(
            f"this study takes {estimate.sentence()}: say --yes to start it, or --hours H, "
            "--trials N, --models A,B to make it shorter"
        )
