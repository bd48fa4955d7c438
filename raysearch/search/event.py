"""Events of a running study, for its watchers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a study is, at one moment."""

    name: str
    wanted: int
    """Trials the study is to have in all."""
    by_status: Mapping[str, int] = field(default_factory=dict)
    running: int = 0
    best: Mapping[str, float] = field(default_factory=dict)
    """Best validation score by method."""
    frontier: int = 0
    """Size of the frontier so far over the study's objectives, on validation."""
    flops: float = 0.0
    """Spent so far [FLOP]."""
    train_seconds: float = 0.0
    seconds: float = 0.0
    """Wall-clock time of this run [s]."""
    eta: float | None = None
    """Seconds until the trials have run at the pace so far; None before the first record [s]."""
    used: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By budget: (used, limit), in the budget's own unit."""
    parked: int = 0
    """Students that wait for their teachers, outside any slot."""

    @property
    def done(self) -> int:
        """Return the number of records so far, whatever their status."""
        return sum(self.by_status.values())


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, as a line for a person, with the state after it."""

    kind: str
    """`begin`, `start`, `progress`, `record`, `note`, `score` or `end`."""
    text: str
    snapshot: Snapshot
    id: str = ""
    """The trial it is about."""
    data: Mapping[str, float] = field(default_factory=dict)
    """Numbers of a `progress` event: step and score."""
