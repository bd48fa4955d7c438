"""Sparse distillation: a deep averaging network over n-grams learns a transformer's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
from raysearch.training.losses import distillation
from raysearch.training.protocol import Context, Input, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    """What can be chosen about the student; its teacher is an input of the trial."""

    vocabulary: str = "frequent"
    """`frequent`: the commonest n-grams of all its texts; `hashed`: all n-grams, by a hash."""
    ngrams: int = 3
    """Longest word n-gram; all shorter ones are taken too."""
    learning_rate: float = 1e-3
    epochs: int = 10
    """Over labelled rows and transfer texts together."""
    min_steps: int = 100
    batch_size: int = 64
    schedule: str = "linear"
    warmup: float = 0.06
    weight_decay: float = 0.01
    """Of the dense layers."""
    skipped: float = 0.1
    """Share of a text's n-grams that a step leaves out."""
    dropout: float = 0.1
    """Before each dense layer."""
    transfer: int = 10_000
    """Texts without a label that the teacher answers, as many as there are if fewer."""
    temperature: float = 1.0
    tuning: int = 0
    """Epochs over the labelled rows with their labels, after the teacher's answers."""
    tuning_rate: float = 3e-4


def learner(ctx: Context, knobs: Knobs) -> DanTrainer:
    """Return the student.

    Fitted to T^2 KL to the teacher on all rows, then to cross-entropy on the labelled ones.
    """
    teacher, parts = ctx.logits_source("teacher"), [ctx.train, ctx.texts("pool")]
    parts = [rows for rows in parts if len(rows)]
    label = labels_of(ctx.train, ctx.device)
    answers: list[Tensor] = []

    def follow(logits: Tensor, index: NDArray[np.int64]) -> Tensor:
        if not answers:  # a trained student that is opened again needs no teacher
            logits_of_rows = np.concatenate([teacher.logits(rows) for rows in parts])
            answers.append(torch.from_numpy(logits_of_rows).to(ctx.device))
        at = torch.from_numpy(index).to(ctx.device)
        return distillation(logits, answers[0][at], knobs.temperature).mean()

    def obey(logits: Tensor, index: NDArray[np.int64]) -> Tensor:
        return task_loss(logits, label[torch.from_numpy(index).to(ctx.device)])

    after = _tuning(knobs, len(ctx.train))
    return DanTrainer(
        ctx,
        knobs,
        [
            Stage(parts, follow, knobs.learning_rate, ctx.horizon),
            Stage([ctx.train], obey, knobs.tuning_rate, after),
        ],
    )


def _tuning(knobs: Knobs, labelled: int) -> int:
    return knobs.tuning * steps_per_epoch(labelled, knobs.batch_size)


def horizon(knobs: Knobs, rows: int) -> int:
    """Return the optimiser steps on the teacher's logits."""
    return max(knobs.epochs * steps_per_epoch(rows, knobs.batch_size), knobs.min_steps)


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    """Return predicted FLOPs of the student alone, by phase."""
    rows = shape.n_train + shape.n_unlabelled
    stages = [(rows, horizon(knobs, rows)), (shape.n_train, _tuning(knobs, shape.n_train))]
    return dan_knobs.price(knobs, shape, stages)


METHOD = Method(
    name="sparse_distill",
    tldr="train a network over n-grams on a transformer's answers to texts without labels",
    source="arXiv:2110.08536 section 3",
    families=("dan",),
    knobs=Knobs,
    learner=learner,
    horizon=horizon,
    price=price,
    check_model=dan_knobs.check_model,
    check_data=dan_knobs.check_data,
    regression=False,
    inputs=(
        Input("teacher", "logits"),
        Input("pool", "texts"),
    ),
    unlabelled=lambda knobs: int(knobs.transfer),
    resolve_knobs=lambda knobs, task, texts: replace(knobs, transfer=min(knobs.transfer, texts)),
    words=words_of_knobs,
)
