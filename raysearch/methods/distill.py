"""Knowledge distillation: a student is trained on a teacher's logits for texts without labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysearch.costs import flops
from raysearch.encoders.models import scratch
from raysearch.training import fit
from raysearch.training.fit import FineTuner, labels_of
from raysearch.training.heads import heads
from raysearch.training.losses import taught
from raysearch.training.protocol import Context, Input, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    """What can be chosen about the student; its teacher is an input of the trial."""

    learning_rate: float = 1e-4
    epochs: int = 3
    """Over labelled rows and transfer texts together."""
    min_steps: int = 50
    batch_size: int = 16
    schedule: str = "linear"
    warmup: float = 0.06
    weight_decay: float = 0.01
    dropout: float = 0.1
    """Before a linear head."""
    pooling: str = "mean"
    """Below a linear head: `mean` over tokens or the `cls` state."""
    transfer: int = 1000
    """Texts without a label that the teacher answers, as many as there are if fewer."""
    temperature: float = 2.0
    alpha: float = 0.5
    """Weight of the teacher against the label on labelled rows; texts without one follow it."""
    targets: str = "soft"
    """`soft`: the teacher's probabilities; `hard`: its choice."""
    head: str = "linear"
    """`linear`: a new layer; `cloze`: the student answers the task's first template too."""
    start: str = "checkpoint"
    """`checkpoint`: pretrained weights; `scratch`: new ones."""
    patience: int = 0
    """Epochs without a lower validation loss before stopping; 0: train to the end."""


def learner(ctx: Context, knobs: Knobs) -> FineTuner:
    """Return the student.

    Fitted to T^2 KL on all rows and to cross-entropy on the labelled ones.
    """
    for knob, known in (("targets", ("soft", "hard")), ("start", ("checkpoint", "scratch"))):
        if getattr(knobs, knob) not in known:
            raise ValueError(f"{knob}: no '{getattr(knobs, knob)}'. Known: {', '.join(known)}")
    teacher, parts = ctx.logits_source("teacher"), [ctx.train, ctx.texts("pool")]
    none = torch.full((len(parts[1]),), -1, device=ctx.device)
    label = torch.cat([labels_of(ctx.train, ctx.device), none])
    answers: list[Tensor] = []

    def loss(logits: Tensor, index: NDArray[np.int64]) -> Tensor:
        if not answers:  # a trained student that is opened again needs no teacher
            logits_of_rows = np.concatenate([teacher.logits(rows) for rows in parts if len(rows)])
            answers.append(torch.from_numpy(logits_of_rows).to(ctx.device))
        at = torch.from_numpy(index).to(ctx.device)
        return taught(
            logits,
            answers[0][at],
            label[at],
            alpha=knobs.alpha,
            temperature=knobs.temperature,
            hard=knobs.targets == "hard",
        )

    head = heads(knobs.head, ctx, pooling=knobs.pooling, dropout=knobs.dropout, template=0)
    renewed = scratch if knobs.start == "scratch" else None
    return FineTuner(ctx, knobs, head, parts, loss, renewed=renewed)


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    """Return predicted FLOPs of the student alone, by phase."""
    h = shape.rung.hidden
    head = flops.linear_forward(h, h) if knobs.head == "cloze" else 0
    return fit.price(knobs, shape, head + flops.linear_forward(h, shape.task.classes))


METHOD = Method(
    name="distill",
    tldr="train an encoder on a larger teacher's answers to texts without labels",
    source="arXiv:1503.02531 section 2; with prompted teachers arXiv:2210.12022, arXiv:2001.07676",
    families=("encoder",),
    knobs=Knobs,
    learner=learner,
    horizon=fit.horizon,
    price=price,
    regression=False,
    inputs=(
        Input("teacher", "logits"),
        Input("pool", "texts"),
        Input("question", "prompt", wanted=lambda knobs: bool(knobs.head == "cloze")),
    ),
    unlabelled=lambda knobs: int(knobs.transfer),
    resolve_knobs=lambda knobs, task, texts: replace(knobs, transfer=min(knobs.transfer, texts)),
)
