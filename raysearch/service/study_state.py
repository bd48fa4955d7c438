"""What a study is, and the states it goes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["queued", "starting", "running", "stopping", "done", "failed", "stopped"]
ACTIVE: frozenset[Kind] = frozenset({"starting", "running", "stopping"})
"""States in which a job exists, or is about to."""
ENDED: frozenset[Kind] = frozenset({"done", "failed", "stopped"})
Verb = Literal["frontier", "confirm", "export"]


@dataclass(frozen=True, slots=True)
class Spec:
    """The description of a study; written once."""

    id: str
    owner: str
    created: float
    task: str
    study: str
    arguments: Sequence[str]
    """Options of `raysearch frontier` for the first time; later they are in the run's folder."""
    datasets: Sequence[str] = ()
    """Ids of the owner's data sets that it reads."""
    concurrency: int | None = None
    """Trials at once at most; None: what the queue gives."""
    gpus: int = 0
    gpus_per_trial: float | None = None
    """None: what each trial is predicted to need."""
    quote: Mapping[str, Any] = field(default_factory=dict)
    """What it was predicted to take."""
    key: str = ""
    """What its owner's program calls the request: sent again, it makes no second study."""

    @property
    def devices(self) -> list[str]:
        """Return the option that keeps a study to the GPUs it waits for."""
        if not self.gpus:
            return ["--gpus-per-trial=0"]
        return [] if self.gpus_per_trial is None else [f"--gpus-per-trial={self.gpus_per_trial:g}"]


@dataclass(frozen=True, slots=True)
class State:
    """The state of a study; each change makes a new one, and all are kept."""

    time: float
    state: Kind
    verb: Verb = "frontier"
    words: Sequence[str] = ()
    """Further options of the verb."""
    job: str = ""
    """The Ray Job at work, or the last one."""
    concurrency: int = 0
    """Trials at once that the queue has given."""
    attempt: int = 0
    """Jobs so far."""
    lost: int = 0
    """Jobs in a row that vanished without an end of their own."""
    recorded: int = 0
    """How long its records were when that job started [bytes]."""
    why: str = ""


def run_in(folder: Path) -> Path:
    """Return the run's folder in a study's.

    >>> run_in(Path("studies/toy-1f2e")).as_posix()
    'studies/toy-1f2e/toy-1f2e'
    """
    return folder / folder.name
