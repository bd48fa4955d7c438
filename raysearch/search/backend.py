"""Protocols of what a search needs: configurations, prices, an execution place and trials to run.

The implementations live in `trial/` and `planning/`; the tests bring their own. Nothing in a
configuration file ever names code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from raysearch.config.space import Proposal, SearchSpace
from raysearch.config.trial import TrialConfig
from raysearch.costs.memory import MemoryEstimate
from raysearch.record import OperatingPoint, TrialRecord


class Price(Protocol):
    """What a trial is predicted to cost."""

    @property
    def flops(self) -> float:
        """Return the training FLOPs [FLOP]."""

    @property
    def seconds(self) -> float:
        """Return the wall-clock time on this machine [s]."""


class Planner(Protocol):
    """The driver's side: turns proposals into configurations and keeps the store small."""

    @property
    def space(self) -> SearchSpace:
        """Return the joint space of what may be proposed."""

    @property
    def place(self) -> Any:
        """Return where trials run: it has `device`, `gpus`, `threads` and `concurrency`."""

    def configure(self, proposal: Proposal) -> TrialConfig:
        """Return the whole configuration of a proposal.

        Raises Infeasible when it cannot be run here.
        """

    def predicted_cost(self, config: TrialConfig) -> Price:
        """Return the predicted cost of a configuration."""

    def crossing(self) -> Sequence[Proposal]:
        """Return every proposal of a grid study, each teacher before its students.

        Empty for a search.
        """

    def keep(self, ids: Set[str]) -> None:
        """Drop the kept weights of every trial but these."""

    def demands(self) -> Mapping[tuple[str, str], MemoryEstimate]:
        """Return what trials need, by method and model, teachers included."""

    def ship(self) -> Any:
        """Upload what trials read; return the place as workers see it."""

    def fetch(self) -> None:
        """Download into the run's folder the files that its readers expect."""


class Trial(Protocol):
    """One running trial, without Ray."""

    def step(self, seconds: float = 1.0) -> bool:
        """Train for about that many seconds [s]; return False when finished."""

    def progress(self) -> dict[str, float]:
        """Return the progress: `step`, and `score` (larger is better) once there is one."""

    def save(self, folder: Path) -> None:
        """Write everything needed to continue, as safetensors and JSON."""

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote."""

    def record(self) -> TrialRecord:
        """Return the record, once `step` has returned False."""

    def close(self) -> None:
        """Release memory and files."""


@dataclass(frozen=True, slots=True)
class TrialBackend:
    """What workers call: three importable functions, so that they can be sent to processes."""

    open: Callable[[TrialConfig, Any, str], Trial]
    """(config, place, phase) -> a trial."""
    failed: Callable[[TrialConfig, Any, str, str, str, Mapping[str, Any]], TrialRecord]
    """(config, place, phase, status, error, hyper) -> the record of a trial that did not end."""
    score: Callable[[TrialConfig, Any, Sequence[OperatingPoint], str], list[dict[str, Any]]]
    """(config, place, points of one trial, split) -> their `score` events."""


def trial_backend() -> TrialBackend:
    """Return the functions that run real trials; imports torch."""
    from raysearch.trial.records import failed_record
    from raysearch.trial.run import TrialRun
    from raysearch.trial.trained import score_points

    return TrialBackend(TrialRun, failed_record, score_points)
