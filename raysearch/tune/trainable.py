"""One trial as a Ray Tune class trainable that never raises.

A trainable that raises costs its actor, and the next trial pays a new process (seconds); any
failure here is caught and becomes a FAILED or INFEASIBLE record with a one-line reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any, ClassVar

from ray import tune
from ray.tune import PlacementGroupFactory

from raysearch.cluster.preflight import NodeMismatch, StorageProbe
from raysearch.cluster.resources import ResourceRequest
from raysearch.config.trial import TrialConfig
from raysearch.errors import Infeasible, RaysearchError, RecordError
from raysearch.record import TrialRecord
from raysearch.search.backend import Trial, TrialBackend
from raysearch.storage.remote import StorageLost
from raysearch.storage.trial_checkpoints import TrialCheckpoints

SAVE_SHARE = 0.05
"""Checkpoints may take at most this part of a trial's time."""

SPENT = ("step", "bill", "labels_used", "unlabelled_used")
"""What a broken trial's record takes over from the trial."""


class TrialTrainable(tune.Trainable):
    """Runs trials one after the other in one process; `bind_trainable` sets what they share."""

    kit: ClassVar[TrialBackend]
    place: ClassVar[Any]
    phase: ClassVar[str]
    saves: ClassVar[TrialCheckpoints]
    mark: ClassVar[StorageProbe]
    save_every: ClassVar[float]
    """Seconds of work between two checkpoints [s]."""
    slice_seconds: ClassVar[float] = 1.0

    _trial: Trial | None = None
    _ended = False
    _saved_at = 0.0
    _save_cost = 0.0

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """Return one trial's resources; Tune calls it before it starts an actor."""
        return PlacementGroupFactory([ResourceRequest(**json.loads(config["holds"])).resources])

    def setup(self, config: dict[str, Any]) -> None:
        """Store a trial's configuration; nothing is opened yet, since nothing here may raise."""
        value = json.loads(config["trial"])
        self._config = TrialConfig.from_json(value["config"])
        self._hyper = value["hyper"]
        self._place = placed(self.place, ResourceRequest(**json.loads(config["holds"])))
        self._ended = False
        self._saved_at = time.monotonic()
        self._save_cost = 0.0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Switch to another trial, in the same process."""
        self._leave()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for about a second; the last result has the record."""
        log = ""
        try:
            if self._trial is None:
                log = self._open()
            assert self._trial is not None
            if self._trial.step(self.slice_seconds):
                log += self._save_when_due()
                return {**self._trial.progress(), "done": False, "log": log}
            text = _text(self._trial.record())
        except Infeasible as e:
            text = self._failed("INFEASIBLE", str(e))
        except (StorageLost, NodeMismatch) as e:  # no fault of the trial's: the study stops
            self._leave()
            return {"done": True, "fault": str(e), "log": log}
        except RaysearchError as e:
            text = self._failed("FAILED", str(e))
        except (Exception, SystemExit) as e:  # anything may be broken: report it and stay alive
            log += traceback.format_exc()
            text = self._failed("FAILED", sentence(e))
        self._ended = True
        self._leave()
        return {"done": True, "record": text, "log": log}

    def _failed(self, status: str, error: str) -> str:
        """Return the record of a failed trial, with the bill of what it did before."""
        record = self.kit.failed(self._config, self._place, self.phase, status, error, self._hyper)
        if self._trial is not None:
            with contextlib.suppress(Exception):  # whatever broke the trial may break this too
                so_far = self._trial.record()
                spent = {name: getattr(so_far, name) for name in SPENT}
                record = dataclasses.replace(record, **spent)
        return _text(record)

    def _open(self) -> str:
        """Open the trial, from its checkpoint where there is one; return what to log."""
        self.mark.check()
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(self._place.threads)
        self._trial = self.kit.open(self._config, self._place, self.phase)
        newest = self.saves.newest(self._config.id)
        if newest is None:
            return ""
        try:
            self._trial.load(newest)
            return f"{self._config.id}: goes on from {newest.name}\n"
        except Exception:  # a checkpoint cut short by a power loss: start over rather than fail
            self._trial.close()
            self._trial = self.kit.open(self._config, self._place, self.phase)
            return f"{self._config.id}: checkpoint unreadable, starts over\n" + (
                traceback.format_exc()
            )

    def _save_when_due(self) -> str:
        """Write a checkpoint every `save_every` seconds, less often where writing is slow."""
        waited = time.monotonic() - self._saved_at
        if waited < max(self.save_every, self._save_cost / SAVE_SHARE):
            return ""
        return self._save()

    def _save(self) -> str:
        """Write a checkpoint beside the last one, then drop the last one."""
        assert self._trial is not None
        start = time.monotonic()
        try:
            self.saves.save(self._config.id, self._trial.save)
            self._save_cost = time.monotonic() - start
            return ""
        except Exception:  # a full disk costs the checkpoint, not the trial
            return f"{self._config.id}: checkpoint not written\n{traceback.format_exc()}"
        finally:
            self._saved_at = time.monotonic()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write Tune's own checkpoint, should a scheduler pause the trial."""
        if self._trial is not None:
            self._trial.save(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Continue from Tune's own checkpoint."""
        folder = Path(checkpoint)
        if any(p for p in folder.iterdir() if not p.name.startswith(".")):
            self._trial = self.kit.open(self._config, self._place, self.phase)
            self._trial.load(folder)

    def cleanup(self) -> None:
        """Save an unfinished trial's checkpoint, for a later resume, as Tune stops the actor."""
        if self._trial is not None and not self._ended:
            self._save()
        self._leave()

    def _leave(self) -> None:
        trial, self._trial = self._trial, None
        with contextlib.suppress(Exception):  # a failure to tidy up does no harm either
            self.saves.leave(self._config.id)
        if trial is not None:
            try:
                trial.close()
            except Exception:  # a failure to close does no harm: the record is complete
                traceback.print_exc(file=sys.stderr)


def bind_trainable(
    kit: TrialBackend,
    place: Any,
    phase: str,
    saves: TrialCheckpoints,
    mark: StorageProbe,
    save_every: float,
) -> type[TrialTrainable]:
    """Return the trainable of one study: a subclass that carries what all its trials share."""
    shared = {
        "kit": kit,
        "place": place,
        "phase": phase,
        "saves": saves,
        "mark": mark,
        "save_every": save_every,
    }
    return type("Trial", (TrialTrainable,), shared)


def placed(place: Any, hold: ResourceRequest) -> Any:
    """Return the place of one trial.

    It has the trial's threads, and its device where it holds a part of one.
    """
    device = "cuda" if hold.gpus else "cpu"
    return dataclasses.replace(place, threads=hold.threads, device=device, gpus=hold.gpus)


def sentence(error: BaseException) -> str:
    r"""Return an exception as one line: its type and the first line of its message.

    >>> sentence(ValueError("too long\nsecond line"))
    'ValueError: too long'
    """
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    name = type(error).__name__
    return f"{name}: {first}"[:500] if first else name


def _text(record: TrialRecord) -> str:
    try:
        return json.dumps(record.to_json(), allow_nan=False)
    except ValueError as e:  # refused here, where it still can become a FAILED record
        raise RecordError("a score or cost of the trial is NaN or infinite") from e
