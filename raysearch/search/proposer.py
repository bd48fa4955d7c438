"""Propose trials and learn from their records, with Optuna and without Ray."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace

from raysearch.config.space import Proposal
from raysearch.config.study import SEARCHERS, Study
from raysearch.config.trial import Scalar, TrialConfig
from raysearch.errors import Infeasible, unknown
from raysearch.record import TrialRecord
from raysearch.search import distributions
from raysearch.search.backend import Planner
from raysearch.search.balance import BalancedSchedule
from raysearch.search.inputs import InputChoice
from raysearch.search.knob_sampler import KnobSampler
from raysearch.search.proposals import ProposalReader
from raysearch.search.suggestion import Suggestion, upstream_trials


class Proposer:
    """The search itself: `suggest` the next trial, `tell` its record.

    Label budgets and methods are stratified. The first third of the trials, and then two of three
    of a method and budget, cover the models with the method's `first` knobs, cheap before dear;
    where no cell is left untried the sampler chooses the knobs of the model tried least. In the
    other trials model and knobs are the sampler's. Inputs are chosen likewise: by rule
    (`InputChoice`) where the model is, else by the sampler. No id is suggested twice.

    A grid study's proposer suggests the study's crossing in its order, and nothing else.
    """

    exhausted = "the search space is exhausted: every configuration has run"
    """Message when `suggest` has nothing left."""

    def __init__(self, study: Study, world: Planner, trials: int) -> None:
        if study.searcher not in SEARCHERS:
            raise unknown("study", "searcher", study.searcher, SEARCHERS)
        self._study = study
        self._world = world
        self._space = world.space
        self._reader = ProposalReader(study, world)
        self._coverage = BalancedSchedule(world.space, self._price)
        self._inputs = InputChoice(world.space, self._reader.id_of)
        self._crossing = self._crossed() if study.procedures else None
        self._ahead: set[str] | None = None
        """Inputs in the crossing of a grid study; None: not known yet."""
        self._first = min(trials, max(len(world.space.methods), trials // 3))
        self._offered = 0
        self._seen: set[str] = set()
        self._open: dict[str, Proposal] = {}
        """What was offered and has no record yet, by id."""
        self._done: set[str] = set()
        self._kept: Set[str] | None = None
        self._queue: deque[tuple[Proposal, TrialConfig]] = deque()
        self._sampler = KnobSampler(study, world.space)

    def resume(
        self, records: Iterable[TrialRecord], suggested: Iterable[tuple[str, Proposal]]
    ) -> None:
        """Continue a study: learn from its records, queue what was suggested and not ended."""
        proposals = dict(suggested)
        past = {r.id: r for r in records}
        self._sampler.begin(len(past))
        self._offered = len(past)
        self._seen |= set(past)
        self._done |= {r.id for r in past.values() if r.status == "DONE"}
        for record in past.values():
            proposal = proposals.pop(record.id, None) or self._reader.read_back(record, past)
            if proposal is None:
                continue
            inside = distributions.holds(self._space, proposal)
            if not inside and not distributions.serves(self._space, proposal):
                continue  # the space has been changed since; the id still counts as run
            self._count(proposal)
            self._learn(record, proposal)
            if inside:
                self._sampler.optuna.add(proposal, record)
        for id_, proposal in proposals.items():
            try:
                config = self._world.configure(proposal)
            except (Infeasible, KeyError):
                continue
            if config.id == id_ and id_ not in self._seen:
                self.requeue(proposal, config)

    def requeue(self, proposal: Proposal, config: TrialConfig) -> None:
        """Suggest this unfinished trial again, before anything else."""
        self._seen.add(config.id)
        self._queue.append((proposal, config))

    def adopt(self, config: TrialConfig, proposal: Proposal, role: str) -> Suggestion:
        """Return the suggestion of a trial that is needed now as an input, as if proposed."""
        self._queue = deque(q for q in self._queue if q[1].id != config.id)
        reason = self._reader.configured(proposal)[1]
        return self._take_up(Suggestion(config, proposal, role, reason))

    def suggest(self) -> Suggestion | None:
        """Return the next trial; None when nothing new is left in the space."""
        if self._queue:
            proposal, config = self._queue.popleft()
            return self._take_up(Suggestion(config, proposal, "queue"))
        if self._crossing is not None:
            return next(self._crossing, None)
        while (labels := self._coverage.due()) is not None:
            if suggestion := self._at(labels):
                return self._take_up(suggestion)
            self._coverage.run_dry(labels)
        return None

    def _crossed(self) -> Iterator[Suggestion]:
        for proposal in self._world.crossing():
            if suggestion := self._check(proposal, "first"):
                yield self._take_up(suggestion)

    def _take_up(self, suggestion: Suggestion) -> Suggestion:
        """Count a suggestion, unless it was made before."""
        id_ = suggestion.config.id
        self._seen.add(id_)
        if id_ not in self._open:
            self._open[id_] = suggestion.proposal
            self._offered += 1
            self._count(suggestion.proposal)
            self._sampler.optuna.fix(id_, suggestion.proposal)
        return suggestion

    def _count(self, proposal: Proposal) -> None:
        self._coverage.count(proposal)
        self._inputs.count(proposal)

    def _at(self, labels: int) -> Suggestion | None:
        """Return a new trial at this label budget."""
        grid = self._study.searcher == "grid"
        if (grid or self._offered < self._first) and (
            suggestion := self._first_knobs(labels, None)
        ):
            return suggestion
        if grid:
            return None
        if "methods" not in self._study.stratify:
            return self._sampler.draw(labels, {}, {}, self._check)
        while (method := self._coverage.method(labels)) is not None:
            fixed: dict[str, Scalar] = {"method": method}
            inputs: Mapping[str, Proposal] = {}
            turn = self._coverage.tries(method, labels) % 3  # by cell, apart from other cycles
            if "models" in self._study.stratify and turn < 2:
                if suggestion := self._first_knobs(labels, method):
                    return suggestion
                fixed[f"{method}.model"] = self._coverage.model(method, labels)
                inputs = self._inputs.of(method, labels)
            if suggestion := self._sampler.draw(labels, fixed, inputs, self._check):
                return suggestion
            self._coverage.run_dry(labels, method)
        return None

    def _first_knobs(self, labels: int, method: str | None) -> Suggestion | None:
        """Return the next untried cell with its method's first knobs."""
        while (cell := self._coverage.first(labels, method)) is not None:
            if suggestion := self._check(self._supplied(cell), "first"):
                return suggestion
        return None

    def _supplied(self, cell: Proposal) -> Proposal:
        return replace(cell, inputs=self._inputs.of(cell.method, cell.labels))

    def _check(self, proposal: Proposal, source: str) -> Suggestion | None:
        """Return a proposal's suggestion; None if its id is known or an input's weights are gone.

        Weights are kept of the best alone, and a trial that is DONE is not run again for them.
        """
        config, reason = self._reader.configured(proposal)
        if config.id in self._seen:
            return None
        if self._kept is not None and self._crossing is None:
            if {c.id for c in upstream_trials(config)} & (self._done - self._kept):
                return None
        return Suggestion(config, proposal, source, reason)

    def _price(self, cell: Proposal) -> float:
        return self._reader.predicted_flops(self._supplied(cell))

    def tell(self, record: TrialRecord) -> None:
        """Learn from a record of a trial that was offered; ignore every other record."""
        proposal = self._open.pop(record.id, None)
        if proposal is None:
            return
        if record.status == "DONE":
            self._done.add(record.id)
        self._learn(record, proposal)
        self._sampler.optuna.tell(record)

    def _learn(self, record: TrialRecord, proposal: Proposal) -> None:
        if not self._inputs.failed(record.config):  # it is not this trial's fault
            self._coverage.end(proposal.method, proposal.rung, done=record.status == "DONE")
        self._inputs.learn(record, proposal)

    def needs(self) -> set[str]:
        """Return the ids of trials that future proposals may take as inputs."""
        if self._ahead is None:
            crossing = self._world.crossing() if self._crossing is not None else ()
            configs = (self._reader.configured(p)[0] for p in crossing if p.inputs)
            self._ahead = {c.id for config in configs for c in upstream_trials(config)}
        return self._ahead | self._inputs.best

    def kept(self, ids: Set[str]) -> None:
        """Note which trials' weights are still stored."""
        self._kept = ids
