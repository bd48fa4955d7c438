"""Exits after several layers of an encoder: how they are built, and what trains them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raysearch.data.rows import Rows
from raysearch.encoders.exit_graph import ExitGraph, ExitRule
from raysearch.encoders.exits import ExitClassifier, ExitHeads, all_flops
from raysearch.encoders.models import OnEncoder
from raysearch.encoders.tokens import Encoded
from raysearch.outputs.exit_rules import NEVER
from raysearch.training.losses import distillation
from raysearch.training.protocol import Context


def exit_loss(logits: Tensor, label: Tensor, weight: Tensor, *, follow: bool = False) -> Tensor:
    """Return the weighted sum of the exits' cross-entropies.

    arXiv:2004.07453 section 3 gives all the same weight.

    Args:
        logits: of every exit (B, K, C), the last exit last.
        label: class ids (B,).
        weight: of each exit (K,).
        follow: earlier exits also take the KL to the last one's probabilities, which get no
            gradient from it, each with its weight; self-distillation, arXiv:2004.02178 section 3.
    """
    total = logits.new_zeros(())
    last = logits[:, -1].detach()
    for k in range(logits.shape[1]):
        loss = F.cross_entropy(logits[:, k], label)
        if follow and k + 1 < logits.shape[1]:
            loss = loss + distillation(logits[:, k], last, 1.0).mean()
        total = total + weight[k] * loss
    return total


class ExitsHead:
    """An exit after each of some layers, on pooled vectors; needs nothing but an encoder."""

    def __init__(self, ctx: Context, layers: tuple[int, ...], pooling: str, dropout: float) -> None:
        self._ctx, self._pooling, self._dropout = ctx, pooling, dropout
        self._tokens = ctx.tokeniser()
        self.layers = layers
        self.flops = all_flops(layers, ctx.rung.hidden, ctx.classes)

    def encode(self, rows: Rows) -> Encoded:
        """Return token ids of the rows, special tokens included."""
        return self._tokens.encode(rows)

    def fresh(self, generator: torch.Generator) -> ExitClassifier:
        """Return the pretrained encoder with new exits."""
        ctx = self._ctx
        new = ExitHeads(
            self.layers, ctx.rung.hidden, ctx.classes, dropout=self._dropout, generator=generator
        )
        return ExitClassifier(ctx.encoder(), new, self._pooling).to(ctx.device)

    def graph(self, module: OnEncoder) -> ExitGraph:
        """Return the whole model: no text exits early, no temperature."""
        assert isinstance(module, ExitClassifier)
        rule = ExitRule("confidence", NEVER, np.ones(len(self.layers)))
        module.eval()
        return ExitGraph(module.encoder, module.exits, module.pooling, rule, self._ctx.rung)
