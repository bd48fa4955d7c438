"""What is known of a running study: its records, what runs, what was spent, and its log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from raysearch.config.study import Study
from raysearch.errors import RecordError
from raysearch.record import TrialRecord
from raysearch.run.folder import RunFolder
from raysearch.search.budget import Budget, spent_by
from raysearch.search.dependencies import DependencyQueue
from raysearch.search.event import Event, Snapshot
from raysearch.search.leaderboard import Leaderboard
from raysearch.search.messages import named
from raysearch.search.retention import CheckpointRetention
from raysearch.search.suggestion import Suggestion
from raysearch.storage.mirror import LostOwnership, Mirror


class StudyState:
    """The books of one run of a study.

    Args:
        study: the plan.
        folder: of the run.
        budget: what may be spent.
        phase: search or confirm.
        on_event: takes every event; None: nothing watches.
        mirror: copies the records to shared storage; None: there is none.
    """

    def __init__(
        self,
        study: Study,
        folder: RunFolder,
        budget: Budget,
        phase: str,
        on_event: Callable[[Event], None] | None,
        mirror: Mirror | None,
    ) -> None:
        self.study, self.folder, self.budget, self.phase = study, folder, budget, phase
        self._on_event, self._mirror = on_event, mirror
        self.begun = time.monotonic()
        self.records: dict[str, TrialRecord] = {}
        self.parked = DependencyQueue()
        self.running: dict[str, Suggestion] = {}
        self.fault: RecordError | None = None
        self.fresh = 0
        self._standing = Leaderboard(study)
        self._weights = CheckpointRetention()
        self.spent = spent_by(())

    @property
    def phase_records(self) -> list[TrialRecord]:
        """Return the records of this phase."""
        return [r for r in self.records.values() if r.phase == self.phase]

    @property
    def _room(self) -> int:
        """Return how many more trials may be suggested."""
        taken = self.spent.trials + len(self.running) + len(self.parked)
        return max(0, self.budget.trials - taken)

    def _knows(self, id_: str) -> bool:
        return id_ in self.records or id_ in self.running or id_ in self.parked

    def _file(self, record: TrialRecord) -> None:
        self.records[record.id] = record
        self._weights.learn(record)
        if record.phase == "search":  # the search does not learn from confirming draws
            self._standing.learn(record)

    def started(self, id_: str) -> None:
        """Note that a process has started a trial."""
        suggestion = self.running.get(id_)
        if suggestion is not None:
            self.emit("start", named(suggestion.config), id_)

    def progressed(self, id_: str, result: Mapping[str, Any]) -> None:
        """Note that a trial has finished a slice of its work."""
        numbers = {k: float(result[k]) for k in ("step", "score") if k in result}
        suggestion = self.running.get(id_)
        if suggestion is not None and self._on_event is not None:
            self.emit("progress", named(suggestion.config), id_, **numbers)

    @property
    def hours(self) -> float:
        """Return the wall-clock time of this run [h]."""
        return (time.monotonic() - self.begun) / 3600

    def log(self, text: str) -> None:
        """Append to log.txt with the time; a failed write is ignored."""
        now = datetime.now(UTC).isoformat(" ", "seconds")
        try:
            with self.folder.log.open("a", encoding="utf-8", errors="backslashreplace") as f:
                f.write(f"{now} {text.rstrip()}\n")
        except OSError:
            pass

    def emit(self, kind: str, text: str, id_: str = "", **data: float) -> None:
        """Send an event to the watchers; log it unless it is a mere sign of life."""
        if kind not in ("start", "progress"):
            self.log(text)
            try:
                if self._mirror is not None and (warning := self._mirror.soon()):
                    self.log(warning)
            except LostOwnership as e:
                self.fault = e
        if self._on_event is not None:
            self._on_event(Event(kind, text, self.snapshot(), id_, data))

    def snapshot(self) -> Snapshot:
        """Return how far the study is now."""
        seconds = time.monotonic() - self.begun
        left = max(self.budget.trials - self.spent.trials, 0)
        return Snapshot(
            name=self.study.name,
            wanted=self.budget.trials,
            by_status=Counter(r.status for r in self.phase_records),
            running=len(self.running),
            parked=len(self.parked),
            best=self._standing.by_method(),
            frontier=self._standing.frontier,
            flops=self.spent.flops,
            train_seconds=self.spent.train_seconds,
            seconds=seconds,
            eta=seconds / self.fresh * left if self.fresh else None,
            used=self.budget.used(self.spent, self.hours),
        )
