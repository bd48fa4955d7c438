"""From a submission to a study that waits: checked as the command line checks it, and counted."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from raysearch.errors import InputError
from raysearch.plan.study import Study
from raysearch.service import submission
from raysearch.service.book import Book, Spec
from raysearch.service.datasets import Datasets
from raysearch.service.home import slug
from raysearch.service.settings import Settings
from raysearch.service.submission import Submission

Check = Callable[[Sequence[str], Mapping[str, str]], dict[str, Any]]
AT_ONCE = 2
"""Submissions that are checked at once; others wait for their turn."""
IN_LINE = 8
"""Submissions that are checked or wait for that; more are sent away, so that readers are heard."""


class Full(InputError):
    """An owner keeps as many as is allowed."""


class Intake:
    """Where studies come in."""

    def __init__(self, settings: Settings, book: Book, datasets: Datasets, check: Check) -> None:
        self._settings, self._book, self._datasets = settings, book, datasets
        self._check = check
        self._line = threading.BoundedSemaphore(IN_LINE)
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()

    def submit(self, owner: str, given: Submission) -> Spec:
        """Check a submission and enter it as a study that waits.

        Raises:
            InputError: what the command line would say, or one that this door adds.
            Full: the owner keeps too many studies, or too many submissions are being checked.
        """
        if not self._line.acquire(blocking=False):
            raise Full(f"{IN_LINE} submissions are being checked; send it again in a minute")
        try:
            return self._submit(owner, given)
        finally:
            self._line.release()

    def _submit(self, owner: str, given: Submission) -> Spec:
        self._count(owner)
        task = submission.task_name(given, hub=self._settings.hub)
        study = submission.study_of(given)
        used = [i for i in (given.dataset, given.pool_dataset) if i is not None]
        files = {i: self._datasets.path(self._datasets.get(owner, i)) for i in used}
        name = study if isinstance(study, str) else study.name
        stem = slug(task or (files[given.dataset].stem if given.dataset else "toy"), 24)
        id_ = "-".join(p for p in (stem, slug(name, 24), secrets.token_hex(4)) if p)
        draft = self._settings.home.studies / f".{id_}"
        draft.mkdir(mode=0o700)
        try:
            file = None
            if isinstance(study, Study):
                file = draft / "study.yaml"
                file.write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_none=True)))
            words = self._words(given, task, files, file)
            many = [] if given.concurrency is None else [f"--concurrency={given.concurrency}"]
            none = [] if given.gpus else ["--gpus-per-trial=0"]
            more = [*many, *none, *self._settings.folders()]
            with self._turns:
                quote = self._check([*words, *more], self._settings.environment)
            final = None if file is None else self._settings.home.study(id_) / file.name
            spec = Spec(
                id_,
                owner,
                time.time(),
                str(quote.get("task") or task or stem),
                name,
                self._words(given, task, files, final),
                used,
                given.concurrency,
                given.gpus,
                given.gpus_per_trial,
                {k: v for k, v in quote.items() if k not in ("task", "study")},
            )
            with self._lock:
                self._count(owner)
                self._book.create(spec, draft)
            return spec
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _count(self, owner: str) -> None:
        most = self._settings.studies
        if sum(self._book.spec(i).owner == owner for i in self._book.ids()) >= most:
            raise Full(f"{owner} has {most} studies already; delete one first")

    def _words(
        self,
        given: Submission,
        task: str | None,
        files: Mapping[str, Path],
        study: Path | None,
    ) -> list[str]:
        return submission.arguments(
            given,
            task=task,
            data=None if given.dataset is None else files[given.dataset].resolve(),
            pool=None if given.pool_dataset is None else files[given.pool_dataset].resolve(),
            study=None if study is None else study.resolve(),
        )
