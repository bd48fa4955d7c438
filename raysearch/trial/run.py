"""One running trial, without Ray: a configuration becomes a record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.config.trial import TrialConfig
from raysearch.data.rows import Logits, Rows
from raysearch.errors import InputError
from raysearch.ledger import Ledger
from raysearch.record import OperatingPoint, TrialRecord, point_id
from raysearch.storage.store import facts, load_state, save_state
from raysearch.training.protocol import HasFacts, Learner, Making
from raysearch.trial.context import ExecutionContext, lengths_sample
from raysearch.trial.inputs import KINDS
from raysearch.trial.records import made_by
from raysearch.trial.scoring import Scorer
from raysearch.trial.setup import TrialSetup

ANSWERED = 2**14
"""Texts that a model predicts at once at most, when another trial learns from it."""


class TrialRun:
    """A running trial: opened from its configuration, run by slices, ended as a record."""

    def __init__(self, config: TrialConfig, place: ExecutionContext, phase: str = "search") -> None:
        self.config, self.place, self.phase = config, place, phase
        self.ledger = Ledger()
        self.setup = TrialSetup(config, place, partial(TrialRun, place=place))
        self.learner: Learner | None = None
        self.done = False
        self.scorer = Scorer(config.id, self.setup.data.digest, self.setup.store, self.ledger)
        self._steps = 0
        self._points: tuple[OperatingPoint, ...] = ()
        self._facts: Mapping[str, Any] = {}
        self._started = datetime.now(UTC).isoformat(timespec="seconds")

    def step(self, seconds: float = 1.0) -> bool:
        """Train for about that many seconds [s]; return False when finished.

        Raises:
            FloatingPointError: the loss or a prediction is NaN or infinite.
        """
        end = time.monotonic() + seconds
        if self.learner is None and not self.done:
            self.begin()
        while not self.done:
            assert self.learner is not None
            with self.ledger.timed("train"):
                more = self.learner.step()
            self._steps += 1
            if not more:
                self._finish(self.learner)
                self.done = True
            if time.monotonic() >= end:
                break
        return not self.done

    def begin(self) -> None:
        """Open the learner; charge what comes before its first step: labels and inputs.

        Opening a model is not timed: a process pays for its imports once, not every trial.

        Raises:
            Infeasible: the rows are too few, with any teacher.
        """
        self.setup.charge(self.ledger)
        self.learner = self.setup.learner(self.ledger)

    def _finish(self, learner: Learner) -> None:
        """Score every operating point on validation, compute its costs, keep weights and logits.

        A confirming draw is scored on test at once, in every point that the search may have kept.
        The bill is kept for students.
        """
        confirms = self.phase == "confirm"
        rows = {"validation": self.setup.validation} if len(self.setup.validation) else {}
        if confirms:
            rows["test"] = self.setup.data.splits["test"]
        sample = lengths_sample(self.setup.data)
        points = []
        for knobs in learner.points(None if confirms else sample):
            cost = float(learner.infer_flops(sample, knobs).mean())
            name = point_id([self.config.id], self._steps, knobs)
            judged = {
                split: self.scorer.score(learner, name, knobs, split, judges)
                for split, judges in rows.items()
            }
            params, trained, stored = learner.size(knobs)
            words = self.setup.method.words(knobs)
            points.append(
                OperatingPoint(
                    name,
                    self._steps,
                    dict(knobs),
                    scores=judged,
                    rows={split: len(judges) for split, judges in rows.items()},
                    exits=self.scorer.shares(knobs, "validation"),
                    label=words.label,
                    curve=words.curve,
                    infer_flops=cost,
                    params=params,
                    params_trained=trained,
                    bytes=stored,
                )
            )
        self._points = tuple(points)
        self._facts = dict(learner.facts()) if isinstance(learner, HasFacts) else {}
        self.setup.close()
        if isinstance(learner, Making):
            made = self.setup.store.build(
                KINDS[self.setup.method.gives], self.config.id, lambda f: dict(learner.write(f))
            )
            self._facts = {**self._facts, **facts(made)}
        self.setup.store.build("weights", self.config.id, lambda f: save_state(f, learner.state()))
        self.setup.store.build("bills", self.config.id, lambda f: {"bill": self.ledger.to_json()})

    def progress(self) -> dict[str, float]:
        """Return the steps so far and, once there is one, the main score on validation."""
        out = {"step": float(self._steps)}
        if self._points and "validation" in self._points[0].scores:
            out["score"] = self._points[0].scores["validation"][self.setup.data.task.score]
        return out

    def save(self, folder: Path) -> None:
        """Write learner, step count and ledger as safetensors and JSON."""
        learner = {} if self.learner is None else self.learner.state()
        save_state(
            folder,
            {
                **{f"learner.{k}": v for k, v in learner.items()},
                "trial.id": self.config.id,
                "trial.steps": self._steps,
                "trial.built": self.learner is not None,
                "trial.done": self.done,
                "trial.points": [p.to_json() for p in self._points],
                "trial.facts": dict(self._facts),
                "trial.ledger": self.ledger.to_json(),
            },
        )

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote, the bill so far included."""
        state = load_state(folder)
        if state["trial.id"] != self.config.id:
            raise InputError(f"{folder.name}: is a checkpoint of another trial")
        if not state["trial.built"]:
            return
        self.learner = self.setup.learner(self.ledger)
        self.learner.restore(
            {k.removeprefix("learner."): v for k, v in state.items() if k.startswith("learner.")}
        )
        self._steps, self.done = int(state["trial.steps"]), bool(state["trial.done"])
        self._points = tuple(OperatingPoint(**p) for p in state["trial.points"])
        self._facts = state.get("trial.facts", {})
        self.ledger.restore(state["trial.ledger"])  # in place: the learner refers to it too

    def restore_weights(self) -> bool:
        """Restore the finished trial's kept weights; return False if they were not kept."""
        folder = self.setup.store.entry("weights", self.config.id)
        if folder is None:
            return False
        self.learner = self.setup.learner(self.ledger)
        self.learner.restore(load_state(folder))
        self.done = True
        return True

    def train(self) -> bool:
        """Restore the trained state, or train again.

        Return True if the weights were kept, False if the trial was trained again by its id.
        """
        if self.restore_weights():
            return True
        while self.step(60.0):
            pass
        return False

    def record(self) -> TrialRecord:
        """Return the record of the trial so far: DONE, or STOPPED before its end."""
        task = self.setup.data.task
        return TrialRecord(
            id=self.config.id,
            config=self.config,
            status="DONE" if self.done else "STOPPED",
            hyper=asdict(self.setup.knobs),
            phase=self.phase,
            step=self._steps,
            points=self._points,
            bill=tuple(self.ledger.bill()),
            labels_used=len(self.setup.labelled_rows()),
            unlabelled_used=len(self.setup.unlabelled),
            score=task.score,
            made_by=made_by(self.config, self.place, self._started),
            facts=self._facts,
        )

    def answers(self, rows: Rows) -> Logits:
        """Return logits of the trained state on these rows, charged to `label`."""
        assert self.learner is not None
        knobs = self.learner.points()[0]
        parts = [  # so that a corpus need not fit in memory
            self.learner.predict(rows.take(index), knobs, phase="label")
            for index in np.array_split(np.arange(len(rows)), -(-len(rows) // ANSWERED))
        ]
        return np.concatenate(parts)

    def close(self) -> None:
        """Release the model."""
        self.learner = None
        self.setup.close()
