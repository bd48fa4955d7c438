"""A service without Ray: jobs that the test moves by hand, a check that knows what it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from raysearch.errors import InputError
from raysearch.service.audit import Audit, Line
from raysearch.service.commands import exit_file
from raysearch.service.jobs import Look, Unreachable
from raysearch.service.paths import Paths
from raysearch.service.security import SecurityMiddleware
from raysearch.service.serve import assemble
from raysearch.service.services import Services
from raysearch.service.settings import Settings
from raysearch.service.tokens import Tokens

HOST = "127.0.0.1"
T = TypeVar("T")


@dataclass
class FakeJobs:
    """Remembers what was submitted; `status` is what it answers."""

    size: tuple[int, int] = (4, 0)
    status: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    environments: dict[str, Mapping[str, str]] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    away: bool = False

    def _there(self) -> None:
        if self.away:
            raise Unreachable("Ray does not answer")

    def submit(self, job: str, command: str, environment: Mapping[str, str]) -> None:
        self._there()
        assert job not in self.commands, "submitted twice"
        self.commands[job], self.environments[job] = command, environment
        self.status[job] = "RUNNING"

    def look(self, job: str) -> Look | None:
        self._there()
        return Look(self.status[job]) if job in self.status else None  # type: ignore[arg-type]

    def stop(self, job: str) -> None:
        self._there()
        self.stopped.append(job)
        self.status[job] = "STOPPED"

    def room(self) -> tuple[int, int]:
        self._there()
        return self.size


def check(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Prices everything alike; refuses one method by the command line's sentence."""
    if "--methods=nope" in words:
        raise InputError("options: methods: no method 'nope'")
    return {"task": "toy", "study": "quick", "trials": 2, "flops": 1e9, "labels": 64, "hours": 0.1}


@dataclass
class Site:
    """A service, its fake jobs and two owners' tokens."""

    app: SecurityMiddleware
    services: Services
    jobs: FakeJobs
    paths: Paths
    tokens: Tokens
    anna: str
    bert: str
    reader: str

    def headers(self, token: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {token or self.anna}", "Host": HOST}

    def ends(self, id: str, code: int, log: str = "") -> None:
        """The study's program ends with this code."""
        folder = self.services.studies.folder(id)
        (folder / "log.txt").write_text(log)
        job = self.services.studies.state(id).job
        exit_file(folder, job).write_text(f"{code}\n")
        self.jobs.status[job] = "SUCCEEDED" if code == 0 else "FAILED"


def ran(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, in a loop and thread of its own: a browser's test may have left
    this thread a running loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def site(
    root: Path,
    jobs: FakeJobs | None = None,
    *,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> Site:
    """A service over a root folder; over one that is used already it is a restart."""
    paths, jobs = Paths(root), jobs or FakeJobs()
    given = Settings(paths, **settings)
    app, services = assemble(given, jobs, check=check, now=now, monotonic=monotonic)
    tokens = services.tokens
    if tokens.all():
        return Site(app, services, jobs, paths, tokens, "", "", "")
    anna = tokens.add("anna", "anna", "submitter")
    bert = tokens.add("bert", "bert", "submitter")
    reader = tokens.add("looker", "anna", "reader")
    return Site(app, services, jobs, paths, tokens, anna, bert, reader)


def audit(rig: Site) -> list[Line]:
    """The audit's lines."""
    return Audit(rig.services.database).lines()


def expire(rig: Site, dataset: str) -> None:
    """Have a data set's time be over."""
    with rig.services.database.transaction() as db:
        db.execute("UPDATE datasets SET expires = 1 WHERE id = ?", (dataset,))


def recorded(folder: Path, n: int, seed: int = 0, confirm: int = 3, **study: Any) -> Path:
    """A run as the command line leaves it, of synthetic records."""
    from dataclasses import replace

    from raysearch.config.catalog import find_study, find_task
    from raysearch.run.study_file import StudyManifest, write_study_manifest
    from tests.support.synthetic import MAJORITY, records, write_run

    write_run(folder, records(n, seed, confirm=confirm))
    task = replace(find_task("toy"), name="sst2")
    plan = find_study("quick").model_copy(update={"task": "sst2", "trials": n, **study})
    reference = {"score": MAJORITY, "train_flops_full": 1e15, "infer_flops": 1e10}
    write_study_manifest(folder, StudyManifest(plan, task, "5f1d0c0ffee15bad", reference=reference))
    return folder
