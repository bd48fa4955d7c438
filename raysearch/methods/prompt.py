"""Prompting: a masked LM answers a cloze question about the text, fine-tuned on labelled rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysearch.costs import flops
from raysearch.encoders.classifier import task_loss
from raysearch.training import fit
from raysearch.training.fit import FineTuner, labels_of
from raysearch.training.heads import ClozeHead
from raysearch.training.protocol import Context, Input, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    """What can be chosen about prompting."""

    learning_rate: float = 1e-4
    epochs: int = 3
    min_steps: int = 50
    """Optimiser steps at least: a handful of epochs over 32 rows would barely move."""
    batch_size: int = 16
    schedule: str = "linear"
    warmup: float = 0.06
    weight_decay: float = 0.01
    template: int = 0
    """Which of the task's templates, counted from 0; beyond the last, from the first again."""
    patience: int = 0
    """Epochs without a lower validation loss before stopping; 0: train to the end."""


def learner(ctx: Context, knobs: Knobs) -> FineTuner:
    """Return a learner of the label words' logits at the mask.

    Fitted by cross-entropy over those words alone.
    """
    label = labels_of(ctx.train, ctx.device)

    def loss(logits: Tensor, index: NDArray[np.int64]) -> Tensor:
        return task_loss(logits, label[torch.from_numpy(index).to(ctx.device)])

    return FineTuner(ctx, knobs, ClozeHead(ctx, knobs.template), [ctx.train], loss)


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    """Return predicted FLOPs by phase; the pattern's tokens are in the lengths."""
    h = shape.rung.hidden
    head = flops.linear_forward(h, h) + flops.linear_forward(h, shape.task.classes)
    return fit.price(knobs, shape, head)


METHOD = Method(
    name="prompt",
    tldr="fine-tune a masked LM that answers a cloze question with label words",
    source="arXiv:2012.15723 section 4; patterns and words of arXiv:2001.07676 section 3.1",
    families=("encoder",),
    knobs=Knobs,
    learner=learner,
    horizon=fit.horizon,
    price=price,
    regression=False,
    inputs=(Input("question", "prompt"),),
    resolve_knobs=lambda knobs, task, texts: replace(
        knobs, template=knobs.template % max(1, len(task.templates))
    ),
)
