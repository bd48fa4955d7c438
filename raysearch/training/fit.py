"""An encoder and its head fitted to rows by gradient steps: what fine-tuning methods share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysearch.costs import flops
from raysearch.data.rows import Logits, Rows
from raysearch.encoders import batches
from raysearch.encoders.classifier import task_loss
from raysearch.encoders.models import Encoder
from raysearch.encoders.tokens import joined
from raysearch.storage.store import State
from raysearch.training.graph import Graph
from raysearch.training.heads import Head, Module, answered, text_flops
from raysearch.training.loop import OptimiserConfig, OptimiserLoop
from raysearch.training.protocol import Context, Shape
from raysearch.training.row_adam import under


class TrainSchedule(Protocol):
    """The knobs of any such fit."""

    @property
    def learning_rate(self) -> float:
        """Return the peak learning rate."""

    @property
    def epochs(self) -> int:
        """Return the passes over the rows."""

    @property
    def min_steps(self) -> int:
        """Return the least number of optimiser steps."""

    @property
    def batch_size(self) -> int:
        """Return the rows of one step."""

    @property
    def schedule(self) -> str:
        """Return the schedule's name, as in raysearch.training.loop.OptimiserConfig."""

    @property
    def warmup(self) -> float:
        """Return the warm-up's share of the steps."""

    @property
    def weight_decay(self) -> float:
        """Return the decoupled decay."""

    @property
    def patience(self) -> int:
        """Return the epochs to wait for a lower validation loss; 0: train to the end."""


Loss: TypeAlias = Callable[[Tensor, NDArray[np.int64]], Tensor]
"""(logits (B, C), positions (B,) among the rows) -> the batch's loss."""


