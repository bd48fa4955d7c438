"""One trial, without Ray: a configuration becomes a record. May call, may not compute."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch import __version__, scores
from raysearch.config.catalog import find_rung
from raysearch.config.task import Task
from raysearch.config.trial import ArtifactConfig, TrialConfig
from raysearch.data.crossfit import crossfit
from raysearch.data.rows import Logits, Rows
from raysearch.data.splits import held_back
from raysearch.data.task_data import TaskData
from raysearch.encoders.cloze import open_head
from raysearch.encoders.models import open_encoder
from raysearch.encoders.tokens import Tokeniser
from raysearch.errors import Infeasible, InputError
from raysearch.ledger import Ledger
from raysearch.methods import get as find_method
from raysearch.outputs import exit_rules
from raysearch.record import OperatingPoint, TrialRecord, point_id, score_event
from raysearch.storage.checkpoints import weights_digest
from raysearch.storage.store import load_state, save_state
from raysearch.training.graph import Graph
from raysearch.training.protocol import Context, Exiting, Learner, Telling
from raysearch.trial.context import Place, knobs_of, lengths_sample, prompt_of, question_of
from raysearch.trial.scoring import Judge, asked
from raysearch.trial.teaching import Taught

ANSWERED = 2**14
"""Texts that a teacher answers at once at most."""


def _same_task(config: TrialConfig, role: str, given: TrialConfig) -> None:
    """A teacher must have learnt the same labels in the same order, and never a row of the test."""
    if given.splits != config.splits:
        raise InputError(
            f"{role} {given.id}: was trained on other data or another order of labels than "
            f"task '{config.task}' (digest {given.splits}, the student's {config.splits})"
        )
    folds = (config.data.folds, config.data.folds and config.data.seed)
    if (given.data.folds, given.data.folds and given.data.seed) != folds:
        raise InputError(f"{role} {given.id}: was trained on rows that its student is tested on")


class TrialRun:
    """A trial at work: opened from its configuration, worked by slices, ended as a record."""

    def __init__(self, config: TrialConfig, place: Place, phase: str = "search") -> None:
        self.config = config
        self.place = place
        self.phase = phase
        self.ledger = Ledger()
        self.method = find_method(config.method)
        self._data = place.open_task()
        if self._data.digest != config.splits:
            raise InputError(
                f"task '{config.task}': the data has changed since the trial was planned "
                f"(digest {self._data.digest}, the trial says {config.splits})"
            )
        if config.data.folds:
            self._data = crossfit(self._data, config.data.folds, config.data.seed)
        self._labelled_rows, self._validation, self._unlabelled = self._rows()
        self._knobs = knobs_of(self.method, config.hyper)
        self._train, self._calibration = self._held()
        self._rung = find_rung(config.rung)
        self._store = place.open_store()
        self._teachers = {
            role: Taught(c, self._store, partial(TrialRun, c, place))
            for role, c in config.inputs.items()
            if isinstance(c, TrialConfig)
        }
        for role, taught in self._teachers.items():
            _same_task(config, role, taught.config)
        asked = config.inputs.get("question")
        if asked is not None and asked != self._question():
            raise InputError(
                f"task '{config.task}': its template or label words have changed since the trial "
                "was planned"
            )
        self._device = torch.device(place.device)
        self._folder = place.folder(self._rung)
        if self._folder is not None and weights_digest(self._folder) != config.weights:
            raise InputError(
                f"model '{config.rung}': its weights have changed since the trial was planned"
            )
        self._learner: Learner | None = None
        self._steps = 0
        self._done = False
        self._points: tuple[OperatingPoint, ...] = ()
        self._facts: Mapping[str, Any] = {}
        self._judge = Judge(config.id, self._data.digest, self._store, self.ledger)
        self._started = datetime.now(UTC).isoformat(timespec="seconds")

    def step(self, seconds: float = 1.0) -> bool:
        """Work for about that long; False when finished.

        Raises:
            FloatingPointError: the loss or a prediction is NaN or infinite.
        """
        end = time.monotonic() + seconds
        if self._learner is None and not self._done:
            self.begin()
        while not self._done:
            assert self._learner is not None
            with self.ledger.timed("train"):
                more = self._learner.step()
            self._steps += 1
            if not more:
                self._finish(self._learner)
                self._done = True
            if time.monotonic() >= end:
                break
        return not self._done

    def begin(self) -> None:
        """Open the learner, and charge what stands before its first step: labels and teachers.

        Opening a model is not timed: a process pays for its imports once, not every trial.

        Raises:
            Infeasible: the rows are too few, whatever a teacher would say.
        """
        parts = [rows for rows in (self._train, self._unlabelled) if len(rows)]
        if reason := self.method.lacks(self._knobs, self._rung, parts):
            raise Infeasible(reason)
        self.ledger.charge("train", labels=len(self._train))
        if len(self._calibration):
            self.ledger.charge("calibrate", labels=len(self._calibration))
        self.ledger.charge("validate", labels=len(self._validation))
        for taught in self._teachers.values():
            self.ledger.inherit(taught.bill(), taught.config.id)
            # apart: the answers to the same labelled rows serve every size of a pool
            for phase, rows in (("teacher", self._train), ("label", self._unlabelled)):
                if len(rows):
                    charge = replace(taught.labelling(rows), phase=phase)
                    self.ledger.inherit([charge], taught.config.id)
            taught.close()
        self._learner = self._build()

    def _question(self) -> ArtifactConfig | None:
        """What the trial asks here: one of the task's templates, and its label words."""
        if prompt_of(self._data.task) is None:
            return None
        knobs = knobs_of(self.method, self.config.hyper)
        return question_of(self._data.task, getattr(knobs, "template", 0))

    def _rows(self) -> tuple[Rows, Rows, Rows]:
        """Training, validation and unlabelled rows of the budget."""
        budget = self.config.data
        pool = self.config.inputs.get("pool")
        if not isinstance(pool, ArtifactConfig):
            return self._data.slice(budget)
        train, validation, _ = self._data.slice(replace(budget, unlabelled=0))
        corpus = self.place.corpus(self._data)
        if corpus is None or corpus.digest != pool.digest:
            raise InputError(
                f"pool '{self.place.pool or ''}': has changed since the trial was planned, "
                "or is not named"
            )
        return train, validation, corpus.take(budget.unlabelled, budget.seed)

    def _held(self) -> tuple[Rows, Rows]:
        """The labelled rows that are trained on, and those that calibrate, in like shares.

        Raises:
            Infeasible: the latter lack a class.
        """
        rows = self._labelled_rows
        held = self.method.calibration(self._knobs, len(rows))
        if not held:
            return rows, rows.take(np.empty(0, np.int64))
        assert rows.label is not None
        back = held_back(rows.label, held, rows.unit)
        found = set(rows.label[back].tolist())
        lack = [n for k, n in enumerate(self._data.task.label_names) if k not in found]
        if lack:
            raise Infeasible(
                f"calibration: {int(back.sum())} of {len(rows)} labelled rows are held back, "
                f"none of class '{lack[0]}'"
            )
        return rows.take(np.flatnonzero(~back)), rows.take(np.flatnonzero(back))

    def _build(self) -> Learner:
        """The learner, over a context that shows it neither paths nor the test split."""
        task: Task = self._data.task
        seeds = np.random.SeedSequence([self.config.init_seed, self.config.data.seed])
        torch_rng = torch.Generator()
        torch_rng.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
        folder = self._folder
        ctx = Context(
            rung=self._rung,
            classes=task.classes,
            regression=task.regression,
            train=self._train,
            validation=self._validation,
            ledger=self.ledger,
            rng=np.random.default_rng(seeds),
            torch_rng=torch_rng,
            max_length=task.max_length,
            horizon=self.config.horizon,
            precision=self.config.precision,
            device=self._device,
            prompt=prompt_of(task),
            pools={"unlabelled": self._unlabelled},
            calibration=self._calibration if len(self._calibration) else None,
            teacher=self._teachers.get("teacher"),
            open_encoder=None
            if folder is None
            else lambda: open_encoder(self._rung, folder, self._device),
            open_tokeniser=None if folder is None else lambda: self._tokeniser(folder),
            open_head=None
            if folder is None
            else lambda words: open_head(folder, words, self._device),
        )
        return self.method.learner(ctx, self._knobs)

    def _finish(self, learner: Learner) -> None:
        """Score every operating point on validation, reckon its costs, keep weights and logits.

        A confirming draw is scored on test at once, in every point that the search may have kept.
        The bill is kept for students.
        """
        confirms = self.phase == "confirm"
        rows = {"validation": self._validation} if len(self._validation) else {}
        if confirms:
            rows["test"] = self._data.splits["test"]
        sample = lengths_sample(self._data)
        tried = list(learner.points())
        costs = [float(learner.infer_flops(sample, knobs).mean()) for knobs in tried]
        if isinstance(learner, Exiting) and not confirms:
            criteria = [str(k["criterion"]) for k in tried]
            kept = exit_rules.thinned(costs, criteria, costs[0])
            tried, costs = [tried[i] for i in kept], [costs[i] for i in kept]
        points = []
        for knobs, cost in zip(tried, costs, strict=True):
            name = point_id([self.config.id], self._steps, knobs)
            judged = {
                split: self._judge.score(learner, name, knobs, split, judges)
                for split, judges in rows.items()
            }
            params, trained, stored = learner.size(knobs)
            points.append(
                OperatingPoint(
                    name,
                    self._steps,
                    dict(knobs),
                    scores=judged,
                    rows={split: len(judges) for split, judges in rows.items()},
                    exits=self._judge.exits_at(knobs, "validation"),
                    infer_flops=cost,
                    params=params,
                    params_trained=trained,
                    bytes=stored,
                )
            )
        self._points = tuple(points)
        self._facts = dict(learner.facts()) if isinstance(learner, Telling) else {}
        for taught in self._teachers.values():
            taught.close()
        self._store.build("weights", self.config.id, lambda f: save_state(f, learner.state()))
        self._store.build("bills", self.config.id, lambda f: {"bill": self.ledger.to_json()})

    def answers(self, rows: Rows) -> Logits:
        """Logits of the trained state on these rows, charged to `label`: what students learn."""
        assert self._learner is not None
        knobs = self._learner.points()[0]
        parts = [  # so that a corpus need not fit in memory
            self._learner.predict(rows.take(index), knobs, phase="label")
            for index in np.array_split(np.arange(len(rows)), -(-len(rows) // ANSWERED))
        ]
        return np.concatenate(parts)

    def ask(self, point: OperatingPoint, rows: Rows) -> Logits:
        """Logits (n, classes) of a finished trial's point on rows of any task; nothing is kept.

        Raises:
            FloatingPointError: a prediction is not a finite number.
        """
        assert self._learner is not None and not point.knobs.get("int8")
        return asked(self._learner, point.knobs, rows)

    def score(self, point: OperatingPoint, split: str) -> dict[str, Any]:
        """A `score` event of a finished trial's point on a whole split of the task."""
        if point.knobs.get("int8"):
            raise InputError(f"point {point.point_id}: int8 is scored by `raysearch export --int8`")
        rows = self._data.splits[split]
        assert self._learner is not None
        judged = self._judge.score(self._learner, point.point_id, point.knobs, split, rows)
        return score_event(self.config.id, point.point_id, split, len(rows), judged)

    def score_elsewhere(
        self, point: OperatingPoint, predict: Callable[[Rows], Logits]
    ) -> list[dict[str, Any]]:
        """`score` events of a further point of this trial that another runtime computes (int8).

        On the trial's own validation rows and on test; each event carries the point whole.
        """
        out: list[dict[str, Any]] = []
        rows_of = {"validation": self._validation, "test": self._data.splits["test"]}
        for split, rows in rows_of.items():
            if not len(rows):
                continue
            judged = self._judge.keep(point.point_id, split, rows, predict(rows))
            event = score_event(self.config.id, point.point_id, split, len(rows), judged)
            out.append({**event, "point": point.to_json()})
        return out

    def progress(self) -> dict[str, float]:
        """Steps so far and, once there is one, the main score on validation."""
        out = {"step": float(self._steps)}
        if self._points and "validation" in self._points[0].scores:
            out["score"] = self._points[0].scores["validation"][self._data.task.score]
        return out

    def save(self, folder: Path) -> None:
        """Write learner, step count and ledger as safetensors and JSON."""
        learner = {} if self._learner is None else self._learner.state()
        save_state(
            folder,
            {
                **{f"learner.{k}": v for k, v in learner.items()},
                "trial.id": self.config.id,
                "trial.steps": self._steps,
                "trial.built": self._learner is not None,
                "trial.done": self._done,
                "trial.points": [p.to_json() for p in self._points],
                "trial.facts": dict(self._facts),
                "trial.ledger": self.ledger.to_json(),
            },
        )

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote; the bill so far comes along."""
        state = load_state(folder)
        if state["trial.id"] != self.config.id:
            raise InputError(f"{folder.name}: is a checkpoint of another trial")
        if not state["trial.built"]:
            return
        self._learner = self._build()
        self._learner.restore(
            {k.removeprefix("learner."): v for k, v in state.items() if k.startswith("learner.")}
        )
        self._steps, self._done = int(state["trial.steps"]), bool(state["trial.done"])
        self._points = tuple(OperatingPoint(**p) for p in state["trial.points"])
        self._facts = state.get("trial.facts", {})
        self.ledger.restore(state["trial.ledger"])  # in place: the learner holds it too

    def restore_weights(self) -> bool:
        """Take the finished trial's kept weights; False when they were not kept."""
        folder = self._store.entry("weights", self.config.id)
        if folder is None:
            return False
        self._learner = self._build()
        self._learner.restore(load_state(folder))
        self._done = True
        return True

    def train(self) -> bool:
        """Come to the trained state: True by kept weights, False by training again by the id."""
        if self.restore_weights():
            return True
        while self.step(60.0):
            pass
        return False

    def graph(self, point: OperatingPoint) -> Graph:
        """What a point computes, float32; the trial is restored or trained first where it is not.

        The knob int8 is the export's, not the learner's: it is left out.
        """
        if self._learner is None or not self._done:
            self.train()
        assert self._learner is not None
        return self._learner.graph({k: v for k, v in point.knobs.items() if k != "int8"})

    def tokeniser(self) -> Tokeniser | None:
        """The rung's tokeniser, cut at the task's longest input; None for n-grams."""
        return None if self._folder is None else self._tokeniser(self._folder)

    def _tokeniser(self, folder: Path) -> Tokeniser:
        limit = min(self._data.task.max_length, self._rung.positions)
        return Tokeniser(folder, self._store, self._data.splits, self._data.digest, limit)

    @property
    def data(self) -> TaskData:
        """The task's data, as this trial sees them."""
        return self._data

    @property
    def validation(self) -> Rows:
        """The trial's own validation rows."""
        return self._validation

    @property
    def unlabelled(self) -> Rows:
        """The texts that the trial learns from without their labels."""
        return self._unlabelled

    @property
    def folder(self) -> Path | None:
        """The checkpoint that the trial starts from; None for n-grams."""
        return self._folder

    def kept_logits(self, point: str) -> Logits | None:
        """Logits of a point on `validation`, in its order; None where they were not kept."""
        return self._judge.kept(point, self._validation)

    def record(self) -> TrialRecord:
        """The record of the trial as it stands: DONE, or STOPPED before its end."""
        task = self._data.task
        return TrialRecord(
            id=self.config.id,
            config=self.config,
            status="DONE" if self._done else "STOPPED",
            hyper=asdict(self._knobs),
            phase=self.phase,
            step=self._steps,
            points=self._points,
            bill=tuple(self.ledger.bill()),
            labels_used=len(self._labelled(self.config)),
            unlabelled_used=len(self._unlabelled),
            score=task.score,
            made_by=made_by(self.config, self.place, self._started),
            facts=self._facts,
        )

    def _labelled(self, config: TrialConfig) -> set[tuple[str, int]]:
        """The labelled rows that a configuration and its teachers use, each once."""
        train, validation, _ = self._data.slice(replace(config.data, unlabelled=0))
        out = {(rows.split, int(i)) for rows in (train, validation) for i in rows.ids}
        return out.union(*(self._labelled(c) for c in config.teachers))

    def close(self) -> None:
        """Let go of the model."""
        self._learner = None
        for taught in self._teachers.values():
            taught.close()


def made_by(config: TrialConfig, place: Place, started: str | None = None) -> dict[str, Any]:
    """Versions, device, host, precision, concurrency at the time, and when."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        **{name: importlib.metadata.version(name) for name in ("torch", "transformers")},
        "raysearch": __version__,
        "python": platform.python_version(),
        "device": place.device,
        "device_name": _device_name(place),
        "gpus": place.gpus,
        "host": platform.node(),
        "precision": config.precision,
        "threads": place.threads,
        "concurrency": place.concurrency,
        "started": started or now,
        "ended": now,
    }


def _device_name(place: Place) -> str:
    if not place.device.startswith("cuda"):
        return platform.machine()
    # the driver, who writes of trials that died, may have no GPU itself
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def failed_record(
    config: TrialConfig,
    place: Place,
    phase: str,
    status: str,
    error: str,
    hyper: Mapping[str, Any],
) -> TrialRecord:
    """The record of a trial that did not come to an end: FAILED or INFEASIBLE, with its reason."""
    return TrialRecord(
        id=config.id,
        config=config,
        status=status,
        hyper=dict(hyper),
        phase=phase,
        score=str(place.task.get("score", scores.DEFAULT)),
        error=error,
        made_by=made_by(config, place),
    )


def score_points(
    config: TrialConfig, place: Place, points: Sequence[OperatingPoint], split: str
) -> list[dict[str, Any]]:
    """`score` events of points of one trial: from the kept weights, or by training it again."""
    run = TrialRun(config, place)
    try:
        run.train()
        return [run.score(point, split) for point in points]
    finally:
        run.close()
