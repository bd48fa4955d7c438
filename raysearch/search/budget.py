"""Budgets of a study: what has been spent, and which limit is reached first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raysearch.config.study import Prices, Study
from raysearch.errors import InputError
from raysearch.ledger import ANSWERS, OWN
from raysearch.record import TrialRecord, held_gpus


@dataclass(frozen=True, slots=True)
class Spent:
    """What the study has cost so far, failed trials included."""

    trials: int = 0
    """Records, whatever their status."""
    flops: float = 0.0
    """Executed by the trials themselves, all phases; an inherited bill is not paid twice [FLOP]."""
    train_seconds: float = 0.0
    """Seconds inside the trials' own phases, added up over trials [s]."""
    cpu_hours: float = 0.0
    """Hours of trials on the CPU [h]."""
    gpu_hours: float = 0.0
    """Hours of trials on a GPU times the share of it they held [h]."""
    labels: int = 0
    """Labels a person must have: budgets are nested, so the largest contains the others."""
    answered: frozenset[tuple[str, str, int]] = frozenset()
    """What teachers have answered, each set of texts once: payer, phase and FLOPs."""

    def plus(self, record: TrialRecord) -> Spent:
        """Return what is spent after one more record."""
        own = [c for c in record.bill if c.payer == OWN]
        # a student's trial does the work of its teacher's answers, once for each set of texts
        answers = [c for c in record.bill if c.payer != OWN and c.phase in ANSWERS]
        new = {(c.payer, c.phase, c.flops): c for c in answers}
        own += [c for key, c in new.items() if key not in self.answered]
        seconds = sum(c.seconds for c in own)
        on_gpu = held_gpus(record) > 0
        return Spent(
            trials=self.trials + 1,
            flops=self.flops + sum(c.flops for c in own),
            train_seconds=self.train_seconds + seconds,
            cpu_hours=self.cpu_hours + (0.0 if on_gpu else seconds / 3600),
            gpu_hours=self.gpu_hours + (seconds / 3600 * held_gpus(record)),
            labels=max(self.labels, record.labels_used),
            answered=self.answered | new.keys(),
        )

    def dollars(self, prices: Prices) -> float:
        """Return compute hours and labels at these prices [$].

        A price that is not given adds nothing.
        """
        return (
            self.cpu_hours * (prices.cpu_hour or 0.0)
            + self.gpu_hours * (prices.gpu_hour or 0.0)
            + self.labels * (prices.label or 0.0)
        )


def spent_by(records: Iterable[TrialRecord]) -> Spent:
    """Return what these records have cost together."""
    total = Spent()
    for record in records:
        total = total.plus(record)
    return total


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one run; whichever is reached first stops the search.

    No trial is cut off: what runs when a limit is reached runs to its end, so that the overshoot
    is at most the running trials.
    """

    trials: int
    """Records of the whole study, earlier runs included."""
    hours: float | None = None
    """Wall-clock time of this call [h]."""
    gpu_hours: float | None = None
    flops: float | None = None
    dollars: float | None = None
    prices: Prices = Prices()

    @classmethod
    def of(cls, study: Study, trials: int | None = None) -> Budget:
        """Return the study's limits.

        Raises InputError for a dollar limit without any price.
        """
        if study.dollars is not None and not any(
            (study.prices.cpu_hour, study.prices.gpu_hour, study.prices.label)
        ):
            raise InputError(
                f"study '{study.name}': a limit in dollars needs a price: "
                f"set prices.cpu_hour, prices.gpu_hour or prices.label"
            )
        return cls(
            trials if trials is not None else study.trials,
            study.hours,
            study.gpu_hours,
            study.flops,
            study.dollars,
            study.prices,
        )

    def reached(self, spent: Spent, hours: float) -> str | None:
        """Return the first limit that is reached, as a sentence; None if none is.

        >>> Budget(trials=2).reached(Spent(trials=2), hours=0.1)
        'all 2 trials have run'
        >>> Budget(trials=9, flops=1e9).reached(Spent(trials=2, flops=2e9), 0.1)
        'the budget of 1e+09 FLOPs is spent'
        """
        if spent.trials >= self.trials:
            return f"all {self.trials} trials have run"
        for unit, (used, limit) in self.used(spent, hours).items():
            if used >= limit:
                return f"the budget of {limit:g} {unit} is spent"
        return None

    def used(self, spent: Spent, hours: float) -> dict[str, tuple[float, float]]:
        """Return what is used of each limit that was set, and the limit, by unit."""
        limits = {
            "hours": (hours, self.hours),
            "GPU hours": (spent.gpu_hours, self.gpu_hours),
            "FLOPs": (spent.flops, self.flops),
            "dollars": (spent.dollars(self.prices), self.dollars),
        }
        return {k: (used, limit) for k, (used, limit) in limits.items() if limit is not None}
