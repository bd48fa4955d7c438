"""The phase after a search: fresh draws of its best candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysearch.config.study import Study
from raysearch.errors import InputError
from raysearch.record import TrialRecord
from raysearch.run.folder import RunFolder
from raysearch.search.budget import Budget, spent_by
from raysearch.workflow.durations import span
from raysearch.workflow.listeners import Notify, Watching, unwatched
from raysearch.workflow.prepare import Prepared

if TYPE_CHECKING:
    from raysearch.search.replicates import Limits
    from raysearch.tune.runner import Outcome

SEARCH_SHARE = 0.6
"""Part of a limited budget that the search may use where confirming draws follow."""


def search_budget(study: Study) -> Budget:
    """Return the search's part of the study's limits."""
    whole = Budget.of(study)
    if not study.draws:
        return whole
    return _scaled(whole, 1 / study.draws if study.procedures else SEARCH_SHARE)


def _scaled(budget: Budget, share: float) -> Budget:
    def part(limit: float | None) -> float | None:
        return None if limit is None else share * limit

    return Budget(
        budget.trials,
        part(budget.hours),
        part(budget.gpu_hours),
        part(budget.flops),
        part(budget.dollars),
        budget.prices,
    )


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the confirming phase came to."""

    outcome: Outcome | None
    """None: there was nothing left to run."""
    chosen: int
    """Trials of the search that have their draws, or were to have them."""
    left_out: int
    """Candidates the limits had no room for."""
    rounds: int
    folds: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "candidates": self.chosen,
            "left_out": self.left_out,
            "draws": self.rounds,
            "folds": self.folds,
            "trials": {} if self.outcome is None else dict(self.outcome.by_status),
        }


def confirm_run(
    prepared: Prepared,
    draws: int,
    notify: Notify,
    *,
    watching: Watching = unwatched,
    hours: float | None = None,
    address: str | None = None,
) -> Confirmed:
    """Run the candidates' fresh draws, as far as the limits have room for whole candidates.

    Args:
        prepared: the run, with its world.
        draws: fresh draws of each candidate.
        notify: takes one line for a person.
        watching: opens what takes the events of the trials.
        hours: wall-clock time this phase may take [h]; None: no limit.
        address: of a running Ray cluster.

    Raises:
        InputError: the search has no finished trial with a validation score.
    """
    from raysearch.data.crossfit import folds_of
    from raysearch.search.replicates import plan_replicates
    from raysearch.tune.runner import run_study

    study, world = prepared.run.study, prepared.world
    records = RunFolder(prepared.out).read().trials
    folds = folds_of(world.data)
    limits, budget = _room(study, records, hours)
    crossing = bool(study.procedures)
    if crossing and not folds:
        draws = max(0, draws - 1)  # nothing was chosen: the first draw counts
    plan = plan_replicates(
        # what uses no labels has nothing to draw
        [r for r in records if r.labels_used or r.status != "DONE"],
        study,
        draws,
        folds=folds,
        concurrency=world.place.concurrency,
        limits=limits,
        everything=crossing,
    )
    candidates = len(plan.chosen) + len(plan.left_out)
    if not candidates:
        raise InputError(f"{prepared.out}: no finished trial to confirm")
    how = f"; {folds}-fold cross-fitting judges every row {plan.rounds // folds}x" if folds else ""
    room = f", {len(plan.left_out)} candidates do not fit the limits" if plan.left_out else ""
    notify(
        f"{'repeating' if crossing else 'confirming'} {len(plan.chosen)} of {candidates} "
        f"{'cells' if crossing else 'candidates'} on {plan.rounds} fresh draws each{how}"
        f"{room}: {plan.due} trials, {plan.flops:.2g} FLOPs, about {span(plan.seconds)}"
    )
    done = Confirmed(None, len(plan.chosen), len(plan.left_out), plan.rounds, folds)
    if not plan.due:
        return done
    with watching() as watch:
        outcome = run_study(
            study,
            world,
            prepared.out,
            on_event=watch,
            address=address,
            draws=plan.draws,
            budget=budget,
            storage=prepared.storage,
            gpus_per_trial=prepared.gpus,
        )
    return Confirmed(outcome, done.chosen, done.left_out, plan.rounds, folds)


def _room(
    study: Study, records: tuple[TrialRecord, ...], hours: float | None
) -> tuple[Limits, Budget]:
    """Return what the limits leave for the draws: to choose candidates by, and to stop at.

    Draws that have run count against the former; the desk counts them against the latter itself.

    Fresh draws are of rows that have their labels already: no dollars are counted for labels.
    """
    from raysearch.search.replicates import Limits

    spent, searched = spent_by(records), spent_by(r for r in records if r.phase == "search")
    prices = study.prices.model_copy(update={"label": None})

    def left(limit: float | None, used: float) -> float | None:
        return None if limit is None else max(0.0, limit - used)

    flops = left(study.flops, spent.flops)
    gpu_hours = left(study.gpu_hours, spent.gpu_hours)
    dollars = left(study.dollars, spent.dollars(study.prices))
    hour = prices.gpu_hour if spent.gpu_hours else prices.cpu_hour
    work = [gpu_hours] if gpu_hours is not None and spent.gpu_hours else []
    work += [dollars / hour] if dollars is not None and hour else []
    budget = Budget(
        study.trials,
        hours,
        left(study.gpu_hours, searched.gpu_hours),
        left(study.flops, searched.flops),
        left(study.dollars, searched.dollars(study.prices)),
        prices,
    )
    return Limits(hours, flops, min(work) if work else None), budget
