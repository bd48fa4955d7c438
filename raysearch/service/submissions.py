"""Turn a submission into a study that waits: checked as the command line checks it, and counted."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from raysearch.config.study import Study
from raysearch.errors import InputError
from raysearch.run.folder import STUDY
from raysearch.service import submission
from raysearch.service.datasets import Datasets
from raysearch.service.errors import QuotaExceeded
from raysearch.service.paths import slug
from raysearch.service.settings import Settings
from raysearch.service.study_repository import StudyRepository
from raysearch.service.study_state import Spec
from raysearch.service.submission import Submission

Check = Callable[[Sequence[str], Mapping[str, str]], dict[str, Any]]
AT_ONCE = 2
"""Submissions that are checked at once; others wait."""
IN_LINE = 8
"""Submissions that are checked or wait for that, at most half of them one owner's; more are sent
away, so that readers are served."""
TURN_SECONDS = 20.0
"""How long one waits for others' checks [s]."""


class Submissions:
    """Take submissions in, a few at a time."""

    def __init__(
        self,
        settings: Settings,
        studies: StudyRepository,
        datasets: Datasets,
        check: Check,
        room: Callable[[], tuple[int, int] | None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Keep the parts that submissions are checked with.

        `room`: (CPUs, GPUs) that the cluster can ever have; None while that is not known.
        """
        self._settings, self._studies, self._datasets = settings, studies, datasets
        self._check, self._room, self._now = check, room, now
        self._line: Counter[str] = Counter()
        self._keys: set[tuple[str, str]] = set()
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()

    def submit(self, owner: str, given: Submission, key: str = "") -> Spec:
        """Check a submission and enter it as a study that waits.

        Args:
            owner: whose it is.
            given: what was submitted.
            key: what the owner's program calls the request; sent again, the study is as it was.

        Raises:
            InputError: what the command line would say, or one that a service adds.
            QuotaExceeded: the owner keeps too many studies, or too many are being checked.
        """
        if len(key) > 100 or not key.isascii() or not key.isprintable():
            raise InputError("Idempotency-Key: must be at most 100 printable characters of ASCII")
        with self._lock:
            if key and (spec := self._studies.by_key(owner, key)) is not None:
                return spec
            if key and (owner, key) in self._keys:
                raise QuotaExceeded("this submission is being checked; send it again in a minute")
            if self._line.total() >= IN_LINE or self._line[owner] >= IN_LINE // 2:
                raise QuotaExceeded(
                    f"{min(self._line.total(), IN_LINE)} submissions are being checked; "
                    "send it again in a minute"
                )
            self._line[owner] += 1
            self._keys.add((owner, key))
        try:
            return self._submit(owner, given, key)
        finally:
            with self._lock:
                self._line[owner] -= 1
                self._keys.discard((owner, key))

    def _fits(self, given: Submission) -> None:
        """Refuse a study that could only ever wait."""
        room = self._room() if given.gpus else None
        if room is not None and given.gpus > room[1]:
            most = f"at most {room[1]} fit it" if room[1] else "studies without fit it"
            raise InputError(
                f"{submission.WHERE}: gpus: {given.gpus} asked for, the cluster has {room[1]}, "
                f"machines that it would still start included: {most}"
            )

    def _submit(self, owner: str, given: Submission, key: str) -> Spec:
        self._fits(given)
        self._count(owner)
        task = submission.task_name(given, hub=self._settings.hub)
        study = submission.study_of(given)
        used = [i for i in (given.dataset, given.pool_dataset) if i is not None]
        files = {i: self._datasets.path(self._datasets.get(owner, i)) for i in used}
        name = study if isinstance(study, str) else study.name
        stem = slug(task or (files[given.dataset].stem if given.dataset else "toy"), 24)
        id_ = "-".join(p for p in (stem, slug(name, 24), secrets.token_hex(4)) if p)
        draft = self._settings.paths.studies / f".{id_}"
        draft.mkdir(mode=0o700)
        try:
            file = None
            if isinstance(study, Study):
                file = draft / STUDY
                file.write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_none=True)))
            words = self._words(given, task, files, file)
            limit = [] if given.concurrency is None else [f"--concurrency={given.concurrency}"]
            none = [] if given.gpus else ["--gpus-per-trial=0"]
            more = [*limit, *none, *self._settings.folders()]
            if not self._turns.acquire(timeout=TURN_SECONDS):
                raise QuotaExceeded(
                    "others' submissions take long to check; send it again in a minute"
                )
            try:
                quote = self._check([*words, *more], self._settings.environment)
            finally:
                self._turns.release()
            final = None if file is None else self._settings.paths.study(id_) / file.name
            spec = Spec(
                id_,
                owner,
                self._now(),
                str(quote.get("task") or task or stem),
                name,
                self._words(given, task, files, final),
                used,
                given.concurrency,
                given.gpus,
                given.gpus_per_trial,
                {k: v for k, v in quote.items() if k not in ("task", "study")},
                key,
            )

            def admit() -> None:
                self._count(owner)
                for dataset in used:  # it may have gone while the check was reading it
                    self._datasets.get(owner, dataset)

            return self._studies.create(spec, draft, admit)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _count(self, owner: str) -> None:
        most = self._settings.studies
        if self._studies.count(owner) >= most:
            raise QuotaExceeded(f"{owner} has {most} studies already; delete one first")

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
