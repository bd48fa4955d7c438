"""Knobs that the methods of a deep averaging network share, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from raysearch.config.ladder import ModelSize
from raysearch.data.rows import Rows
from raysearch.ngrams import bags, grams
from raysearch.ngrams.bag import forward_flops, step_flops
from raysearch.ngrams.dan_numpy import MOST
from raysearch.training.protocol import Shape

VOCABULARIES = ("frequent", "hashed")


LONGEST = 4
"""Words of an n-gram at most."""


class DanKnobs(Protocol):
    """The knobs of any such fit."""

    @property
    def vocabulary(self) -> str:
        """Return the kind of vocabulary, one of `VOCABULARIES`."""

    @property
    def ngrams(self) -> int:
        """Return the longest n-gram [words]."""

    @property
    def batch_size(self) -> int:
        """Return the rows of one step."""

    @property
    def weight_decay(self) -> float:
        """Return the decoupled decay of the dense layers."""

    @property
    def warmup(self) -> float:
        """Return the warm-up's share of a stage's steps."""

    @property
    def schedule(self) -> str:
        """Return the schedule's name, as in raysearch.training.loop.OptimiserConfig."""

    @property
    def skipped(self) -> float:
        """Return the share of the n-grams that a step leaves out."""

    @property
    def dropout(self) -> float:
        """Return the dropout rate before each dense layer."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One optimiser over one set of rows."""

    parts: Sequence[Rows]
    """What is trained on, one part after the other; positions count through them."""
    loss: Callable[[Tensor, NDArray[np.int64]], Tensor]
    """(logits (B, C), positions (B,)) -> the batch's loss."""
    learning_rate: float
    """Peak."""
    steps: int


def check_model(knobs: DanKnobs, rung: ModelSize) -> str:
    """Return why such a network cannot be trained with these knobs; empty where it can."""
    if knobs.vocabulary not in VOCABULARIES:
        return f"vocabulary: no '{knobs.vocabulary}'. Known: {', '.join(VOCABULARIES)}"
    if not 1 <= knobs.ngrams <= LONGEST:
        return f"ngrams: {knobs.ngrams} is not 1 to {LONGEST}"
    return ""


def check_data(knobs: DanKnobs, rung: ModelSize, parts: Sequence[Rows]) -> str:
    """Return why texts have too few words to fill a vocabulary, without counting n-grams.

    Empty where they may fill it.
    """
    if knobs.vocabulary != "frequent":
        return ""
    columns = [c for p in parts for c in (p.text, p.pair) if c is not None]
    most = bags.most(columns, knobs.ngrams, rung.buckets)
    if most >= rung.buckets:
        return ""
    return grams.too_few(rung.buckets, most, knobs.ngrams, "at most ")


def price(knobs: DanKnobs, shape: Shape, stages: Sequence[tuple[int, int]]) -> Mapping[str, float]:
    """Return predicted FLOPs by phase, of stages of (rows, steps).

    An n-gram a word and length, all known: an upper bound, since n-grams outside the vocabulary
    cost nothing.
    """
    pair = shape.task.text_pair is not None
    width, classes = shape.rung.hidden, shape.task.classes
    count = min(float(shape.lengths.mean()) * knobs.ngrams, (1 + pair) * float(MOST))
    seen = sum(min(rows, knobs.batch_size) * steps for rows, steps in stages)
    one = step_flops(count, 1, width, classes, pair=pair)
    judged = float(forward_flops(count, width, classes, pair=pair))
    return {"train": float(seen * one), "validate": shape.n_validation * judged}
