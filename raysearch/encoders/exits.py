"""An encoder with an exit after several of its layers: trained together, run one after another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.config.ladder import Rung
from raysearch.costs import flops
from raysearch.data.rows import Logits
from raysearch.encoders.batches import evaluation_batches
from raysearch.encoders.models import Encoder, attention_mask, pool
from raysearch.encoders.tokens import Batch, Encoded
from raysearch.outputs.exit_rules import first_of_all, reached, signal

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


class ExitClassifier(nn.Module):
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


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """The rule by which a text exits."""

    criterion: str
    threshold: float | str
    temperature: NDArray[np.float64]
    """(K,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Left:
    """Result of a pass with exits."""

    logits: Logits
    """(B, C), calibrated, of the exit that each text left at."""
    at: NDArray[np.int64]
    """(B,)."""
    flops: int
    """Executed [FLOP]."""
    tokens: int
    """Tokens that went through a layer, each counted once a layer, over the number of layers."""


def _sure(history: NDArray[np.float32], criterion: str, goal: float) -> NDArray[np.bool_]:
    """Return which rows exit now (n,), by the signal of the last exit so far."""
    if first_of_all(goal, criterion, history.shape[2]):
        return np.ones(len(history), np.bool_)
    seen = history if criterion == "patience" else history[:, -1:]
    return np.asarray(signal(seen, criterion)[:, -1] >= goal)


def _kept(batch: Batch, keep: Tensor) -> Batch:
    """Return the batch of these rows alone, cut to their longest."""
    mask = batch.mask[keep]
    lengths = mask.sum(dim=1)
    width = int(lengths.max())
    return Batch(
        batch.ids[keep, :width],
        mask[:, :width],
        None if batch.types is None else batch.types[keep, :width],
        bool((lengths == width).all()),
    )


def exit_flops(layers: Sequence[int], k: int, hidden: int, classes: int) -> int:
    """Return the FLOPs of exit k for one text: its weighted sum and its linear layer."""
    return 2 * hidden * layers[k] + flops.linear_forward(hidden, classes)


def all_flops(layers: Sequence[int], hidden: int, classes: int) -> int:
    """Return the FLOPs of all exits for one text."""
    return sum(exit_flops(layers, k, hidden, classes) for k in range(len(layers)))


def segment_flops(rung: Rung, layers: Sequence[int], k: int, classes: int, length: int) -> int:
    """Return the FLOPs of one text from exit k - 1 (0: from the words) to exit k.

    `length` is the text's [tokens].
    """
    below = layers[k - 1] if k else 0
    part = replace(rung, layers=layers[k] - below)
    return int(flops.encoder_forward(part, length)) + exit_flops(layers, k, rung.hidden, classes)


def text_flops(
    rung: Rung, layers: Sequence[int], classes: int, lengths: NDArray[np.int64]
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


@dataclass(frozen=True, slots=True, eq=False)
class ExitGraph:
    """An encoder with exits and the rule by which texts exit; float32, eval mode."""

    kind: ClassVar[str] = "exits"
    encoder: Encoder
    exits: ExitHeads
    pooling: str
    """`mean` over tokens or the `cls` state, of each layer."""
    rule: Rule
    rung: Rung
    cold: float = 1.0
    """A temperature on top of the exits' own, for what is answered and not for who leaves."""

    @property
    def classes(self) -> int:
        """Return the width of the logits."""
        return self.exits.classes

    def logits(self, encoded: Encoded) -> Logits:
        """Return calibrated logits (n, C) in the order of the rows."""
        return self.left(encoded).logits / np.float32(self.cold)

    def left(self, encoded: Encoded) -> Left:
        """Return logits, exits and what was executed, in batches of like lengths."""
        device = next(self.encoder.parameters()).device
        n = len(encoded.rows)
        logits, at = np.empty((n, self.classes), np.float32), np.empty(n, np.int64)
        spent = tokens = 0
        for index in evaluation_batches(encoded.lengths):
            part = self.run(encoded.batch(index, device))
            logits[index], at[index] = part.logits, part.at
            spent, tokens = spent + part.flops, tokens + part.tokens
        return Left(logits, at, spent, tokens)

    @torch.no_grad()
    def run(self, batch: Batch) -> Left:
        """Run segments one after another; texts that have exited are in no later batch.

        The batch is cut to its longest remaining text, too.
        """
        encoder, exits, rule, classes = self.encoder, self.exits, self.rule, self.classes
        n, last = len(batch.ids), len(exits.layers) - 1
        goal = reached(rule.threshold)
        out = np.empty((n, classes), np.float32)
        at = np.full(n, last, np.int64)
        rows = np.arange(n)
        history = np.empty((n, 0, classes), np.float32)
        spent, through = 0, 0
        hidden, mask = encoder.embed(batch)
        vectors: list[Tensor] = []
        done = 0
        for k, upto in enumerate(exits.layers):
            width = hidden.shape[1]
            for i in range(done, upto):
                hidden = encoder.layer(i, hidden, mask)
                vectors.append(pool(hidden, batch, self.pooling))
            spent += len(rows) * segment_flops(self.rung, exits.layers, k, classes, width)
            through += len(rows) * width * (upto - done)
            done = upto
            found = exits(vectors, k).cpu().numpy()
            cold = np.asarray(found / rule.temperature[k], np.float32)
            history = np.concatenate([history, cold[:, None]], axis=1)
            if k == last:
                out[rows] = cold
                break
            if not math.isfinite(goal):
                continue
            stay = ~_sure(history, rule.criterion, goal)
            if stay.all():
                continue
            out[rows[~stay]] = cold[~stay]
            at[rows[~stay]] = k
            if not stay.any():
                break
            rows, history = rows[stay], history[stay]
            keep = torch.from_numpy(np.flatnonzero(stay)).to(hidden.device)
            batch = _kept(batch, keep)
            hidden = hidden[keep, : batch.ids.shape[1]]
            mask = None if batch.full else attention_mask(batch, hidden.dtype)
            vectors = [v[keep] for v in vectors]
        return Left(out, at, spent, through // exits.layers[-1])

    def cooled(self, temperature: float) -> ExitGraph:
        """Return the graph with its final logits divided by a temperature.

        Every text exits where it did before.
        """
        return replace(self, cold=self.cold * temperature)

    def ruled(self, knobs: Mapping[str, Any]) -> ExitGraph:
        """Return the same model with another criterion and threshold."""
        rule = Rule(knobs["criterion"], knobs["threshold"], self.rule.temperature)
        return replace(self, rule=rule)
