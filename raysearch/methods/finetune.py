"""Fine-tuning: all weights of an encoder and a linear head, trained on the labelled rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysearch.encoders.classifier import task_loss
from raysearch.training.fit import FineTuner, horizon, labels_of, price
from raysearch.training.heads import LinearHead
from raysearch.training.protocol import Context, Method


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


def learner(ctx: Context, knobs: Knobs) -> FineTuner:
    """Return a linear head on the pooled encoder.

    Fitted by cross-entropy (squared error for numbers).
    """
    label = labels_of(ctx.train, ctx.device)

    def loss(logits: Tensor, index: NDArray[np.int64]) -> Tensor:
        return task_loss(logits, label[torch.from_numpy(index).to(ctx.device)])

    return FineTuner(ctx, knobs, LinearHead(ctx, knobs.pooling, knobs.dropout), [ctx.train], loss)


METHOD = Method(
    name="finetune",
    tldr="fine-tune all weights of an encoder with a linear head",
    source="arXiv:1810.04805 section 4; sizes as in arXiv:1908.08962",
    families=("encoder",),
    knobs=Knobs,
    learner=learner,
    horizon=horizon,
    price=price,
)
