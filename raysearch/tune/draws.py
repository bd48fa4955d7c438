"""The confirming phase: which trials run again on fresh draws, and the queue of those draws.

Estimates and verdicts come from these draws alone, so nothing here looks at a test score.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raysearch.analysis.candidates import to_confirm
from raysearch.analysis.table import to_table
from raysearch.ledger import OWN
from raysearch.plan.config import TrialConfig
from raysearch.plan.space import Proposal
from raysearch.plan.study import Study
from raysearch.record import TrialRecord
from raysearch.tune.proposer import Offer

CONFIRM = "confirm"
"""Name of the phase, and of the source of its suggestions."""
START_SECONDS = 3.0
"""What a draw costs beside what its trial was billed: a process, a model, the test split [s]."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the confirming phase may still spend; None: no limit."""

    hours: float | None = None
    """Wall-clock time [h]."""
    flops: float | None = None
    work_hours: float | None = None
    """Hours inside trials, added up [h]: what a price or a limit of GPU hours leaves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The draws to run, candidate by candidate, and what they are predicted to cost.

    Three draws of the most telling candidates are worth more than two of all, should time run out.
    """

    draws: tuple[TrialConfig, ...]
    """All draws of the chosen candidates, those that have run included."""
    chosen: tuple[str, ...]
    """Trials of the search that are confirmed, the most telling first."""
    left_out: tuple[str, ...]
    """Candidates that the limits have no room for."""
    rounds: int
    """Draws of each candidate."""
    folds: int
    """Cross-fitting folds; 0 where the task has a test split of its own."""
    due: int
    """Draws that have not run yet."""
    seconds: float
    """Predicted wall-clock time of those [s]."""
    flops: float
    """Predicted training FLOPs of those [FLOP]."""


def plan_draws(
    records: Iterable[TrialRecord],
    study: Study,
    draws: int,
    *,
    folds: int = 0,
    concurrency: int = 1,
    limits: Limits | None = None,
) -> Plan:
    """Choose the candidates that the limits have room for, and lay out their draws.

    With cross-fitting the draws are filled up to whole rounds of folds, so that every row is
    judged equally often. Prices are the bills of the search's own trials. A candidate that does
    not fit is left out whole: fewer draws than asked would carry no interval.
    """
    by_id = {r.id: r for r in records}
    search = [r for r in by_id.values() if r.phase != CONFIRM]
    prices = study.prices.model_dump(exclude_none=True)
    table = to_table(search, shared_by=study.shared_by, prices=prices)
    rounds = -(-draws // folds) * folds if folds else draws
    room = limits or Limits()
    chosen: list[str] = []
    left: list[str] = []
    seconds = flops = work = 0.0
    due = 0
    for id_ in to_confirm(table, study.objectives):
        config = by_id[id_].config
        again = [d for d in _draws(config, rounds, folds) if d.id not in by_id]
        own = [c for c in by_id[id_].bill if c.payer == OWN]
        inside = len(again) * sum(c.seconds for c in own)
        more = (inside + len(again) * START_SECONDS) / concurrency
        spent = len(again) * float(sum(c.flops for c in own))
        wanted = (
            (room.hours, (seconds + more) / 3600),
            (room.flops, flops + spent),
            (room.work_hours, (work + inside) / 3600),
        )
        if any(limit is not None and value > limit for limit, value in wanted):
            left.append(id_)
            continue
        chosen.append(id_)
        due, seconds, flops = due + len(again), seconds + more, flops + spent
        work += inside
    laid = tuple(d for i in chosen for d in _draws(by_id[i].config, rounds, folds))
    return Plan(laid, tuple(chosen), tuple(left), rounds, folds, due, seconds, flops)


def _draws(config: TrialConfig, rounds: int, folds: int) -> list[TrialConfig]:
    return [config.drawn(d, folds) for d in range(1, rounds + 1)]


class Draws:
    """Hands out a fixed list of trials, each once, in its order."""

    exhausted = "all confirming draws have run"

    def __init__(self, plan: Sequence[TrialConfig]) -> None:
        self._plan = deque(plan)
        self._seen: set[str] = set()
        self._again: deque[tuple[Proposal, TrialConfig]] = deque()
        self._offered = 0

    def resume(
        self, records: Iterable[TrialRecord], suggested: Iterable[tuple[str, Proposal]]
    ) -> None:
        """Leave out what has run."""
        self._seen |= {r.id for r in records}

    def offer(self) -> Offer | None:
        """The next draw; None when all were offered."""
        if self._again:
            proposal, config = self._again.popleft()
            return self._as_offer(config, proposal)
        while self._plan:
            config = self._plan.popleft()
            if config.id not in self._seen:
                self._seen.add(config.id)
                return self._as_offer(config, _proposal(config))
        return None

    def _as_offer(self, config: TrialConfig, proposal: Proposal) -> Offer:
        self._offered += 1
        return Offer(self._offered - 1, config, proposal, CONFIRM)

    def requeue(self, proposal: Proposal, config: TrialConfig) -> None:
        """Offer this unfinished trial again, before anything else."""
        self._again.append((proposal, config))

    def tell(self, record: TrialRecord) -> None:
        """A draw teaches nothing: what runs next is laid down."""


def _proposal(config: TrialConfig) -> Proposal:
    hyper: Mapping[str, bool | int | float | str] = config.hyper
    return Proposal(config.method, config.rung, config.data.train, hyper)
