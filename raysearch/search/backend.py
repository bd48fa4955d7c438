"""What a study needs of the world around it: configurations, prices, a place, and trials to run.

The names here are protocols: the true ones live in `trial/run.py`, the tests bring their own.
Nothing in a configuration file ever names code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from raysearch.config.space import Proposal, SearchSpace
from raysearch.config.trial import TrialConfig
from raysearch.costs.memory import Demand
from raysearch.record import OperatingPoint, TrialRecord


class Price(Protocol):
    """What a trial is predicted to cost."""

    @property
    def flops(self) -> float:
        """Training FLOPs [FLOP]."""

    @property
    def seconds(self) -> float:
        """Wall-clock time on this machine [s]."""


class World(Protocol):
    """The driver's side: turns proposals into configurations and keeps the store small."""

    @property
    def space(self) -> SearchSpace:
        """What may be proposed."""

    @property
    def place(self) -> Any:
        """Where trials run: a dataclass with `device`, `gpus`, `threads` and `concurrency`."""

    def configure(self, proposal: Proposal) -> TrialConfig:
        """The whole configuration of a proposal; Infeasible when it cannot be run here."""

    def price(self, config: TrialConfig) -> Price:
        """The predicted cost of a configuration."""

    def crossing(self) -> Sequence[Proposal]:
        """Every proposal of a grid study, each teacher before its students; empty for a search."""

    def keep(self, ids: Set[str]) -> None:
        """Drop the kept weights of every trial but these."""

    def demands(self) -> Mapping[tuple[str, str], Demand]:
        """What trials need, by method and model, teachers included."""

    def ship(self) -> Any:
        """The place as workers know it, once what they need is where they find it."""

    def fetch(self) -> None:
        """Have in the run's folder what its readers look for there."""


class Trial(Protocol):
    """One trial at work, without Ray."""

    def step(self, seconds: float = 1.0) -> bool:
        """Work for about that long; False when finished."""

    def progress(self) -> dict[str, float]:
        """How far it is: `step`, and `score` (larger is better) once there is one."""

    def save(self, folder: Path) -> None:
        """Write everything needed to go on, as safetensors and JSON."""

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""

    def record(self) -> TrialRecord:
        """The record, once `step` has returned False."""

    def close(self) -> None:
        """Let go of memory and files."""


@dataclass(frozen=True, slots=True)
class Kit:
    """The three things workers do, as importable functions: they travel to other processes."""

    open: Callable[[TrialConfig, Any, str], Trial]
    """(config, place, phase) -> a trial."""
    failed: Callable[[TrialConfig, Any, str, str, str, Mapping[str, Any]], TrialRecord]
    """(config, place, phase, status, error, hyper) -> the record of a trial that did not end."""
    score: Callable[[TrialConfig, Any, Sequence[OperatingPoint], str], list[dict[str, Any]]]
    """(config, place, points of one trial, split) -> their `score` events."""


def real_kit() -> Kit:
    """The kit of true trials; imports torch."""
    from raysearch.trial.records import failed_record
    from raysearch.trial.run import TrialRun
    from raysearch.trial.trained import score_points

    return Kit(TrialRun, failed_record, score_points)
