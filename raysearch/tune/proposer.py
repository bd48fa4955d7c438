"""Proposes trials and learns from their records, with Optuna and without Ray.

Optuna's study is rebuilt from the records whenever a study goes on: the records are the one truth.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from raysearch.errors import Infeasible, unknown
from raysearch.objectives import get
from raysearch.plan.config import DataBudget, Scalar, TrialConfig
from raysearch.plan.space import Proposal, SearchSpace
from raysearch.plan.study import SEARCHERS, Study
from raysearch.record import TrialRecord
from raysearch.tune import domains
from raysearch.tune.coverage import Coverage
from raysearch.tune.standing import values
from raysearch.tune.world import World

SAMPLED_TRIES = 4
"""How often the sampler may propose what is known before plain chance takes over."""
RANDOM_TRIES = 200
"""How often chance may fail before a continuous space counts as exhausted."""
INFEASIBLE = "cannot run"
"""Name of the constraint that failed and infeasible trials violate."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One trial to run."""

    number: int
    config: TrialConfig
    proposal: Proposal
    source: str
    """`first`, `sampler`, `queue`, or `chance` where the sampler had nothing new."""
    infeasible: str | None = None
    """Why the world cannot configure it; such an offer becomes a record at once."""


class Proposer:
    """The search itself: `offer` the next trial, `tell` its record.

    Label budgets and methods are stratified. The first third of the trials, and then two of three
    of a method and budget, cover the models with the method's `first` knobs, cheap before dear;
    where no cell is left untried the sampler chooses the knobs of the model tried least. In the
    other trials model and knobs are the sampler's. No id is offered twice.
    """

    exhausted = "the search space is exhausted: every configuration has run"
    """What is said when `offer` has nothing left."""

    def __init__(self, study: Study, world: World, trials: int) -> None:
        if study.searcher not in SEARCHERS:
            raise unknown("study", "searcher", study.searcher, SEARCHERS)
        self._study = study
        self._world = world
        self._space = world.space
        self._objectives = [get(name) for name in study.objectives]
        self._coverage = Coverage(world.space, self._price)
        self._first = min(trials, max(len(world.space.methods), trials // 3))
        self._offered = 0
        self._seen: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._asked: dict[str, optuna.trial.Trial] = {}
        self._queue: deque[tuple[Proposal, TrialConfig]] = deque()
        self._all: dict[tuple[int, str | None], Iterator[Proposal]] = {}
        self._optuna: optuna.study.Study | None = None
        self._rng = np.random.default_rng(study.seed)
        self._open(past=0)

    def _open(self, past: int) -> None:
        # A resumed study must not draw the same numbers again, or all its first tries are known.
        seeds = np.random.SeedSequence([self._study.seed, past]).generate_state(2)
        self._rng = np.random.default_rng(int(seeds[0]))
        self._optuna = optuna.create_study(
            sampler=_sampler(self._study.searcher, int(seeds[1])),
            directions=["maximize" if o.maximise else "minimize" for o in self._objectives],
        )

    def resume(
        self, records: Iterable[TrialRecord], suggested: Iterable[tuple[str, Proposal]]
    ) -> None:
        """Take up a study again: learn from its records, queue what was suggested and not ended."""
        proposals = dict(suggested)
        past = list(records)
        self._open(len(past))
        self._offered = len(past)
        for record in past:
            self._seen.add(record.id)
            proposal = proposals.pop(record.id, None) or self._read_back(record)
            if proposal is None or not domains.holds(self._space, proposal):
                continue  # the space has been changed since; the id still counts as run
            self._coverage.count(proposal)
            self._coverage.end(proposal.method, proposal.rung, done=record.status == "DONE")
            self._add(proposal, record)
        for id_, proposal in proposals.items():
            try:
                config = self._world.configure(proposal)
            except (Infeasible, KeyError):
                continue
            if config.id == id_ and id_ not in self._seen:
                self.requeue(proposal, config)

    def requeue(self, proposal: Proposal, config: TrialConfig) -> None:
        """Offer this unfinished trial again, before anything else."""
        self._seen.add(config.id)
        self._queue.append((proposal, config))

    def offer(self) -> Offer | None:
        """The next trial; None when the space holds nothing that has not been offered."""
        if self._queue:
            proposal, config = self._queue.popleft()
            if config.id not in self._numbers:
                self._coverage.count(proposal)
                self._note(config.id)
                self._asked[config.id] = self._ask_whole(proposal)
            return Offer(self._numbers[config.id], config, proposal, "queue")
        while (labels := self._coverage.due()) is not None:
            found = self._at(labels)
            if found is not None:
                self._coverage.count(found.proposal)
                self._note(found.config.id)
                return found
            self._coverage.run_dry(labels)
        return None

    def _note(self, id_: str) -> None:
        self._seen.add(id_)
        self._numbers[id_] = self._offered
        self._offered += 1

    def _at(self, labels: int) -> Offer | None:
        """A new trial at this label budget."""
        grid = self._study.searcher == "grid"
        if (grid or self._offered < self._first) and (found := self._first_knobs(labels, None)):
            return found
        if grid:
            return None
        if "methods" not in self._study.stratify:
            return self._sampled(labels, {})
        while (method := self._coverage.method(labels)) is not None:
            fixed: dict[str, Scalar] = {"method": method}
            turn = self._coverage.tries(method, labels) % 3  # by cell: no beat with other cycles
            if "models" in self._study.stratify and turn < 2:
                if found := self._first_knobs(labels, method):
                    return found
                fixed[f"{method}.model"] = self._coverage.model(method, labels)
            if found := self._sampled(labels, fixed):
                return found
            self._coverage.run_dry(labels, method)
        return None

    def _first_knobs(self, labels: int, method: str | None) -> Offer | None:
        """The next untried cell with its method's first knobs."""
        while (proposal := self._coverage.first(labels, method)) is not None:
            if found := self._check(proposal, "first"):
                return self._fixed(found)
        return None

    def _sampled(self, labels: int, fixed: Mapping[str, Scalar]) -> Offer | None:
        """What the sampler proposes with some parameters fixed; chance where that is known."""
        for _ in range(SAMPLED_TRIES):
            trial = self._ask({"labels": labels, **fixed})
            if found := self._check(domains.suggest(trial, self._space), "sampler"):
                self._asked[found.config.id] = trial
                return found
            self._tell(trial, TrialState.FAIL)
        method = fixed.get("method")
        for proposal in self._chances(labels, None if method is None else str(method)):
            if found := self._check(proposal, "chance"):
                return self._fixed(found)
        return None

    def _chances(self, labels: int, method: str | None) -> Iterator[Proposal]:
        """Draws at random; then, where the space can be listed, everything it holds."""
        space = self._space if method is None else only(self._space, method)
        for _ in range(RANDOM_TRIES):
            yield domains.sample(self._rng, space, labels)
        yield from self._all.setdefault((labels, method), domains.every(space, labels))

    def _check(self, proposal: Proposal, source: str) -> Offer | None:
        """The offer this proposal makes; None when its id is known."""
        reason = None
        try:
            config = self._world.configure(proposal)
        except Infeasible as e:
            config, reason = self._stand_in(proposal), str(e)
        if config.id in self._seen:
            return None
        return Offer(self._offered, config, proposal, source, reason)

    def _fixed(self, offer: Offer) -> Offer:
        self._asked[offer.config.id] = self._ask_whole(offer.proposal)
        return offer

    def _stand_in(self, proposal: Proposal) -> TrialConfig:
        """A configuration without digests, for the record of what could not be configured."""
        return TrialConfig(
            self._study.task,
            "",
            proposal.method,
            proposal.rung,
            DataBudget(proposal.labels),
            hyper=proposal.hyper,
        )

    def _price(self, proposal: Proposal) -> float:
        try:
            return float(self._world.price(self._world.configure(proposal)).flops)
        except Infeasible:
            return math.inf

    def _ask_whole(self, proposal: Proposal) -> optuna.trial.Trial:
        trial = self._ask(domains.params(proposal))
        domains.suggest(trial, self._space)  # Optuna knows a parameter once it is asked for
        return trial

    def _ask(self, fixed: Mapping[str, Scalar]) -> optuna.trial.Trial:
        assert self._optuna is not None
        self._optuna.enqueue_trial(dict(fixed))
        trial = self._optuna.ask()
        return trial

    def _tell(
        self, trial: optuna.trial.Trial, state: TrialState, told: list[float] | None = None
    ) -> None:
        assert self._optuna is not None
        self._optuna.tell(trial, told, state=state)

    def tell(self, record: TrialRecord) -> None:
        """Learn from a record of a trial that was offered; every other record is left alone."""
        trial = self._asked.pop(record.id, None)
        if trial is None:
            return
        config = record.config
        self._coverage.end(config.method, config.rung, done=record.status == "DONE")
        state, told, constraint = self._verdict(record)
        if constraint:
            trial.set_constraint(INFEASIBLE, constraint)
        self._tell(trial, state, told)

    def _add(self, proposal: Proposal, record: TrialRecord) -> None:
        """Put a trial of an earlier run into Optuna's study."""
        state, told, constraint = self._verdict(record)
        assert self._optuna is not None
        self._optuna.add_trial(
            create_trial(
                state=state,
                values=told,
                params=dict(domains.params(proposal)),
                distributions=domains.distributions(self._space, proposal.method),
                constraints={INFEASIBLE: constraint} if constraint else None,
            )
        )

    def _verdict(self, record: TrialRecord) -> tuple[TrialState, list[float] | None, float]:
        """What Optuna is told of a record: (state, values, violation of the constraint).

        NOTE: TPE ignores FAIL and goes on sampling the same bad corner (measured: 53 of 100
        trials); a pruned trial that violates a constraint it does learn from.
        """
        if record.status == "DONE":
            told = values(record, self._study)
            return (TrialState.COMPLETE, told, 0.0) if told else (TrialState.FAIL, None, 0.0)
        return TrialState.PRUNED, None, 0.0 if record.status == "STOPPED" else 1.0

    def _read_back(self, record: TrialRecord) -> Proposal | None:
        """The proposal behind a record without its line in suggestions.jsonl."""
        space = self._space.methods.get(record.config.method)
        if space is None:
            return None
        hyper = {k: record.hyper[k] for k in space.knobs if k in record.hyper}
        return Proposal(record.config.method, record.config.rung, record.config.data.train, hyper)


def only(space: SearchSpace, method: str) -> SearchSpace:
    """The part of a space that is this method's."""
    return replace(
        space,
        methods={method: space.methods[method]},
        rungs={method: space.rungs[method]},
    )


def _sampler(name: str, seed: int) -> BaseSampler:
    """Optuna's sampler behind a searcher's name."""
    match name:
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=16)
        case "random" | "grid":
            return RandomSampler(seed=seed)
        case _:
            return TPESampler(seed=seed)
