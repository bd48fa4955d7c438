"""A deep averaging network over word n-grams, from labels alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysearch.encoders.batches import steps_per_epoch
from raysearch.encoders.classifier import task_loss
from raysearch.outputs.described import words_of_knobs
from raysearch.training import dan_knobs
from raysearch.training.dan_fit import DanTrainer
from raysearch.training.dan_knobs import Stage
from raysearch.training.fit import labels_of
from raysearch.training.protocol import Context, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    """What can be chosen about n-grams and training."""

    vocabulary: str = "frequent"
    """`frequent`: the commonest n-grams of its texts; `hashed`: all n-grams, by a hash."""
    ngrams: int = 2
    """Longest word n-gram; all shorter ones are taken too."""
    learning_rate: float = 3e-3
    epochs: int = 10
    min_steps: int = 100
    batch_size: int = 32
    schedule: str = "linear"
    warmup: float = 0.06
    weight_decay: float = 0.01
    """Of the dense layers."""
    skipped: float = 0.1
    """Share of a text's n-grams that a step leaves out."""
    dropout: float = 0.3
    """Before each dense layer."""


def learner(ctx: Context, knobs: Knobs) -> DanTrainer:
    """Return a learner fitted to cross-entropy, or to squared error of numbers."""
    label = labels_of(ctx.train, ctx.device)

    def loss(logits: Tensor, index: NDArray[np.int64]) -> Tensor:
        return task_loss(logits, label[torch.from_numpy(index).to(ctx.device)])

    return DanTrainer(ctx, knobs, [Stage([ctx.train], loss, knobs.learning_rate, ctx.horizon)])


def horizon(knobs: Knobs, rows: int) -> int:
    """Return the optimiser steps."""
    return max(knobs.epochs * steps_per_epoch(rows, knobs.batch_size), knobs.min_steps)


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    """Return predicted FLOPs by phase."""
    return dan_knobs.price(knobs, shape, [(shape.n_train, horizon(knobs, shape.n_train))])


METHOD = Method(
    name="dan",
    tldr="a deep averaging network over word n-grams, from labels alone",
    source="Iyyer et al. 2015, ACL P15-1162; with n-grams arXiv:2110.08536 section 4 (scratch)",
    families=("dan",),
    knobs=Knobs,
    learner=learner,
    horizon=horizon,
    price=price,
    check_model=dan_knobs.check_model,
    check_data=dan_knobs.check_data,
    words=words_of_knobs,
)
