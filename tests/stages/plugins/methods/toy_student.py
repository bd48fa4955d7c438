"""A toy method of two inputs: a linear model on a generator's texts as a teacher labels them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.data.rows import Logits, Rows
from raysearch.ngrams import hashed
from raysearch.ngrams.graphs import NgramGraph
from raysearch.training.linear import LinearModel
from raysearch.training.protocol import Context, Input, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    transfer: int = 30
    c: float = 10.0


class Student:
    def __init__(self, ctx: Context, knobs: Knobs) -> None:
        self._ctx, self._knobs = ctx, knobs
        self._hash = hashed.hashing(ctx.rung.buckets, 1, "tf")
        self._linear = LinearModel(ctx.classes, ctx.regression)

    def step(self) -> bool:
        pool, teacher = self._ctx.texts("generator"), self._ctx.logits_source("teacher")
        parts = [self._ctx.train, pool]
        label = np.concatenate([teacher.logits(rows).argmax(axis=1) for rows in parts])
        x = self._hash.transform([t for rows in parts for t in hashed.joined(rows)])
        self._linear.fit(x, label, self._knobs.c, self._ctx.ledger)
        return False

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        return [{}]

    def predict(self, rows: Rows, knobs: Mapping[str, Any], *, phase: str) -> Logits:
        self._ctx.ledger.charge(phase, flops=1, texts=len(rows))
        return self._linear.logits(self._hash.transform(hashed.joined(rows)))

    def infer_flops(self, rows: Rows, knobs: Mapping[str, Any]) -> NDArray[np.float64]:
        return np.ones(len(rows))

    def size(self, knobs: Mapping[str, Any]) -> tuple[int, int, int]:
        return self._linear.params, self._linear.params, 4 * self._linear.params

    def graph(self, knobs: Mapping[str, Any]) -> NgramGraph:
        weight, bias = self._linear.weight, self._linear.bias
        return NgramGraph(1, self._ctx.rung.buckets, "tf", None, weight, bias)

    def state(self) -> dict[str, Any]:
        return dict(self._linear.state())

    def restore(self, state: dict[str, Any]) -> None:
        self._linear.restore(state)


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    return {"train": 1e4, "validate": float(shape.n_validation)}


METHOD = Method(
    name="toy_student",
    tldr="a linear model taught on generated texts",
    source="this test",
    families=("ngram",),
    knobs=Knobs,
    learner=Student,
    horizon=lambda knobs, rows: 0,
    price=price,
    regression=False,
    inputs=(Input("generator", "texts"), Input("teacher", "logits")),
    unlabelled=lambda knobs: knobs.transfer,
)
