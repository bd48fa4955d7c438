"""Early exit: classifiers after several layers, trained together; texts exit once one is sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysearch.config.ladder import ModelSize
from raysearch.data.rows import Logits, Rows
from raysearch.encoders import exits
from raysearch.encoders.classifier import predict
from raysearch.encoders.exit_graph import ExitGraph, ExitResult, ExitRule
from raysearch.encoders.models import POOLINGS
from raysearch.errors import InputError
from raysearch.outputs import exit_rules
from raysearch.outputs.calibration import FEWEST, temperature
from raysearch.outputs.described import words_of_knobs
from raysearch.outputs.exit_rules import Exits
from raysearch.storage.store import State
from raysearch.training import fit
from raysearch.training.exits_head import ExitsHead, exit_loss
from raysearch.training.fit import FineTuner, labels_of
from raysearch.training.protocol import Context, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    """What can be chosen about training; criterion and threshold belong to the points."""

    learning_rate: float = 1e-4
    epochs: int = 3
    min_steps: int = 50
    """Optimiser steps at least: a handful of epochs over 32 rows would barely move."""
    batch_size: int = 16
    schedule: str = "linear"
    warmup: float = 0.06
    weight_decay: float = 0.01
    dropout: float = 0.1
    """Before each linear layer."""
    pooling: str = "mean"
    """Of each layer: `mean` over tokens or the `cls` state; no pooler layer in between."""
    exits: str = "all"
    """After which layers: `all`, `half` or such as `2,4`; the last layer always is one."""
    weighting: str = "uniform"
    """Of the exits' losses: `uniform`, or `depth`: in proportion to the layers below."""
    self_distil: bool = False
    """Earlier exits also learn the last one's probabilities."""
    calibration: float = 0.2
    """Share of the labelled rows that fit the exits' temperatures and train nothing: at least 30
    rows and at most half of them. Where that cannot be, none, and nothing is calibrated."""

    @property
    def patience(self) -> int:
        """Return 0: training runs to the end."""
        return 0


