"""Zero-shot prompting: a masked LM answers a cloze question as it is; no labels, no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raysearch.costs import flops
from raysearch.data.rows import Logits, Rows
from raysearch.encoders.graphs import ClozeGraph
from raysearch.storage.store import State
from raysearch.training.heads import ClozeHead, answered, text_flops
from raysearch.training.protocol import Context, Input, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    """Nothing can be chosen: without labels there is nothing to choose by."""


class ZeroShot:
    """The learner: the task's first template from the catalog."""

    def __init__(self, ctx: Context, knobs: Knobs) -> None:
        self._ctx = ctx
        self._head = ClozeHead(ctx)
        self._module = self._head.fresh(ctx.torch_rng)
        if ctx.precision == "bf16" and ctx.device.type == "cpu":
            self._module.encoder.run_in(torch.bfloat16)

    def step(self) -> bool:
        """Return False: there is nothing to train."""
        return False

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        """Return one point: the masked LM and its cloze question."""
        return [{}]

    def predict(self, rows: Rows, knobs: Mapping[str, Any], *, phase: str) -> Logits:
        """Return logits (n, classes), charged to `phase`."""
        return answered(self._ctx, self._module, self._head, rows, phase)

    def infer_flops(self, rows: Rows, knobs: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return each text's FLOPs (n,).

        The layers at the text's own length inside the pattern, and the head.
        """
        return text_flops(self._ctx, self._head, rows)

    def size(self, knobs: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return (parameters deployed, parameters trained, stored bytes).

        Everything is deployed, nothing trained; stored as float32.
        """
        params = sum(p.numel() for p in self._module.parameters())
        return params, 0, 4 * params

    def graph(self, knobs: Mapping[str, Any]) -> ClozeGraph:
        """Return the checkpoint in float32."""
        return self._head.graph(self._head.fresh(torch.Generator()).eval())

    def state(self) -> State:
        """Return an empty state: the checkpoint is all."""
        return {}

    def restore(self, state: State) -> None:
        """Do nothing: the state is empty."""


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    """Return predicted FLOPs of scoring `n_validation` rows; nothing is trained."""
    if not shape.n_validation:
        return {"train": 0.0, "validate": 0.0}
    body = float(flops.encoder_forward(shape.rung, shape.lengths).mean())
    return {"train": 0.0, "validate": shape.n_validation * body}


METHOD = Method(
    name="zero_shot",
    tldr="ask a masked LM a cloze question without training it",
    source="arXiv:2001.07676 section 3.1, the unsupervised row of its tables",
    families=("encoder",),
    knobs=Knobs,
    learner=ZeroShot,
    horizon=lambda knobs, rows: 0,
    price=price,
    regression=False,
    labelled=False,
    inputs=(Input("question", "prompt"),),
)
