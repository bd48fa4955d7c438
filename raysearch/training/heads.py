"""Classification heads on an encoder, and the text layout each one needs."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from raysearch.costs import flops
from raysearch.data.rows import Logits, Rows
from raysearch.encoders.classifier import Classifier, predict
from raysearch.encoders.cloze import ClozeClassifier
from raysearch.encoders.graphs import ClozeGraph, EncoderGraph
from raysearch.encoders.models import OnEncoder
from raysearch.encoders.patterns import Pattern, word_ids
from raysearch.encoders.tokens import Encoded
from raysearch.training.graph import Graph
from raysearch.training.protocol import Context

Module: TypeAlias = OnEncoder


class Head(Protocol):
    """Builds modules on the rung's encoder, and lays out their input texts."""

    flops: int
    """Of one text's forward through the head alone."""

    def encode(self, rows: Rows) -> Encoded:
        """Return token ids of the rows."""

    def fresh(self, generator: torch.Generator) -> Module:
        """Return the module before the first step; new weights are drawn from `generator`."""

    def graph(self, module: Module) -> Graph:
        """Return the graph of a trained module in float32."""


class LinearHead:
    """A linear layer on a pooled vector; needs nothing but an encoder."""

    def __init__(self, ctx: Context, pooling: str, dropout: float) -> None:
        self._ctx, self._pooling, self._dropout = ctx, pooling, dropout
        self._tokens = ctx.tokeniser()
        self.flops = flops.linear_forward(ctx.rung.hidden, ctx.classes)

    def encode(self, rows: Rows) -> Encoded:
        """Return token ids of the rows, special tokens included."""
        return self._tokens.encode(rows)

    def fresh(self, generator: torch.Generator) -> Classifier:
        """Return the pretrained encoder with a new linear layer."""
        return Classifier(
            self._ctx.encoder(),
            self._ctx.classes,
            pooling=self._pooling,
            dropout=self._dropout,
            generator=generator,
        ).to(self._ctx.device)

    def graph(self, module: Module) -> EncoderGraph:
        """Return encoder, pooling and the linear layer."""
        assert isinstance(module, Classifier)
        head = module.head
        return EncoderGraph(
            module.encoder.eval(),
            self._pooling,
            False,
            head.weight.detach().cpu(),
            head.bias.detach().cpu(),
        )


class ClozeHead:
    """A masked LM's own head at the mask of a pattern; no new weights.

    Raises:
        InputError: the task has no pattern, or a label word is no single token of the vocabulary.
    """

    def __init__(self, ctx: Context, template: int = 0) -> None:
        prompt = ctx.prompt()
        self._ctx = ctx
        self._pattern = Pattern(prompt.templates[template])
        self._tokens = ctx.tokeniser()
        fast = self._tokens.fast
        self._words = word_ids(fast, prompt.words, ctx.rung.name)
        self._mask = int(fast.mask_token_id)
        h = ctx.rung.hidden
        self.flops = flops.linear_forward(h, h) + flops.linear_forward(h, ctx.classes)

    def encode(self, rows: Rows) -> Encoded:
        """Return token ids of the rows inside the pattern."""
        return self._tokens.encode(rows, self._pattern)

    def fresh(self, generator: torch.Generator) -> ClozeClassifier:
        """Return the pretrained encoder with its own masked-LM head."""
        assert self._ctx.open_head is not None
        head = self._ctx.open_head(self._words)
        module = ClozeClassifier(self._ctx.encoder(), head, self._words, self._mask)
        return module.to(self._ctx.device)

    def graph(self, module: Module) -> ClozeGraph:
        """Return encoder, masked-LM head and the label words' embeddings."""
        assert isinstance(module, ClozeClassifier)
        return ClozeGraph(
            module.encoder.eval(),
            module.head.eval(),
            self._pattern.template,
            self._mask,
            module.weight().detach().cpu(),
            module.head.bias.detach().cpu(),
        )


def heads(kind: str, ctx: Context, *, pooling: str, dropout: float, template: int) -> Head:
    """Return the head of that kind: `linear` or `cloze`."""
    if kind == "cloze":
        return ClozeHead(ctx, template)
    if kind != "linear":
        raise ValueError(f"head: no '{kind}'. Known: linear, cloze")
    return LinearHead(ctx, pooling, dropout)


def answered(ctx: Context, module: Module, head: Head, rows: Rows, phase: str) -> Logits:
    """Return a module's logits (n, classes) on this head's layout; charged to `phase`."""
    return predict(
        module,
        head.encode(rows),
        ctx.classes,
        rung=ctx.rung,
        head_flops=head.flops,
        ledger=ctx.ledger,
        phase=phase,
        device=ctx.device,
        autocast=ctx.precision == "bf16" and ctx.device.type == "cuda",
    )


def text_flops(ctx: Context, head: Head, rows: Rows) -> NDArray[np.float64]:
    """Return the FLOPs to label each row on its own (n,).

    The layers at the row's own length, and the head.
    """
    body = flops.encoder_forward(ctx.rung, head.encode(rows).lengths)
    return np.asarray(body + head.flops, np.float64)
