"""The driver's bookkeeping: every record passes once, and is on disk before anything acts on it.

No Ray here: which trials run, what was spent, which are best, when to stop.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysearch.config.study import Study
from raysearch.config.trial import TrialConfig
from raysearch.errors import RaysearchError, RecordError
from raysearch.record import TrialRecord
from raysearch.run.folder import RunFolder, SuggestionLogEntry, append_suggestion, read_suggestions
from raysearch.run.records import RecordWriter
from raysearch.search.backend import Planner, TrialBackend
from raysearch.search.budget import Budget, spent_by
from raysearch.search.event import Event
from raysearch.search.messages import ended, input_failed, named
from raysearch.search.proposer import Proposer
from raysearch.search.replicates import CONFIRM, ReplicateQueue
from raysearch.search.study_state import StudyState
from raysearch.search.suggestion import Suggestion, missing_upstream, upstream_trials
from raysearch.storage.mirror import Mirror
from raysearch.storage.remote import StorageLost
from raysearch.storage.trial_checkpoints import TrialCheckpoints

STRIKES = 2
"""A trial that was at work each time this many runs broke down is recorded as FAILED."""


class StudyController(StudyState):
    """Hands out trials, takes in records, keeps the budget; one per run of a study."""

    def __init__(
        self,
        study: Study,
        world: Planner,
        folder: RunFolder,
        budget: Budget,
        kit: TrialBackend,
        *,
        place: Any,
        phase: str,
        on_event: Callable[[Event], None] | None,
        draws: Sequence[TrialConfig] | None = None,
        saves: TrialCheckpoints | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        super().__init__(study, folder, budget, phase, on_event, mirror)
        self.saves = saves or TrialCheckpoints(folder.checkpoints)
        self.world, self.kit, self.place = world, kit, place
        past = folder.read()
        self.writer = RecordWriter(folder.records)
        self.proposer: Proposer | ReplicateQueue = (
            Proposer(study, world, budget.trials) if draws is None else ReplicateQueue(draws)
        )
        self.actors: dict[str, str] = {}
        self.stopped_by = ""
        self.waits = False
        """Whether `draw` gave nothing because all that is left waits for running inputs."""
        self.stop_now = False
        self._strikes: Counter[str] = Counter()
        own = [r for r in past.trials if r.phase == phase]
        self.spent = spent_by(own)
        self._numbers: dict[str, int] = {}
        self._before = len(own)
        self._blind = 0
        """Trials of the sampler that are parked, since one last started or ended."""
        if draws is not None:  # draws of former candidates are no part of this plan
            wanted = {d.id for draw in draws for d in (*upstream_trials(draw), draw)}
            self.budget = replace(budget, trials=len(wanted | {r.id for r in own}))
        for record in past.trials:
            self._file(record)
        for line in past.skipped:
            self.log(line)

    def resume(self) -> int:
        """Replay earlier records into the proposer; return the number of this phase's records."""
        past = read_suggestions(self.folder)
        suggested = [(s.id, s.proposal) for s in past if s.source != CONFIRM]
        for id_, proposal in suggested:
            if proposal.inputs and id_ not in self.records:
                with contextlib.suppress(RaysearchError, KeyError):
                    self._weights.used_by(self.world.configure(proposal))
        if self.phase_records or suggested:
            self.proposer.resume(self.phase_records, suggested)
        self.proposer.kept(self._kept())
        return len(self.phase_records)

    def draw(self) -> Suggestion | None:
        """Return the next trial to run; None when nothing can start now.

        Then either all that is left waits for an input (`waits`), or the search is over
        (`stopped_by` is the reason).
        """
        self.waits = False
        while not (self.fault or self.stop_now):
            if reached := self.budget.reached(self.spent, self.hours):
                self.stopped_by = reached
                return None
            if (ready := self.parked.next()) is not None:
                self.running[ready.config.id] = ready
                self._blind = 0
                return ready
            asks = self._room > 0 and not self._blindly
            if asks and (suggestion := self.proposer.suggest()) is not None:
                self._enter(suggestion)
                continue
            self.waits = bool(self.parked and self.running)
            if not self.waits:
                full = f"all {self.budget.trials} trials have run"
                self.stopped_by = self.proposer.exhausted if self._room else full
            return None
        return None

    @property
    def _blindly(self) -> bool:
        """Return True if too many sampled trials are parked since one last started or ended.

        The sampler has then learned nothing new. The limit is the number of methods times label
        budgets.
        """
        space = self.world.space
        return bool(self.running) and self._blind >= len(space.methods) * len(space.labels)

    def _enter(self, suggestion: Suggestion) -> None:
        """Admit a suggestion, its inputs first; what exceeds the budget is dropped."""
        due, room = [], self._room
        if not suggestion.infeasible:
            due = missing_upstream(suggestion.config, suggestion.proposal, self._knows)
        for role, config, proposal in due[:room]:
            self._admit(self.proposer.adopt(config, proposal, role))
        if len(due) < room:
            self._admit(suggestion)

    def _admit(self, suggestion: Suggestion) -> None:
        """Suggest a trial, then park it; record it at once if it can never run."""
        id_ = suggestion.config.id
        number = self._numbers.setdefault(id_, self._before + len(self._numbers))
        entry = SuggestionLogEntry(number, id_, suggestion.proposal, suggestion.source)
        try:
            append_suggestion(self.folder, entry)
        except RecordError as e:
            self.fault = e
            return
        if suggestion.infeasible is not None:
            self.take(self.failed(suggestion, "INFEASIBLE", suggestion.infeasible))
            return
        self._weights.used_by(suggestion.config)
        inputs = {role: c.id for role, c in suggestion.config.upstream.items()}
        known = [self.records[i] for i in inputs.values() if i in self.records]
        if bad := next((r for r in known if r.status != "DONE"), None):
            self.take(self.failed(suggestion, "FAILED", input_failed(suggestion.config, bad)))
            return
        waits_for = {role: i for role, i in inputs.items() if i not in self.records}
        self.parked.add(suggestion, waits_for.values())
        if waits_for:
            missing = ", ".join(f"{role} {i}" for role, i in waits_for.items())
            self.log(f"{id_} {named(suggestion.config)}: waits for its {missing}")
            self._blind += suggestion.source in ("sampler", "chance")

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
        self._file(record)
        self.fresh += 1
        self._blind = 0
        self.spent = self.spent.plus(record)
        self.proposer.tell(record)
        kept = self._kept()
        with contextlib.suppress(StorageLost):  # tidied up with the next record
            self.saves.drop(record.id)
            self.world.keep(kept)
        self.proposer.kept(kept)
        self.emit("record", ended(record), record.id)
        if record.status == "DONE":
            self.parked.done(record.id)
            return
        for waiting in self.parked.lost(record.id):
            self.take(self.failed(waiting, "FAILED", input_failed(waiting.config, record)))

    def _kept(self) -> set[str]:
        """Return the ids of trials whose weights may still be needed."""
        # A running trial may have kept its weights before its record arrives.
        at_work = set(self.running)
        return self._standing.candidates() | at_work | self._weights.used | self.proposer.needs()

    def take_json(self, text: str) -> None:
        """Take a record as a worker sent it, in JSON."""
        self.take(TrialRecord.from_json(json.loads(text)))

    def failed(self, suggestion: Suggestion, status: str, error: str) -> TrialRecord:
        """Return the record of a trial that could not finish."""
        return self.kit.failed(
            suggestion.config, self.place, self.phase, status, error, suggestion.proposal.hyper
        )

    def lose(self, id_: str, error: str) -> None:
        """Record a trial as FAILED, with its reason, after its process was lost for good."""
        suggestion = self.running.get(id_)
        if suggestion is not None:
            self.take(self.failed(suggestion, "FAILED", error))

    def break_down(self, guilty: set[str], reason: str) -> None:
        """Handle a crash of Tune: fail the guilty trials, requeue the others.

        If no guilty trial is known, each running trial gets a strike. At two strikes it fails, so
        that one trial that always crashes the run is not retried for ever.
        """
        for id_, suggestion in list(self.running.items()):
            if not guilty:
                self._strikes[id_] += 1
            if id_ in guilty or self._strikes[id_] >= STRIKES:
                self.lose(id_, reason)
            else:
                del self.running[id_]
                self.proposer.requeue(suggestion.proposal, suggestion.config)

    def close(self) -> None:
        """Close the records and drop the folder of checkpoints when nothing is left in it."""
        self.writer.close()
        _prune(self.folder.checkpoints)


def _prune(checkpoints: Path) -> None:
    try:
        checkpoints.rmdir()
    except OSError:
        pass  # unfinished trials keep theirs
