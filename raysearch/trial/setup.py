"""The parts of one trial: data, rows, knobs, inputs and model, opened by its configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import torch

from raysearch.config.catalog import find_rung
from raysearch.config.task import Task
from raysearch.config.trial import TrialConfig
from raysearch.data.crossfit import crossfit
from raysearch.data.rows import Rows
from raysearch.data.splits import held_back
from raysearch.encoders.cloze import open_head
from raysearch.encoders.models import open_encoder
from raysearch.encoders.tokens import Tokeniser
from raysearch.errors import Infeasible, InputError
from raysearch.ledger import Ledger
from raysearch.stages import find
from raysearch.storage.checkpoints import weights_digest
from raysearch.training.protocol import Checkpoint, Context, Learner
from raysearch.trial.context import ExecutionContext, parse_knobs
from raysearch.trial.inputs import (
    Adapter,
    OpenRun,
    Setting,
    TextsInput,
    open_input,
)


class TrialSetup:
    """A configuration on a machine, checked against the data and weights there.

    Args:
        config: the trial.
        place: where it runs.
        open_run: opens the trials behind it, where the Store has lost what they made.

    Raises:
        InputError: data, weights, a corpus or a question have changed since it was planned.
        Infeasible: the labelled rows cannot be divided as the method needs them.
    """

    def __init__(self, config: TrialConfig, place: ExecutionContext, open_run: OpenRun) -> None:
        self.config, self.place = config, place
        self.method = find(config.method)
        self.data = place.open_task()
        if self.data.digest != config.splits:
            raise InputError(
                f"task '{config.task}': the data has changed since the trial was planned "
                f"(digest {self.data.digest}, the trial says {config.splits})"
            )
        if config.data.folds:
            self.data = crossfit(self.data, config.data.folds, config.data.seed)
        self.knobs = parse_knobs(self.method, config.hyper)
        self.rung = find_rung(config.rung)
        self.store = place.open_store()
        self.device = torch.device(place.device)
        at = Setting(
            config, place, self.data, self.store, open_run, getattr(self.knobs, "template", 0)
        )
        self.inputs: dict[str, Adapter] = {
            i.role: open_input(i, config.inputs.get(i.role), at)
            for i in self.method.inputs
            if i.wanted(self.knobs) and (i.role in config.inputs or not i.optional)
        }
        self._labelled, self.validation, self.unlabelled = self._rows()
        self.train, self.calibration = self._split_calibration()
        self.folder = place.folder(self.rung)
        """The rung's own checkpoint; None for n-grams."""
        if self.folder is not None and weights_digest(self.folder) != config.weights:
            raise InputError(
                f"model '{config.rung}': its weights have changed since the trial was planned"
            )

    def _rows(self) -> tuple[Rows, Rows, Rows]:
        """Return training, validation and unlabelled rows of the budget."""
        budget = self.config.data
        pools = [a for a in self.inputs.values() if isinstance(a, TextsInput)]
        if not pools:
            return self.data.slice(budget)
        train, validation, _ = self.data.slice(replace(budget, unlabelled=0))
        return train, validation, pools[0].rows()

    def _split_calibration(self) -> tuple[Rows, Rows]:
        """Return the labelled rows that are trained on, and those that calibrate, in like shares.

        Raises:
            Infeasible: the latter lack a class.
        """
        rows = self._labelled
        count = self.method.calibration(self.knobs, len(rows))
        if not count:
            return rows, rows.take(np.empty(0, np.int64))
        assert rows.label is not None
        back = held_back(rows.label, count, rows.unit)
        classes = set(rows.label[back].tolist())
        lack = [n for k, n in enumerate(self.data.task.label_names) if k not in classes]
        if lack:
            raise Infeasible(
                f"calibration: {int(back.sum())} of {len(rows)} labelled rows are held back, "
                f"none of class '{lack[0]}'"
            )
        return rows.take(np.flatnonzero(~back)), rows.take(np.flatnonzero(back))

    def charge(self, ledger: Ledger) -> None:
        """Charge what comes before the first step: labels, and what the inputs cost.

        Raises:
            Infeasible: the rows are too few, with any teacher.
        """
        parts = [rows for rows in (self.train, self.unlabelled) if len(rows)]
        if reason := self.method.check_data(self.knobs, self.rung, parts):
            raise Infeasible(reason)
        ledger.charge("train", labels=len(self.train))
        if len(self.calibration):
            ledger.charge("calibrate", labels=len(self.calibration))
        ledger.charge("validate", labels=len(self.validation))
        for adapter in self.inputs.values():
            adapter.charge(ledger, self.train, self.unlabelled)
            adapter.close()

    def learner(self, ledger: Ledger) -> Learner:
        """Return the learner; its context gives no access to paths or the test split."""
        task: Task = self.data.task
        seeds = np.random.SeedSequence([self.config.init_seed, self.config.data.seed])
        torch_rng = torch.Generator()
        torch_rng.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
        values = {role: adapter.value() for role, adapter in self.inputs.items()}
        starts = [v.folder for v in values.values() if isinstance(v, Checkpoint)]
        folder = starts[0] if starts else self.folder
        ctx = Context(
            rung=self.rung,
            classes=task.classes,
            regression=task.regression,
            train=self.train,
            validation=self.validation,
            ledger=ledger,
            rng=np.random.default_rng(seeds),
            torch_rng=torch_rng,
            max_length=task.max_length,
            horizon=self.config.horizon,
            precision=self.config.precision,
            device=self.device,
            inputs=values,
            calibration=self.calibration if len(self.calibration) else None,
            open_encoder=None
            if folder is None
            else lambda: open_encoder(self.rung, folder, self.device),
            open_tokeniser=None if folder is None else self.tokeniser,
            open_head=None
            if folder is None
            else lambda words: open_head(folder, words, self.device),
        )
        # a stage's has no points, so that what only a learner of points has is never asked of it
        return cast(Learner, self.method.learner(ctx, self.knobs))

    def tokeniser(self) -> Tokeniser:
        """Return the rung's tokeniser, cut at the task's longest input.

        Raises:
            TypeError: the rung has none.
        """
        if self.folder is None:
            raise TypeError(f"rung {self.rung.name} has no tokeniser")
        limit = min(self.data.task.max_length, self.rung.positions)
        return Tokeniser(self.folder, self.store, self.data.splits, self.data.digest, limit)

    def labelled_rows(self, config: TrialConfig | None = None) -> set[tuple[str, int]]:
        """Return the labelled rows that a configuration and its inputs use, each once."""
        config = config or self.config
        train, validation, _ = self.data.slice(replace(config.data, unlabelled=0))
        out = {(rows.split, int(i)) for rows in (train, validation) for i in rows.ids}
        return out.union(*(self.labelled_rows(c) for c in config.upstream.values()))

    def close(self) -> None:
        """Release models that inputs have opened."""
        for adapter in self.inputs.values():
            adapter.close()