class EarlyExit:
    """A learner: fitted like any encoder, then each exit's temperature on rows of its own."""

    def __init__(self, ctx: Context, knobs: Knobs) -> None:
        self._ctx = ctx
        layers = exit_rules.exits_of(knobs.exits, ctx.rung.layers)
        self._head = ExitsHead(ctx, layers, knobs.pooling, knobs.dropout)
        label = labels_of(ctx.train, ctx.device)
        weight = torch.tensor(WEIGHTINGS[knobs.weighting](self._head.layers), device=ctx.device)

        def loss(logits: Tensor, index: NDArray[np.int64]) -> Tensor:
            at = torch.from_numpy(index).to(ctx.device)
            return exit_loss(logits, label[at], weight, follow=knobs.self_distil)

        self._fit = FineTuner(ctx, knobs, self._head, [ctx.train], loss)
        self._temperature = np.ones(len(self._head.layers))
        self._sample: tuple[bytes, Exits] | None = None

    def step(self) -> bool:
        """Update once; after the last update fit the temperatures."""
        more = self._fit.step()
        if not more:
            self._calibrate()
        return more

    def _calibrate(self) -> None:
        """Fit each exit's temperature by the NLL of the calibration rows.

        arXiv:1706.04599 section 4.2.
        """
        rows = self._ctx.calibration
        if rows is None or not len(rows):
            return
        assert rows.label is not None
        logits = self.raw(rows, phase="calibrate").logits
        label = rows.label.astype(np.int64)
        self._temperature = np.array(
            [temperature(logits[:, k], label) for k in range(logits.shape[1])]
        )

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        """Return criteria and thresholds, the whole model first; with a sample, by cost apart."""
        tried = exit_rules.grid(self._ctx.classes, len(self._head.layers))
        if sample is None:
            return tried
        costs = [float(self.infer_flops(sample, knobs).mean()) for knobs in tried]
        return exit_rules.prune_knobs(tried, costs)

    def raw(self, rows: Rows, *, phase: str) -> Exits:
        """Return every exit's outputs, in one pass that runs all layers, charged to `phase`."""
        ctx = self._ctx
        logits = predict(
            self._fit.module,
            self._head.encode(rows),
            (len(self._head.layers), ctx.classes),
            rung=ctx.rung,
            head_flops=self._head.flops,
            ledger=ctx.ledger,
            phase=phase,
            device=ctx.device,
            autocast=self._autocast,
        )
        return Exits(logits, self._temperature)

    @property
    def _autocast(self) -> bool:
        return self._ctx.precision == "bf16" and self._ctx.device.type == "cuda"

    def predict(self, rows: Rows, knobs: Mapping[str, Any], *, phase: str) -> Logits:
        """Return calibrated logits (n, classes) by the real pass, in which texts exit."""
        left = self._exit_results(rows, knobs)
        self._ctx.ledger.charge(phase, flops=left.flops, tokens=left.tokens, texts=len(rows))
        return left.logits

    def _exit_results(self, rows: Rows, knobs: Mapping[str, Any]) -> ExitResult:
        graph = self._with_rule(self._head.graph(self._fit.module), knobs)
        with torch.autocast("cuda", torch.bfloat16, enabled=self._autocast):
            return graph.exit_results(self._head.encode(rows))

    def _with_rule(self, graph: ExitGraph, knobs: Mapping[str, Any]) -> ExitGraph:
        rule = ExitRule(knobs["criterion"], knobs["threshold"], self._temperature)
        return replace(graph, rule=rule)

    def infer_flops(self, rows: Rows, knobs: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return each text's FLOPs (n,): the layers it passes, and the exits on its way.

        At the text's own length. Where a text exits is found once for a set of rows and charged to
        `validate`: which points are kept depends on it.
        """
        key = rows.split.encode() + rows.ids.tobytes()
        if self._sample is None or self._sample[0] != key:
            self._sample = (key, self.raw(rows, phase="validate"))
        at = exit_rules.exits_for(self._sample[1], knobs)
        lengths = self._head.encode(rows).lengths
        flops = exits.text_flops(self._ctx.rung, self._head.layers, self._ctx.classes, lengths)
        return np.asarray(flops[np.arange(len(at)), at])

    def size(self, knobs: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return (parameters deployed, parameters trained, stored bytes).

        All layers and exits, whatever the threshold.
        """
        return self._fit.size(knobs)

    def graph(self, knobs: Mapping[str, Any]) -> ExitGraph:
        """Return the float32 weights in a module of their own.

        Whatever precision training ran in.
        """
        made = self._fit.graph({})
        assert isinstance(made, ExitGraph)
        return self._with_rule(made, knobs)

    def state(self) -> State:
        """Return the fit's state, and the temperatures."""
        return {**self._fit.state(), "temperature": torch.from_numpy(self._temperature.copy())}

    def restore(self, state: State) -> None:
        """Restore `state()`, so that training continues as if uninterrupted."""
        self._temperature = state["temperature"].numpy().copy()
        self._fit.restore({k: v for k, v in state.items() if k != "temperature"})


WEIGHTINGS: Mapping[str, Callable[[Sequence[int]], list[float]]] = {
    "uniform": lambda layers: [1.0] * len(layers),
    "depth": lambda layers: [len(layers) * n / sum(layers) for n in layers],
}
"""Weights of the exits' losses, which sum to the number of exits; `depth`: arXiv:2006.04152."""


def calibration(knobs: Knobs, rows: int) -> int:
    """Return how many labelled rows fit the temperatures.

    0 where `FEWEST` would be more than half of them.

    >>> [calibration(Knobs(), rows) for rows in (59, 60, 100, 1000)]
    [0, 30, 30, 200]
    """
    count = max(round(knobs.calibration * rows), FEWEST)
    return count if knobs.calibration > 0 and 2 * count <= rows else 0


def horizon(knobs: Knobs, rows: int) -> int:
    """Return the optimiser steps over the rows that are trained on."""
    return fit.horizon(knobs, rows - calibration(knobs, rows))


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    """Return predicted FLOPs by phase."""
    layers = exit_rules.exits_of(knobs.exits, shape.rung.layers)
    return fit.price(
        knobs,
        shape,
        exits.all_flops(layers, shape.rung.hidden, shape.task.classes),
        calibration=calibration(knobs, shape.n_train),
        looked=len(shape.lengths),
    )


def check_model(knobs: Knobs, rung: ModelSize) -> str:
    """Return why a model cannot have these exits; empty where it can."""
    if not 0 <= knobs.calibration <= 0.5:
        return f"calibration: {knobs.calibration:g} is no share from 0 to 0.5"
    for knob, known in (("weighting", WEIGHTINGS), ("pooling", POOLINGS)):
        if getattr(knobs, knob) not in known:
            return f"{knob}: no '{getattr(knobs, knob)}'. Known: {', '.join(known)}"
    try:
        exit_rules.exits_of(knobs.exits, rung.layers)
    except InputError as e:
        return str(e)
    return ""


METHOD = Method(
    name="early_exit",
    tldr="classifiers after several layers of one encoder, so that sure texts leave early",
    source="arXiv:2004.07453 section 3; patience arXiv:2006.04152, entropy arXiv:2004.12993",
    families=("encoder",),
    knobs=Knobs,
    learner=EarlyExit,
    horizon=horizon,
    price=price,
    regression=False,
    calibration=calibration,
    check_model=check_model,
    words=words_of_knobs,
)
