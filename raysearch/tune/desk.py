"""The driver's desk: every record crosses it once, and is on disk before anything else hears of it.

Pure bookkeeping without Ray: which trials run, what was spent, who is best, when to stop.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raysearch.errors import RecordError
from raysearch.plan.config import TrialConfig
from raysearch.plan.study import Study
from raysearch.record import RecordWriter, TrialRecord
from raysearch.tune.budget import Budget, spent_by
from raysearch.tune.draws import CONFIRM, Draws
from raysearch.tune.event import Event, Snapshot
from raysearch.tune.folder import Folder, Suggestion, append_suggestion, read_suggestions
from raysearch.tune.proposer import Offer, Proposer
from raysearch.tune.standing import Standing, best_score
from raysearch.tune.world import Kit, World

STRIKES = 2
"""A trial that was at work each time this many runs broke down is recorded as FAILED."""


class Desk:
    """Hands out trials, takes in records, keeps the budget; one per run of a study."""

    def __init__(
        self,
        study: Study,
        world: World,
        folder: Folder,
        budget: Budget,
        kit: Kit,
        *,
        place: Any,
        phase: str,
        gpus: float,
        on_event: Callable[[Event], None] | None,
        draws: Sequence[TrialConfig] | None = None,
    ) -> None:
        self.study, self.world, self.folder, self.budget = study, world, folder, budget
        self.kit, self.place, self.phase, self.gpus = kit, place, phase, gpus
        self._on_event = on_event
        self.begun = time.monotonic()
        past = folder.read()
        self.writer = RecordWriter(folder.records)
        self.proposer: Proposer | Draws = (
            Proposer(study, world, budget.trials) if draws is None else Draws(draws)
        )
        self.records: dict[str, TrialRecord] = {}
        self.running: dict[str, Offer] = {}
        self.actors: dict[str, str] = {}
        self.stopped_by = ""
        self.stop_now = False
        self.fault: RecordError | None = None
        self.fresh = 0
        self._strikes: Counter[str] = Counter()
        self._standing = Standing(study)
        mine = [r for r in past.trials if r.phase == phase]
        self.spent = spent_by(mine, gpus)
        if draws is not None:  # draws of former candidates are no part of this plan
            wanted = {d.id for d in draws} | {r.id for r in mine}
            self.budget = replace(budget, trials=len(wanted))
        for record in past.trials:
            self.records[record.id] = record
            if record.phase == "search":  # confirming draws teach the search nothing
                self._standing.learn(record)
        for line in past.skipped:
            self.log(line)

    def resume(self) -> int:
        """Teach the proposer what earlier runs left; returns how many records of it there are."""
        past = read_suggestions(self.folder)
        suggested = [(s.id, s.proposal) for s in past if s.source != CONFIRM]
        if self.mine or suggested:
            self.proposer.resume(self.mine, suggested)
        return len(self.mine)

    @property
    def mine(self) -> list[TrialRecord]:
        """The records of this phase."""
        return [r for r in self.records.values() if r.phase == self.phase]

    def draw(self) -> Offer | None:
        """The next trial to run; None when the search is over (`stopped_by` says why)."""
        while not (self.fault or self.stop_now):
            reached = self.budget.reached(self.spent, self.hours)
            if reached or self.spent.trials + len(self.running) >= self.budget.trials:
                self.stopped_by = reached or f"all {self.budget.trials} trials have run"
                return None
            offer = self.proposer.offer()
            if offer is None:
                self.stopped_by = self.proposer.exhausted
                return None
            try:
                append_suggestion(
                    self.folder,
                    Suggestion(offer.number, offer.config.id, offer.proposal, offer.source),
                )
            except RecordError as e:
                self.fault = e
                return None
            if offer.infeasible is None:
                self.running[offer.config.id] = offer
                return offer
            self.take(self.failed(offer, "INFEASIBLE", offer.infeasible))
        return None

    def take(self, record: TrialRecord) -> None:
        """Write a record, then act on it: exactly one per trial; a repeated one is dropped."""
        if record.id in self.records or self.fault is not None:
            return
        try:
            self.writer.append(record.to_json())
        except RecordError as e:
            self.fault = e  # nothing half-written: the trial stays unfinished and is run again
            return
        self.running.pop(record.id, None)
        self.actors.pop(record.id, None)
        self.records[record.id] = record
        self.fresh += 1
        self.spent = self.spent.plus(record, self.gpus)
        self.proposer.tell(record)
        if record.phase == "search":
            self._standing.learn(record)
        shutil.rmtree(self.folder.checkpoints / record.id, ignore_errors=True)
        # A trial at work may have kept its weights before its record has come.
        self.world.keep(self._standing.candidates() | set(self.running))
        self.emit("record", _line(record), record.id)

    def started(self, id_: str) -> None:
        """A process has begun with a trial."""
        offer = self.running.get(id_)
        if offer is not None:
            self.emit("start", _name(offer.config), id_)

    def progressed(self, id_: str, result: Mapping[str, Any]) -> None:
        """A trial has done a slice of its work."""
        numbers = {k: float(result[k]) for k in ("step", "score") if k in result}
        offer = self.running.get(id_)
        if offer is not None and self._on_event is not None:
            self.emit("progress", _name(offer.config), id_, **numbers)

    def take_json(self, text: str) -> None:
        """Take a record as a worker sent it."""
        self.take(TrialRecord.from_json(json.loads(text)))

    def failed(self, offer: Offer, status: str, error: str) -> TrialRecord:
        """The record of a trial that could not end by itself."""
        return self.kit.failed(
            offer.config, self.place, self.phase, status, error, offer.proposal.hyper
        )

    def lose(self, id_: str, error: str) -> None:
        """A trial's process is gone for good: FAILED, with its reason."""
        offer = self.running.get(id_)
        if offer is not None:
            self.take(self.failed(offer, "FAILED", error))

    def break_down(self, guilty: set[str], reason: str) -> None:
        """Tune broke down under us: the guilty fail, the others are queued to go on.

        Where nobody is known to be guilty each trial at work gets a strike; at two it fails, so
        that one trial that always breaks the run is not retried for ever.
        """
        for id_, offer in list(self.running.items()):
            if not guilty:
                self._strikes[id_] += 1
            if id_ in guilty or self._strikes[id_] >= STRIKES:
                self.lose(id_, reason)
            else:
                del self.running[id_]
                self.proposer.requeue(offer.proposal, offer.config)

    @property
    def hours(self) -> float:
        """Wall-clock time of this run [h]."""
        return (time.monotonic() - self.begun) / 3600

    def log(self, text: str) -> None:
        """Append to log.txt with the time; a log that cannot be written stops nothing."""
        now = datetime.now(UTC).isoformat(" ", "seconds")
        try:
            with self.folder.log.open("a", encoding="utf-8", errors="backslashreplace") as f:
                f.write(f"{now} {text.rstrip()}\n")
        except OSError:
            pass

    def emit(self, kind: str, text: str, id_: str = "", **data: float) -> None:
        """Tell whoever watches, and the log what is no mere sign of life."""
        if kind not in ("start", "progress"):
            self.log(text)
        if self._on_event is not None:
            self._on_event(Event(kind, text, self.snapshot(), id_, data))

    def snapshot(self) -> Snapshot:
        """How far the study is now."""
        seconds = time.monotonic() - self.begun
        left = max(self.budget.trials - self.spent.trials, 0)
        limits = {
            "hours": (self.hours, self.budget.hours),
            "GPU hours": (self.spent.gpu_hours, self.budget.gpu_hours),
            "FLOPs": (self.spent.flops, self.budget.flops),
            "dollars": (self.spent.dollars(self.budget.prices), self.budget.dollars),
        }
        return Snapshot(
            name=self.study.name,
            wanted=self.budget.trials,
            by_status=Counter(r.status for r in self.mine),
            running=len(self.running),
            best=self._standing.by_method(),
            frontier=self._standing.frontier,
            flops=self.spent.flops,
            train_seconds=self.spent.train_seconds,
            seconds=seconds,
            eta=seconds / self.fresh * left if self.fresh else None,
            used={k: (used, limit) for k, (used, limit) in limits.items() if limit is not None},
        )

    def close(self) -> None:
        """Close the records and drop the folder of checkpoints when nothing is left in it."""
        self.writer.close()
        _prune(self.folder.checkpoints)


def _name(config: TrialConfig) -> str:
    return f"{config.method} {config.rung} {config.data.train} labels"


def _line(record: TrialRecord) -> str:
    """One line about a record."""
    head = _name(record.config)
    if record.status != "DONE":
        return f"{head}: {record.status} {record.error or ''}".rstrip()
    score = best_score(record)
    shown = "no validation score" if score is None else f"{record.score} {score:.4f}"
    flops = sum(c.flops for c in record.bill)
    seconds = sum(c.seconds for c in record.bill)
    return f"{head}: {shown}, {flops:.3g} FLOPs, {seconds:.1f} s"


def _prune(checkpoints: Path) -> None:
    try:
        checkpoints.rmdir()
    except OSError:
        pass  # unfinished trials keep theirs
