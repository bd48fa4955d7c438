"""What a trained encoder with a linear head, or behind a cloze pattern, computes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raysearch.data.rows import Logits, Rows
from raysearch.encoders.batches import evaluation_batches
from raysearch.encoders.cloze import MaskedHead, at_mask
from raysearch.encoders.models import Encoder, pool
from raysearch.encoders.patterns import Pattern
from raysearch.encoders.tokens import Batch, Encoded, Tokeniser


def needed(tokeniser: Tokeniser | None) -> Tokeniser:
    """Return the tokeniser; TypeError without one."""
    if tokeniser is None:
        raise TypeError("an encoder's graph reads token ids: give the tokeniser")
    return tokeniser


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

    def logits(self, rows: Rows, tokeniser: Tokeniser | None) -> Logits:
        """Return logits (n, C) of rows; TypeError without a tokeniser."""
        return self.encoded_logits(needed(tokeniser).encode(rows))

    @torch.no_grad()
    def encoded_logits(self, encoded: Encoded) -> Logits:
        """Return logits (n, C) of token ids, in the order of the rows."""
        return _logits(self, encoded)

    def summary(self) -> Mapping[str, Any]:
        """Return the fields of an exported folder's manifest that describe the computation."""
        return {"pooling": self.pooling, "normalise": self.normalise}

    def with_knobs(self, knobs: Mapping[str, Any]) -> None:
        """Return None: no other point shares these weights."""

    def with_temperature(self, temperature: float) -> EncoderGraph:
        """Return the graph with its logits divided by a temperature, folded into the head."""
        return replace(self, weight=self.weight / temperature, bias=self.bias / temperature)


@dataclass(frozen=True, slots=True, eq=False)
class ClozeGraph:
    """A masked LM behind a pattern: its head at the mask, and label words; float32, eval mode."""

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

    def logits(self, rows: Rows, tokeniser: Tokeniser | None) -> Logits:
        """Return logits (n, C) of rows inside the pattern; TypeError without a tokeniser."""
        return self.encoded_logits(needed(tokeniser).encode(rows, Pattern(self.template)))

    @torch.no_grad()
    def encoded_logits(self, encoded: Encoded) -> Logits:
        """Return logits (n, C) of token ids, in the order of the rows."""
        return _logits(self, encoded)

    def summary(self) -> Mapping[str, Any]:
        """Return the fields of an exported folder's manifest that describe the computation."""
        return {"template": self.template}

    def with_knobs(self, knobs: Mapping[str, Any]) -> None:
        """Return None: no other point shares these weights."""

    def with_temperature(self, temperature: float) -> ClozeGraph:
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
