"""A deep averaging network over n-grams: the mean of their rows, one hidden layer, a head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.costs.flops import linear_forward
from raysearch.encoders.models import RowEmbedding
from raysearch.ngrams.bags import NgramIds

SIDES = 4
"""A pair's vector: both texts', their product and their distance, one after another."""


@dataclass(frozen=True, slots=True)
class BagBatch:
    """Row numbers of some texts' n-grams on a device."""

    ids: Tensor
    """(m,) int64."""
    offsets: Tensor
    """Where each text begins, and the end (B + 1,) int64."""

    @classmethod
    def of(cls, bags: NgramIds, device: torch.device) -> BagBatch:
        """Return all n-grams of some bags."""
        ids = torch.from_numpy(bags.ids.astype(np.int64))
        offsets = torch.from_numpy(np.ascontiguousarray(bags.offsets))
        return cls(ids.to(device), offsets.to(device))

    def without(self, share: float) -> BagBatch:
        """Return the batch with each n-gram dropped with this probability."""
        keep = torch.rand(len(self.ids), device=self.ids.device) >= share
        through = F.pad(keep.cumsum(0), (1, 0))
        return BagBatch(self.ids[keep], through[self.offsets])


class EmbeddingBagTable(RowEmbedding):
    """A table of which only the batch's distinct rows get a gradient; a text is their mean."""

    decays: ClassVar[bool] = False
    """As in arXiv:2110.08536: weight decay on the dense layers alone."""

    def bag(self, batch: BagBatch) -> Tensor:
        """Return means (B, d); a text without an n-gram is 0."""
        if not (self.train_rows and self.training and torch.is_grad_enabled()):
            return _mean(batch.ids, self.weight, batch.offsets)
        rows, place = batch.ids.unique(return_inverse=True)
        leaf = self.weight.index_select(0, rows).requires_grad_()
        self.pending.append((rows, leaf))
        return _mean(place, leaf, batch.offsets)


def _mean(ids: Tensor, table: Tensor, offsets: Tensor) -> Tensor:
    return F.embedding_bag(ids, table, offsets, mode="mean", include_last_offset=True)


class Dan(nn.Module):
    """Table, hidden layer (ReLU), head; float32.

    arXiv:2110.08536 section 3.1; pairs as in its appendix: one encoder for both texts.
    """

    def __init__(
        self,
        rows: int,
        width: int,
        classes: int,
        *,
        pair: bool,
        skipped: float,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.pair = pair
        self.skipped = skipped
        """Share of the n-grams that a training step leaves out."""
        self.hit = 0
        """Rows of the table that all passes so far have summed up."""
        table = torch.empty(rows, width).uniform_(-1, 1, generator=generator)
        self.table = EmbeddingBagTable(table.mul_(math.sqrt(3 / width)), None)
        self.hidden = _linear(width, width, generator)
        self.head = _linear(width * (SIDES if pair else 1), classes, generator)
        self.dropout = nn.Dropout(dropout)

    def forward(self, first: BagBatch, second: BagBatch | None = None) -> Tensor:
        """Return logits (B, C)."""
        a = self._vector(first)
        if second is not None:
            a = pair_features(a, self._vector(second))
        out: Tensor = self.head(self.dropout(a))
        return out

    def _vector(self, batch: BagBatch) -> Tensor:
        if self.training and self.skipped:
            batch = batch.without(self.skipped)
        self.hit += len(batch.ids)
        return F.relu(self.hidden(self.dropout(self.table.bag(batch))))


def pair_features(a: Tensor, b: Tensor) -> Tensor:
    """Combine the vectors of both texts (B, H) each into the pair's (B, 4H)."""
    return torch.cat([a, b, a * b, (a - b).abs()], dim=1)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    # skip_init: the global generator is not drawn from
    made: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    with torch.no_grad():
        made.weight.uniform_(-bound, bound, generator=generator)
        made.bias.zero_()
    return made


def dan_params(rows: int, width: int, classes: int, *, pair: bool) -> int:
    """Return the number of parameters.

    V d + d H + H + S H C + C with H = d, and S = 4 of pairs, else 1.

    >>> dan_params(1000, 10, 2, pair=False)
    10132
    """
    head = width * (SIDES if pair else 1) * classes + classes
    return rows * width + width * width + width + head


def forward_flops(
    grams: NDArray[np.int64] | float, width: int, classes: int, *, pair: bool
) -> NDArray[np.float64]:
    """Return the FLOPs (n,) of texts with these numbers of n-grams (of pairs both texts').

    n d + 2 d H + 2 H C, H = d, however many rows the table has. Of a pair the hidden layer runs
    twice, and the head reads 4 H.

    >>> forward_flops(np.array([500]), 1000, 2, pair=False).tolist()
    [2504000.0]
    """
    texts, inputs = (2, SIDES * width) if pair else (1, width)
    dense = texts * linear_forward(width, width) + linear_forward(inputs, classes)
    return np.asarray(np.asarray(grams, np.float64) * width + dense)


def step_flops(grams: float, texts: int, width: int, classes: int, *, pair: bool) -> int:
    """Return the FLOPs of an update.

    The table's rows forward and back, the dense layers three times.
    """
    dense = float(forward_flops(0.0, width, classes, pair=pair))
    return int(2 * grams * width + 3 * texts * dense)
