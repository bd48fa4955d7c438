"""The confirming phase: which trials run again on fresh draws, and the queue of those draws.

Estimates and verdicts come from these draws alone, so nothing here looks at a test score.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from raysearch.analysis.candidates import to_confirm
from raysearch.analysis.table import to_table
from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.config.trial import TrialConfig
from raysearch.ledger import ANSWERS, OWN
from raysearch.record import TrialRecord
from raysearch.search.suggestion import Suggestion, proposal_from, upstream_trials

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
    """All draws of the chosen candidates, those that have run included; before each the same draws
    of its teachers, where no earlier candidate has them."""
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


def plan_replicates(
    records: Iterable[TrialRecord],
    study: Study,
    draws: int,
    *,
    folds: int = 0,
    concurrency: int = 1,
    limits: Limits | None = None,
    everything: bool = False,
) -> Plan:
    """Choose the candidates that the limits have room for, and lay out their draws.

    With cross-fitting the draws are filled up to whole rounds of folds, so that every row is scored
    equally often. Prices are the bills of the search's own trials. A draw that several candidates
    need is paid by the first, and a teacher without a record costs nothing. A candidate that does
    not fit is left out whole: with fewer draws it would carry no interval.

    Args:
        records: of the study, all phases.
        study: has the objectives that candidates are chosen by.
        draws: fresh draws of each candidate.
        folds: of cross-fitting; 0: none.
        concurrency: trials at once.
        limits: what may be spent; None: no limit.
        everything: every DONE trial of the search is a candidate, in the order of the records.
    """
    by_id = {r.id: r for r in records}
    search = [r for r in by_id.values() if r.phase != CONFIRM]
    bills = {r.id: [c for c in r.bill if c.payer == OWN or c.phase in ANSWERS] for r in search}
    rounds = -(-draws // folds) * folds if folds else draws
    room = limits or Limits()
    planned: dict[str, TrialConfig] = {}
    chosen: list[str] = []
    left: list[str] = []
    seconds = flops = work = 0.0
    due = 0
    ids = [r.id for r in search if r.status == "DONE"] if everything else _telling(search, study)
    for id_ in ids:
        fresh = _draws(by_id[id_].config, rounds, folds)
        new = {i: drawn for i, drawn in fresh.items() if i not in planned}
        again = Counter(origin for i, (_, origin) in new.items() if i not in by_id)
        own = [(n, c) for origin, n in again.items() for c in bills.get(origin, ())]
        inside = sum(n * c.seconds for n, c in own)
        more = (inside + again.total() * START_SECONDS) / concurrency
        spent = float(sum(n * c.flops for n, c in own))
        wanted = (
            (room.hours, (seconds + more) / 3600),
            (room.flops, flops + spent),
            (room.work_hours, (work + inside) / 3600),
        )
        if any(limit is not None and value > limit for limit, value in wanted):
            left.append(id_)
            continue
        chosen.append(id_)
        planned |= {i: config for i, (config, _) in new.items()}
        due, seconds, flops = due + again.total(), seconds + more, flops + spent
        work += inside
    laid = tuple(planned.values())
    return Plan(laid, tuple(chosen), tuple(left), rounds, folds, due, seconds, flops)


def _telling(search: Sequence[TrialRecord], study: Study) -> Sequence[str]:
    prices = study.prices.model_dump(exclude_none=True)
    table = to_table(search, shared_by=study.shared_by, prices=prices)
    return to_confirm(table, study.objectives)


def _draws(config: TrialConfig, rounds: int, folds: int) -> dict[str, tuple[TrialConfig, str]]:
    """Return each draw of a trial and its teachers with its candidate, by id.

    In the order in which they run.
    """
    origins = (*upstream_trials(config), config)
    pairs = [(o.with_seed(d, folds), o.id) for d in range(1, rounds + 1) for o in origins]
    return {drawn.id: (drawn, origin) for drawn, origin in pairs}


class ReplicateQueue:
    """Hands out a fixed list of trials, each once, in its order."""

    exhausted = "all confirming draws have run"

    def __init__(self, plan: Sequence[TrialConfig]) -> None:
        self._plan = deque(plan)
        self._seen: set[str] = set()
        self._again: deque[tuple[Proposal, TrialConfig]] = deque()
        self._teachers = {d.id: {t.id for t in upstream_trials(d)} for d in plan}
        """By draw that is still to be offered: everyone it learns from."""

    def resume(
        self, records: Iterable[TrialRecord], suggested: Iterable[tuple[str, Proposal]]
    ) -> None:
        """Leave out what has run."""
        for record in records:
            self._leave(record.id)

    def _leave(self, id_: str) -> None:
        self._seen.add(id_)
        self._teachers.pop(id_, None)

    def suggest(self) -> Suggestion | None:
        """Return the next draw; None when all were offered."""
        if self._again:
            proposal, config = self._again.popleft()
            return Suggestion(config, proposal, CONFIRM)
        while self._plan:
            config = self._plan.popleft()
            if config.id not in self._seen:
                return self.adopt(config, proposal_from(config), CONFIRM)
        return None

    def adopt(self, config: TrialConfig, proposal: Proposal, role: str) -> Suggestion:
        """Suggest this draw now, out of order."""
        self._again = deque(a for a in self._again if a[1].id != config.id)
        self._leave(config.id)
        return Suggestion(config, proposal, CONFIRM)

    def requeue(self, proposal: Proposal, config: TrialConfig) -> None:
        """Suggest this unfinished trial again, before anything else."""
        self._again.append((proposal, config))

    def tell(self, record: TrialRecord) -> None:
        """Ignore a record: the order of draws is fixed."""

    def needs(self) -> set[str]:
        """Return the ids whose weights the remaining draws learn from."""
        return set().union(*self._teachers.values())

    def kept(self, ids: Set[str]) -> None:
        """Ignore which weights are stored: the order of draws is fixed."""