class FineTuner:
    """A learner: one optimiser step at a time over length-bucketed batches of the rows.

    Args:
        ctx: the trial's context.
        knobs: how long and how fast.
        head: the head on the encoder.
        rows: what is trained on, one part after the other; positions count through them.
        loss: of the logits of some positions.
        renewed: draws the encoder's weights anew, where training starts from scratch.
    """

    def __init__(
        self,
        ctx: Context,
        knobs: TrainSchedule,
        head: Head,
        rows: Sequence[Rows],
        loss: Loss,
        *,
        renewed: Callable[[Encoder, torch.Generator], None] | None = None,
    ) -> None:
        self._ctx = ctx
        self._knobs = knobs
        self._head = head
        self._loss = loss
        self._renewed = renewed
        self._train = joined([head.encode(part) for part in rows if len(part)])
        self._seed = int(ctx.rng.integers(2**31))
        self._drawn = ctx.torch_rng.get_state()
        self._module, self._loop = self._fresh(ctx.precision, ctx.torch_rng)
        self._per_epoch = batches.steps_per_epoch(len(self._train.rows), knobs.batch_size)
        self._epoch = -1
        self._order: list[NDArray[np.int64]] = []
        self._best: State = {}
        self._best_loss, self._waited, self._stopped = float("inf"), 0, False

    def _fresh(self, precision: str, generator: torch.Generator) -> tuple[Module, OptimiserLoop]:
        """Return the module before the first step, and the loop that trains it."""
        knobs = self._knobs
        module = self._head.fresh(generator)
        if self._renewed is not None:
            self._renewed(module.encoder, generator)
        recipe = OptimiserConfig(
            knobs.learning_rate, knobs.schedule, knobs.warmup, knobs.weight_decay
        )
        return module, OptimiserLoop(
            module,
            recipe,
            self._ctx.horizon,
            seed=self._seed,
            precision=precision,
            device=self._ctx.device,
        )

    def step(self) -> bool:
        """Update once; with patience, validate at the end of an epoch and of training."""
        epoch, place = divmod(self._loop.steps, self._per_epoch)
        if epoch != self._epoch:
            lengths = self._train.lengths
            self._order = batches.epoch_batches(lengths, self._knobs.batch_size, self._seed, epoch)
            self._epoch = epoch
        index = self._order[place]
        batch = self._train.batch(index, self._ctx.device)
        self._loop.update([lambda: self._loss(self._module(batch), index)])
        rows, width = batch.ids.shape
        forward = int(flops.encoder_forward(self._ctx.rung, width)) + self._head.flops
        self._ctx.ledger.charge(
            "train", flops=flops.TRAIN_FACTOR * rows * forward, tokens=batch.tokens, texts=rows
        )
        if self._knobs.patience and (place + 1 == self._per_epoch or self._loop.finished):
            self._look()
        return not (self._loop.finished or self._stopped)

    def _look(self) -> None:
        """Keep the weights of the lowest validation loss; stop when it no longer falls."""
        validation = self._ctx.validation
        if validation.label is None or not len(validation):
            return
        logits = torch.from_numpy(self.predict(validation, {}, phase="validate"))
        loss = float(task_loss(logits, torch.from_numpy(np.ascontiguousarray(validation.label))))
        if loss < self._best_loss:
            self._best_loss, self._waited, self._best = loss, 0, self._loop.weights()
        else:
            self._waited += 1
            self._stopped = self._waited >= self._knobs.patience
        if self._best and (self._stopped or self._loop.finished):
            self._loop.load_weights(self._best)

    @property
    def module(self) -> Module:
        """Return the module that is trained."""
        return self._module

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        """Return one point: the trained model."""
        return [{}]

    def predict(self, rows: Rows, knobs: Mapping[str, Any], *, phase: str) -> Logits:
        """Return logits (n, classes), charged to `phase`."""
        return answered(self._ctx, self._module, self._head, rows, phase)

    def infer_flops(self, rows: Rows, knobs: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return each text's FLOPs (n,).

        The layers at the text's own length, and the head.
        """
        return text_flops(self._ctx, self._head, rows)

    def size(self, knobs: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return (parameters deployed, parameters trained, stored bytes).

        All parameters are trained and deployed; stored as float32.
        """
        params = sum(p.numel() for p in self._module.parameters())
        return params, params, 4 * params

    def graph(self, knobs: Mapping[str, Any]) -> Graph:
        """Return the float32 weights in a module of their own.

        Whatever precision training ran in.
        """
        again = torch.Generator()
        again.set_state(self._drawn)  # what training has not touched is as it was drawn
        module, loop = self._fresh("fp32", again)
        loop.load_weights(self._loop.weights())
        return self._head.graph(module.eval())

    def state(self) -> State:
        """Return weights, moments while they are needed, and the early-stopping memory."""
        values: State = {"best_loss": None, "waited": self._waited, "stopped": self._stopped}
        if self._best and not (self._stopped or self._loop.finished):
            values["best_loss"] = self._best_loss
            values.update({f"best.{k}": v for k, v in self._best.items()})
        return {**values, **{f"loop.{k}": v for k, v in self._loop.state().items()}}

    def restore(self, state: State) -> None:
        """Restore `state()`, so that training continues as if uninterrupted."""
        self._loop.restore(under("loop.", state))
        self._waited, self._stopped = state["waited"], state["stopped"]
        if state["best_loss"] is not None:
            self._best_loss, self._best = state["best_loss"], under("best.", state)


def labels_of(rows: Rows, device: torch.device) -> Tensor:
    """Return the labels of rows (n,) on the device."""
    assert rows.label is not None
    return torch.from_numpy(np.ascontiguousarray(rows.label)).to(device)


def horizon(knobs: TrainSchedule, rows: int) -> int:
    """Return the optimiser steps of the schedule over this many rows."""
    return max(knobs.epochs * batches.steps_per_epoch(rows, knobs.batch_size), knobs.min_steps)


def price(
    knobs: TrainSchedule, shape: Shape, head_flops: int = 0, calibration: int = 0, looked: int = 0
) -> Mapping[str, float]:
    """Return predicted FLOPs by phase, padding included.

    `calibration` training rows calibrate instead; `looked` texts are labelled beside validation.
    """

    def per_text(n: int, batch_size: int | None = None) -> float:
        lengths = batches.padded_lengths(shape.lengths, n, batch_size)
        return float(flops.encoder_forward(shape.rung, lengths).mean()) + head_flops

    rows = shape.n_train - calibration + shape.n_unlabelled
    epochs = horizon(knobs, rows) / batches.steps_per_epoch(rows, knobs.batch_size)
    seen = epochs * rows
    looks = knobs.epochs if knobs.patience else 0
    validate = per_text(shape.n_validation) if shape.n_validation else 0.0
    return {
        "train": flops.TRAIN_FACTOR * seen * per_text(rows, knobs.batch_size),
        **({"calibrate": calibration * per_text(calibration)} if calibration else {}),
        "validate": shape.n_validation * validate * (1 + looks) + looked * per_text(looked or 1),
    }
