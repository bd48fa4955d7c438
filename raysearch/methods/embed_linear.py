"""Frozen embeddings with a linear model: what a sensible user tries first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raysearch.costs import flops
from raysearch.data.rows import Logits, Rows
from raysearch.encoders import batches
from raysearch.encoders.graphs import EncoderGraph
from raysearch.encoders.models import pool
from raysearch.storage.store import State
from raysearch.training.linear import ITERATIONS, LinearModel
from raysearch.training.protocol import Context, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    """What can be chosen about the features and the linear model."""

    c: float = 1.0
    """Inverse L2 strength of the logistic regression."""
    pooling: str = "mean"
    """`mean` over tokens or the `cls` state."""
    normalise: bool = True
    """Scale every embedding to length 1 times the square root of its width."""


class EmbedLinear:
    """The learner: one step embeds the training rows and fits the linear model."""

    def __init__(self, ctx: Context, knobs: Knobs) -> None:
        self._ctx = ctx
        self._knobs = knobs
        self._tokens = ctx.tokeniser()
        self._encoder = ctx.encoder()
        if ctx.precision == "bf16" and ctx.device.type == "cpu":
            self._encoder.run_in(torch.bfloat16)
        self._linear = LinearModel(ctx.classes, ctx.regression)
        self._size = sum(p.numel() for p in self._encoder.parameters())

    def step(self) -> bool:
        """Embed and fit."""
        assert self._ctx.train.label is not None
        x = self._embed(self._ctx.train, "train")
        self._linear.fit(x, self._ctx.train.label, self._knobs.c, self._ctx.ledger)
        return False

    @torch.no_grad()
    def _embed(self, rows: Rows, phase: str) -> NDArray[np.float32]:
        """Return embeddings (n, hidden); the executed FLOPs are charged to `phase`."""
        encoded = self._tokens.encode(rows)
        out = np.empty((len(rows), self._ctx.rung.hidden), np.float32)
        spent = tokens = 0
        autocast = self._ctx.precision == "bf16" and self._ctx.device.type == "cuda"
        for index in batches.evaluation_batches(encoded.lengths):
            batch = encoded.batch(index, self._ctx.device)
            with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
                hidden = self._encoder(batch)
            out[index] = pool(hidden.float(), batch, self._knobs.pooling).cpu().numpy()
            n, width = batch.ids.shape
            spent += n * int(flops.encoder_forward(self._ctx.rung, width))
            tokens += batch.tokens
        self._ctx.ledger.charge(phase, flops=spent, tokens=tokens)
        if self._knobs.normalise:
            out *= np.sqrt(out.shape[1]) / np.maximum(
                np.linalg.norm(out, axis=1, keepdims=True), 1e-12
            )
        return out

    @property
    def _head_flops(self) -> int:
        return flops.linear_forward(self._ctx.rung.hidden, self._ctx.classes)

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        """Return one point: the fitted model."""
        return [{}]

    def predict(self, rows: Rows, knobs: Mapping[str, Any], *, phase: str) -> Logits:
        """Return logits (n, classes), charged to `phase`."""
        x = self._embed(rows, phase)
        self._ctx.ledger.charge(phase, flops=len(rows) * self._head_flops, texts=len(rows))
        return self._linear.logits(x)

    def infer_flops(self, rows: Rows, knobs: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return each text's FLOPs (n,).

        The layers at the text's own length, and the linear model.
        """
        lengths = self._tokens.encode(rows).lengths
        body = flops.encoder_forward(self._ctx.rung, lengths)
        return np.asarray(body + self._head_flops, np.float64)

    def size(self, knobs: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return (parameters deployed, parameters trained, stored bytes).

        Encoder and linear model are deployed, the linear model alone is trained; float32.
        """
        params = self._size + self._linear.params
        return params, self._linear.params, 4 * params

    def graph(self, knobs: Mapping[str, Any]) -> EncoderGraph:
        """Return the checkpoint's encoder in float32 and the linear model on top."""
        weight, bias = self._linear.weight, self._linear.bias
        assert weight is not None and bias is not None
        return EncoderGraph(
            self._ctx.encoder(),
            self._knobs.pooling,
            self._knobs.normalise,
            torch.from_numpy(weight.T.copy()),
            torch.from_numpy(bias.copy()),
        )

    def state(self) -> State:
        """Return the linear model; the encoder is the checkpoint's."""
        return self._linear.state()

    def restore(self, state: State) -> None:
        """Restore `state()`."""
        self._linear.restore(state)


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    """Return predicted FLOPs by phase.

    Embeddings of all rows, and a fit that uses half its iterations.
    """

    def embed(n: int) -> float:
        lengths = batches.padded_lengths(shape.lengths, n)
        return n * float(flops.encoder_forward(shape.rung, lengths).mean())

    classes = 1 if shape.task.classes <= 2 else shape.task.classes
    fit = flops.logistic_regression(shape.n_train * shape.rung.hidden, classes, ITERATIONS // 2)
    return {
        "train": embed(shape.n_train) + fit,
        "validate": embed(shape.n_validation),
    }


METHOD = Method(
    name="embed_linear",
    tldr="frozen encoder embeddings with logistic regression",
    source="feature-based approach, arXiv:1810.04805 section 5.3; scikit-learn LogisticRegression",
    families=("encoder",),
    knobs=Knobs,
    learner=EmbedLinear,
    horizon=lambda knobs, n_train: 0,
    price=price,
)
