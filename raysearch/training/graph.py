"""What a trained point computes, apart from how it was trained: all that an export needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from raysearch.data.rows import Logits, Rows
from raysearch.encoders.batches import evaluation_batches
from raysearch.encoders.cloze import MaskedHead, Pattern, at_mask
from raysearch.encoders.exits import ExitGraph
from raysearch.encoders.models import Encoder, pool
from raysearch.encoders.tokens import Batch, Encoded, Tokeniser
from raysearch.ngrams import dan_numpy, hashed
from raysearch.ngrams.grams import Bags, Frequent, Hashed
from raysearch.ngrams.tables import Table


@dataclass(frozen=True, slots=True, eq=False)
class EncoderGraph:
    """Encoder, pooling and a linear head; float32, eval mode."""

    kind: ClassVar[str] = "encoder"
    encoder: Encoder
    pooling: str
    """`mean` over tokens or the `cls` state."""
    normalise: bool
    """Scale the pooled vector to length sqrt(H)."""
    weight: Tensor
    """(C, H) float32 on the CPU."""
    bias: Tensor
    """(C,) float32 on the CPU."""

    @property
    def classes(self) -> int:
        """Return the width of the logits."""
        return len(self.bias)

    def head(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Map hidden states (B, S, H) to logits (B, C)."""
        vector = pool(hidden, batch, self.pooling).float()
        if self.normalise:
            vector = normalised(vector)
        return F.linear(vector, self.weight.to(vector.device), self.bias.to(vector.device))

    @torch.no_grad()
    def logits(self, encoded: Encoded) -> Logits:
        """Return logits (n, C) in the order of the rows."""
        return _logits(self, encoded)

    def cooled(self, temperature: float) -> EncoderGraph:
        """Return the graph with its logits divided by a temperature, folded into the head."""
        return replace(self, weight=self.weight / temperature, bias=self.bias / temperature)


@dataclass(frozen=True, slots=True, eq=False)
class ClozeGraph:
    """A masked LM with a cloze pattern: its head at the mask, and label words; float32."""

    kind: ClassVar[str] = "cloze"
    encoder: Encoder
    transform: MaskedHead
    """From the state at the mask to what label words are compared with."""
    template: str
    mask: int
    """Token id of the mask."""
    weight: Tensor
    """(C, H) float32 on the CPU: the mean embedding of each class's label words."""
    bias: Tensor
    """(C,) float32 on the CPU."""

    @property
    def classes(self) -> int:
        """Return the width of the logits."""
        return len(self.bias)

    def head(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Map hidden states (B, S, H) to logits (B, C)."""
        return self.answer(at_mask(hidden, batch.ids, self.mask))

    def answer(self, state: Tensor) -> Tensor:
        """Map hidden states at the mask (B, H) to logits (B, C)."""
        vector = self.transform(state.float())
        return F.linear(vector, self.weight.to(vector.device), self.bias.to(vector.device))

    @torch.no_grad()
    def logits(self, encoded: Encoded) -> Logits:
        """Return logits (n, C) in the order of the rows."""
        return _logits(self, encoded)

    def cooled(self, temperature: float) -> ClozeGraph:
        """Return the graph with its logits divided by a temperature, folded into the words."""
        return replace(self, weight=self.weight / temperature, bias=self.bias / temperature)


def _logits(graph: EncoderGraph | ClozeGraph, encoded: Encoded) -> Logits:
    device = next(graph.encoder.parameters()).device
    out = np.empty((len(encoded.rows), graph.classes), np.float32)
    for index in evaluation_batches(encoded.lengths):
        batch = encoded.batch(index, device)
        out[index] = graph.head(graph.encoder(batch), batch).float().cpu().numpy()
    return out


def normalised(vector: Tensor) -> Tensor:
    """Scale vectors (B, H) to length sqrt(H)."""
    length = torch.linalg.vector_norm(vector, dim=1, keepdim=True).clamp(min=1e-12)
    out: Tensor = vector * (math.sqrt(vector.shape[1]) / length)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class NgramGraph:
    """Hashed word n-grams and a linear model."""

    kind: ClassVar[str] = "ngram"
    ngrams: int
    """Longest n-gram; all shorter ones are taken too."""
    buckets: int
    """d."""
    weighting: str
    """`tf` or `tfidf`; rows have length 1 either way."""
    idf: NDArray[np.float32] | None
    """(d,) with tfidf, else None."""
    weight: NDArray[np.float32]
    """(d, C)."""
    bias: NDArray[np.float32]
    """(C,)."""

    @property
    def classes(self) -> int:
        """Return the width of the logits."""
        return len(self.bias)

    def logits(self, texts: list[str]) -> Logits:
        """Map texts, pairs joined, to logits (n, C)."""
        counts = hashed.hashing(self.buckets, self.ngrams, self.weighting).transform(texts)
        x = hashed.weighted(counts, self.idf)
        return np.asarray(x @ self.weight + self.bias, dtype=np.float32)

    def cooled(self, temperature: float) -> NgramGraph:
        """Return the graph with its logits divided by a temperature.

        The temperature is folded into the linear model.
        """
        cold = np.float32(temperature)
        return replace(self, weight=self.weight / cold, bias=self.bias / cold)


@dataclass(frozen=True, slots=True, eq=False)
class BagGraph:
    """A deep averaging network over n-grams; numpy arrays, float32 but for the table."""

    kind: ClassVar[str] = "bag"
    vocabulary: Frequent | Hashed
    table: Table
    """(V, d)."""
    dense: Mapping[str, NDArray[np.float32]]
    """hidden.weight (d, d), hidden.bias, head.weight (C, d) or of pairs (C, 4d), head.bias (C,)."""
    pair: bool

    @property
    def classes(self) -> int:
        """Return the width of the logits."""
        return len(self.dense["head.bias"])

    def logits(self, rows: Rows) -> Logits:
        """Return logits (n, C) of rows."""
        bags = [self.vocabulary.bags(rows.text)]
        if self.pair:
            bags.append(self.vocabulary.bags(rows.pair or [""] * len(rows)))
        return self.answer(bags)

    def answer(self, bags: Sequence[Bags]) -> Logits:
        """Return logits (n, C) of the texts' bags and, of pairs, of the second texts'."""
        vectors = [
            dan_numpy.means(self.table.values, self.table.scale, b.ids, b.offsets) for b in bags
        ]
        return np.asarray(dan_numpy.dense(self.dense, vectors), np.float32)

    def cooled(self, temperature: float) -> BagGraph:
        """Return the graph with its logits divided by a temperature, folded into the head."""
        cold = {k: v / np.float32(temperature) for k, v in self.dense.items() if k[:4] == "head"}
        return replace(self, dense={**self.dense, **cold})


Graph: TypeAlias = EncoderGraph | ClozeGraph | ExitGraph | NgramGraph | BagGraph


def logits(graph: Graph, rows: Rows, tokeniser: Tokeniser | None) -> Logits:
    """Return logits (n, C) of rows; an encoder needs its tokeniser."""
    if isinstance(graph, NgramGraph):
        return graph.logits(hashed.joined(rows))
    if isinstance(graph, BagGraph):
        return graph.logits(rows)
    if tokeniser is None:
        raise TypeError("an encoder's graph reads token ids: give the tokeniser")
    if isinstance(graph, ClozeGraph):
        return graph.logits(tokeniser.encode(rows, Pattern(graph.template)))
    return graph.logits(tokeniser.encode(rows))
