"""An encoder with an exit after several of its layers: trained together, run one after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.config.ladder import ModelSize
from raysearch.costs import flops
from raysearch.encoders.models import Encoder, OnEncoder, pool
from raysearch.encoders.tokens import Batch

MIX_GAIN = 50.0
"""A mix weight's distance from its start is this times its parameter: Adam moves a parameter by
about the learning rate a step, which is made for matrices, and a sum's weights are of size 1."""


class ExitHeads(nn.Module):
    """For each exit a weighted sum of the pooled layers below it, and a linear layer; float32.

    The weights start as the plain model of so many layers: 1 for the exit's own layer, else 0. (In
    arXiv:2004.07453's released code they are drawn at random and never move: each forward makes
    them anew, behind the optimiser's back.)
    """

    def __init__(
        self,
        layers: Sequence[int],
        hidden: int,
        classes: int,
        *,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.layers = tuple(layers)
        """Layers below each exit, ascending."""
        self.dropout = nn.Dropout(dropout)
        self.moved = nn.ParameterList([nn.Parameter(torch.zeros(n)) for n in layers])
        self.heads = nn.ModuleList()
        bound = 1 / math.sqrt(hidden)
        for _ in layers:
            # skip_init: the global generator is not drawn from
            head = nn.utils.skip_init(nn.Linear, hidden, classes)
            with torch.no_grad():
                head.weight.uniform_(-bound, bound, generator=generator)
                head.bias.zero_()
            self.heads.append(head)

    def mix(self, k: int) -> Tensor:
        """Return the weights of the layers below exit k (L_k,)."""
        own = torch.zeros_like(self.moved[k])
        own[-1] = 1.0
        out: Tensor = own + MIX_GAIN * self.moved[k]
        return out

    def forward(self, vectors: Sequence[Tensor], k: int) -> Tensor:
        """Return logits (B, C) of exit k from the pooled layers below it, each (B, H)."""
        stacked = torch.stack([v.float() for v in vectors], dim=2)
        with torch.autocast(stacked.device.type, enabled=False):
            mixed = F.linear(stacked, self.mix(k).unsqueeze(0)).squeeze(2)
            logits: Tensor = self.heads[k](self.dropout(mixed))
        return logits


class ExitClassifier(OnEncoder):
    """Encoder and exits; a forward pass runs them all."""

    def __init__(self, encoder: Encoder, exits: ExitHeads, pooling: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.exits = exits
        self.pooling = pooling

    def forward(self, batch: Batch) -> Tensor:
        """Return logits of every exit (B, K, C), float32."""
        hidden, mask = self.encoder.embed(batch)
        vectors: list[Tensor] = []
        out: list[Tensor] = []
        for i in range(self.exits.layers[-1]):
            hidden = self.encoder.layer(i, hidden, mask)
            vectors.append(pool(hidden, batch, self.pooling))
            if i + 1 in self.exits.layers:
                out.append(self.exits(vectors, len(out)))
        return torch.stack(out, dim=1)


def exit_flops(layers: Sequence[int], k: int, hidden: int, classes: int) -> int:
    """Return the FLOPs of exit k for one text: its weighted sum and its linear layer."""
    return 2 * hidden * layers[k] + flops.linear_forward(hidden, classes)


def all_flops(layers: Sequence[int], hidden: int, classes: int) -> int:
    """Return the FLOPs of all exits for one text."""
    return sum(exit_flops(layers, k, hidden, classes) for k in range(len(layers)))


def segment_flops(rung: ModelSize, layers: Sequence[int], k: int, classes: int, length: int) -> int:
    """Return the FLOPs of one text from exit k - 1 (0: from the words) to exit k.

    `length` is the text's [tokens].
    """
    below = layers[k - 1] if k else 0
    part = replace(rung, layers=layers[k] - below)
    return int(flops.encoder_forward(part, length)) + exit_flops(layers, k, rung.hidden, classes)


def text_flops(
    rung: ModelSize, layers: Sequence[int], classes: int, lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the FLOPs of texts on their own up to each exit (n, K), the earlier included.

    `lengths` are the texts' [tokens]. arXiv:2004.07453 section 4 counts layers alone; this is the
    whole, so that it can be checked.
    """
    parts = [
        flops.encoder_forward(replace(rung, layers=b - a), lengths)
        + exit_flops(layers, k, rung.hidden, classes)
        for k, (a, b) in enumerate(zip((0, *layers[:-1]), layers, strict=True))
    ]
    return np.asarray(np.stack(parts, axis=1).cumsum(axis=1), np.float64)
