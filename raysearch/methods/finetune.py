"""Fine-tuning: all weights of an encoder and a linear head, trained on the labelled rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raysearch.engine import batches, flops
from raysearch.engine.classifier import Classifier, predict, task_loss
from raysearch.engine.graph import EncoderGraph
from raysearch.engine.protocol import Context, Logits, Method, Rows, Shape, State
from raysearch.engine.train import Loop, Recipe


@dataclass(frozen=True, slots=True)
class Knobs:
    """What can be chosen about fine-tuning."""

    learning_rate: float = 1e-4
    epochs: int = 3
    min_steps: int = 50
    """Optimiser steps at least: a handful of epochs over 32 rows would barely move."""
    batch_size: int = 16
    schedule: str = "linear"
    warmup: float = 0.06
    weight_decay: float = 0.01
    dropout: float = 0.1
    pooling: str = "mean"
    """`mean` over tokens or the `cls` state; no pooler layer in between."""
    patience: int = 0
    """Epochs without a lower validation loss before stopping; 0: train to the end."""


class FineTune:
    """The learner: one optimiser step at a time."""

    def __init__(self, ctx: Context, knobs: Knobs) -> None:
        self._ctx = ctx
        self._knobs = knobs
        self._tokens = ctx.tokeniser()
        self._train = self._tokens.encode(ctx.train)
        label = ctx.train.label
        assert label is not None
        self._label = torch.from_numpy(np.ascontiguousarray(label)).to(ctx.device)
        self._seed = int(ctx.rng.integers(2**31))
        self._module, self._loop = self._fresh(ctx.precision, ctx.torch_rng)
        self._per_epoch = batches.steps_per_epoch(len(ctx.train), knobs.batch_size)
        self._epoch = -1
        self._order: list[NDArray[np.int64]] = []
        self._best: State = {}
        self._best_loss, self._waited, self._stopped = float("inf"), 0, False

    def _fresh(self, precision: str, generator: torch.Generator) -> tuple[Classifier, Loop]:
        """The module as it stands before the first step, and the loop that moves it."""
        ctx, knobs = self._ctx, self._knobs
        module = Classifier(
            ctx.encoder(),
            ctx.classes,
            pooling=knobs.pooling,
            dropout=knobs.dropout,
            generator=generator,
        ).to(ctx.device)
        recipe = Recipe(knobs.learning_rate, knobs.schedule, knobs.warmup, knobs.weight_decay)
        return module, Loop(
            module,
            recipe,
            ctx.horizon,
            seed=self._seed,
            precision=precision,
            device=ctx.device,
        )

    def step(self) -> bool:
        """One update; with patience also the validation at the end of an epoch and of all."""
        epoch, place = divmod(self._loop.steps, self._per_epoch)
        if epoch != self._epoch:
            lengths = self._train.lengths
            self._order = batches.epoch_batches(lengths, self._knobs.batch_size, self._seed, epoch)
            self._epoch = epoch
        index = self._order[place]
        batch = self._train.batch(index, self._ctx.device)
        label = self._label[torch.from_numpy(index).to(self._ctx.device)]
        self._loop.update([lambda: task_loss(self._module(batch), label)])
        rows, width = batch.ids.shape
        forward = int(flops.encoder_forward(self._ctx.rung, width)) + self._head_flops
        self._ctx.ledger.charge(
            "train", flops=flops.TRAIN_FACTOR * rows * forward, tokens=batch.tokens, texts=rows
        )
        if self._knobs.patience and (place + 1 == self._per_epoch or self._loop.finished):
            self._look()
        return not (self._loop.finished or self._stopped)

    def _look(self) -> None:
        """Remember the weights of the lowest validation loss; stop when it no longer falls."""
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
    def _head_flops(self) -> int:
        return flops.linear_forward(self._ctx.rung.hidden, self._ctx.classes)

    def points(self) -> Sequence[Mapping[str, Any]]:
        """One: the trained model."""
        return [{}]

    def predict(self, rows: Rows, knobs: Mapping[str, Any], *, phase: str) -> Logits:
        """Logits (n, classes), charged to `phase`."""
        return predict(
            self._module,
            self._tokens.encode(rows),
            self._ctx.classes,
            rung=self._ctx.rung,
            head_flops=self._head_flops,
            ledger=self._ctx.ledger,
            phase=phase,
            device=self._ctx.device,
            autocast=self._ctx.precision == "bf16" and self._ctx.device.type == "cuda",
        )

    def infer_flops(self, rows: Rows, knobs: Mapping[str, Any]) -> NDArray[np.float64]:
        """The layers at each text's own length, and the head."""
        lengths = self._tokens.encode(rows).lengths
        body = flops.encoder_forward(self._ctx.rung, lengths)
        return np.asarray(body + self._head_flops, np.float64)

    def size(self, knobs: Mapping[str, Any]) -> tuple[int, int, int]:
        """All parameters are trained and deployed; stored as float32."""
        params = sum(p.numel() for p in self._module.parameters())
        return params, params, 4 * params

    def graph(self, knobs: Mapping[str, Any]) -> EncoderGraph:
        """The float32 weights in a module of their own, whatever training ran in."""
        module, loop = self._fresh("fp32", torch.Generator())
        loop.load_weights(self._loop.weights())
        head = module.head
        return EncoderGraph(
            module.encoder.eval(),
            self._knobs.pooling,
            False,
            head.weight.detach().cpu(),
            head.bias.detach().cpu(),
        )

    def state(self) -> State:
        """Weights, moments while they are needed, and the early-stopping memory."""
        values: State = {"best_loss": None, "waited": self._waited, "stopped": self._stopped}
        if self._best and not (self._stopped or self._loop.finished):
            values["best_loss"] = self._best_loss
            values.update({f"best.{k}": v for k, v in self._best.items()})
        return {**values, **{f"loop.{k}": v for k, v in self._loop.state().items()}}

    def restore(self, state: State) -> None:
        """Go on as if nothing had happened."""
        self._loop.restore(_under("loop.", state))
        self._waited, self._stopped = state["waited"], state["stopped"]
        if state["best_loss"] is not None:
            self._best_loss, self._best = state["best_loss"], _under("best.", state)


def _under(prefix: str, state: State) -> State:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def horizon(knobs: Knobs, n_train: int) -> int:
    """Optimiser steps of the schedule."""
    return max(knobs.epochs * batches.steps_per_epoch(n_train, knobs.batch_size), knobs.min_steps)


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    """Predicted FLOPs by phase, padding included."""

    def per_text(n: int, batch_size: int | None = None) -> float:
        lengths = batches.padded_lengths(shape.lengths, n, batch_size)
        return float(flops.encoder_forward(shape.rung, lengths).mean())

    epochs = horizon(knobs, shape.n_train) / batches.steps_per_epoch(
        shape.n_train, knobs.batch_size
    )
    seen = epochs * shape.n_train
    looks = knobs.epochs if knobs.patience else 0
    return {
        "train": flops.TRAIN_FACTOR * seen * per_text(shape.n_train, knobs.batch_size),
        "validate": shape.n_validation * per_text(shape.n_validation) * (1 + looks),
    }


METHOD = Method(
    name="finetune",
    tldr="fine-tune all weights of an encoder with a linear head",
    source="arXiv:1810.04805 section 4; sizes as in arXiv:1908.08962",
    families=("encoder",),
    knobs=Knobs,
    learner=FineTune,
    horizon=horizon,
    price=price,
)
