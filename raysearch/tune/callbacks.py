"""Tune's callbacks: pass reports to the controller, stop the run, and find the cause of a crash."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.stopper import Stopper

from raysearch.errors import RecordError
from raysearch.search.controller import StudyController
from raysearch.tune.trainable import sentence

NODE_LOST = ("its node has died", "temporarily unavailable")
"""In the text of Ray's error when the machine went or its link did, not only the process.

NOTE: goes by Ray 2.60's words. Lost nodes were seen to give these two; a process killed on a living
node gave neither.
"""
NODES = 5
"""Nodes that one trial may lose beside its own failures: more, and it may be what kills them."""


class RayCallback(Callback):
    """Passes Tune's callbacks on to the desk."""

    def __init__(self, desk: StudyController) -> None:
        self._desk = desk
        self._nodes: Counter[str] = Counter()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a process has started a trial."""
        id_ = trial.config["id"]
        actor = trial.temporary_state.ray_actor
        self._desk.actors[id_] = actor._actor_id.hex() if actor is not None else ""
        self._desk.started(id_)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Report progress or, at the end, the record.

        The record is removed from Tune's own state here.
        """
        id_ = trial.config["id"]
        if log := result.pop("log", ""):
            self._desk.log(log)
        if fault := result.pop("fault", ""):
            self._desk.fault = RecordError(fault)
        elif text := result.pop("record", ""):
            self._desk.take_json(text)
        else:
            self._desk.progressed(id_, result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a process died; Tune restarts the trial from its checkpoint.

        A node that was lost (a spot machine taken away) is no fault of the trial: up to a limit it
        is not counted among its failures, of which Tune forgives one.
        """
        id_ = trial.config["id"]
        what = "a worker died"
        last = _error_text(trial).rpartition("Failure #")[2]
        if any(text in last for text in NODE_LOST):
            what = "its node was lost"
            self._nodes[id_] += 1
            if self._nodes[id_] <= NODES:
                trial.run_metadata.num_failures -= 1
        self._desk.emit("note", f"{what}; its trial goes on", id_)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the failure of a trial whose process died once too often."""
        text = _error_text(trial)
        self._desk.log(f"{trial.config['id']}: {text}")
        self._desk.lose(trial.config["id"], f"the worker died twice: {_cause(text)}")

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> RayCallback:
        return self


def _error_text(trial: Any) -> str:
    """Return Tune's text about a trial's failures; empty where it cannot be read."""
    try:
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    except (OSError, TypeError):
        return ""


class StudyStopper(Stopper):
    """Ends the fit at once when the desk requests it; running trials keep their checkpoints."""

    def __init__(self, desk: StudyController) -> None:
        self._desk = desk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return False: no single trial is stopped."""
        return False

    def stop_all(self) -> bool:
        """Return True if the whole run must stop."""
        return self._desk.stop_now or self._desk.fault is not None

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> StudyStopper:
        return self


def _cause(text: str) -> str:
    """Return the telling line of Tune's text about a failed trial."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Failure #")]
    died = [line for line in lines if "died" in line or "Error" in line]
    return (died or lines or ["no reason was given"])[-1][:300]


def blame(error: BaseException, actors: Mapping[str, str]) -> tuple[str, set[str]]:
    """Return why Tune crashed, and which trials caused it, from the chain of exceptions."""
    chain: list[BaseException] = []
    while error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__ or error
    for link in chain:
        if isinstance(link, ray.exceptions.OutOfMemoryError):
            used = _memory(str(link))
            gigabytes = {id_: used[actor] for id_, actor in actors.items() if actor in used}
            # Ray kills the latest actors, several at once; the one with most memory is the cause.
            dear = max(used.values(), default=0.0)
            return "killed for memory", {id_ for id_, gb in gigabytes.items() if 2 * gb >= dear}
    return sentence(chain[0]), set()


def _memory(text: str) -> dict[str, float]:
    """Return the memory of each actor that Ray killed [GB], parsed from its message.

    >>> _memory("Selected to kill: (Actor(0f4b): pid=2, actual memory used=0.11GB, worker ID=c)")
    {'0f4b': 0.11}
    """
    pairs = re.findall(r"Actor\((\w+)\).*?memory used=([\d.]+)GB", text)
    return {actor: float(gb) for actor, gb in pairs}
