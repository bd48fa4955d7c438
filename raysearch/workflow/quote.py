"""Predict what a study costs: trials, FLOPs, labels and hours."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from raysearch.config.study import Study
from raysearch.workflow.durations import span
from raysearch.workflow.prepare import Prepared

if TYPE_CHECKING:
    from raysearch.planning.planner import Planner

START_SECONDS = 30.0
"""Importing, starting Ray and its first workers, and writing the page [s]: 23 + 8 measured."""
DRAWS = 16
"""Searches at random that a price is the mean of: one alone is off by a factor of two."""
CONFIRMED = 0.6
"""What the candidates' own trials cost of a search: 0.52 and 0.67 measured on two."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a study is predicted to cost on this machine."""

    trials: int
    """Trials still to run."""
    flops: float
    labels: int
    hours: float
    draws: int = 0
    """Fresh draws of the candidates after the search; in `flops` and `hours`."""
    crossing: bool = False
    """A grid study: every cell on so many draws, nothing chosen."""

    def to_json(self) -> dict[str, float]:
        """Return it as plain JSON."""
        return {
            "trials": self.trials,
            "flops": self.flops,
            "labels": self.labels,
            "hours": round(self.hours, 4),
            "draws": self.draws,
        }

    def sentence(self) -> str:
        """Return it as a sentence."""
        again = f" and {self.draws} fresh draws of the best" if self.draws else ""
        if self.crossing and self.draws:
            again = f" on {self.draws} draws each"
        return (
            f"{self.trials} trials{again}, {self.flops:.2g} FLOPs, {self.labels:,} labels, "
            f"about {span(self.hours * 3600)} on this machine"
        )


def quote(prepared: Prepared, done: int = 0, *, confirm: bool = True) -> Quote:
    """Predict what is still to run: the mean of some searches at random over the same space.

    The confirming draws are priced as a share of the search: who is confirmed is not known yet.
    """
    from raysearch.tune.session import quiet

    study, world = prepared.run.study, prepared.world
    left = max(0, study.trials - done)
    searches = 1 if study.procedures else DRAWS
    with quiet():
        draws = [_draw(study.model_copy(update={"seed": s}), world, left) for s in range(searches)]
    flops, seconds, labels = zip(*draws, strict=True)
    again = (1 + CONFIRMED * study.draws) if confirm else 1.0
    if study.procedures and confirm:
        again = float(max(1, study.draws))  # every cell on every draw
    hours = (START_SECONDS + again * mean(seconds) / world.place.concurrency) / 3600
    times = study.draws if confirm else 0
    limit = study.hours or hours
    crossing = bool(study.procedures)
    return Quote(left, again * mean(flops), max(labels), min(hours, limit), times, crossing)


def _draw(study: Study, world: Planner, left: int) -> tuple[float, float, int]:
    """Return (FLOPs, seconds of work, labels) of one search at random, test scores included."""
    from raysearch.search.proposer import Proposer

    searcher = study.searcher if study.procedures else "random"
    proposer = Proposer(study.model_copy(update={"searcher": searcher}), world, study.trials)
    flops = seconds = 0.0
    seen: set[str] = set()
    labels = 0
    cells = set()
    for _ in range(left):
        suggestion = proposer.suggest()
        if suggestion is None:
            break
        if suggestion.infeasible:
            continue
        for config in (suggestion.config, *suggestion.config.upstream.values()):
            if config.id not in seen:
                seen.add(config.id)
                price = world.predicted_cost(config)
                flops, seconds = flops + price.own, seconds + price.seconds
                labels = max(labels, price.labels)
        cell = (suggestion.config.method, suggestion.config.rung, suggestion.config.data.train)
        if cell not in cells:
            cells.add(cell)
            seconds += world.test_seconds(suggestion.config)
    return flops, seconds, labels
