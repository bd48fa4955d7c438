"""A trained encoder with exits and the rule by which texts exit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysearch.config.ladder import ModelSize
from raysearch.data.rows import Logits, Rows
from raysearch.encoders.batches import evaluation_batches
from raysearch.encoders.exits import ExitHeads, segment_flops
from raysearch.encoders.graphs import needed
from raysearch.encoders.models import Encoder, attention_mask, pool
from raysearch.encoders.tokens import Batch, Encoded, Tokeniser
from raysearch.outputs.exit_rules import always_first, reached, signal


@dataclass(frozen=True, slots=True, eq=False)
class ExitRule:
    """The rule by which a text exits."""

    criterion: str
    threshold: float | str
    temperature: NDArray[np.float64]
    """(K,)."""


@dataclass(frozen=True, slots=True, eq=False)
class ExitResult:
    """Result of a pass with exits."""

    logits: Logits
    """(B, C), calibrated, of the exit of each text."""
    at: NDArray[np.int64]
    """(B,)."""
    flops: int
    """Executed [FLOP]."""
    tokens: int
    """Tokens that went through a layer, each counted once a layer, over the number of layers."""


def _sure(history: NDArray[np.float32], criterion: str, goal: float) -> NDArray[np.bool_]:
    """Return which rows exit now (n,), by the signal of the last exit so far."""
    if always_first(goal, criterion, history.shape[2]):
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


@dataclass(frozen=True, slots=True, eq=False)
class ExitGraph:
    """An encoder with exits and the rule by which texts exit; float32, eval mode."""

    kind: ClassVar[str] = "exits"
    encoder: Encoder
    exits: ExitHeads
    pooling: str
    """`mean` over tokens or the `cls` state, of each layer."""
    rule: ExitRule
    rung: ModelSize
    cold: float = 1.0
    """A temperature on top of the exits' own; it divides the logits and changes no exit."""

    @property
    def classes(self) -> int:
        """Return the width of the logits."""
        return self.exits.classes

    def logits(self, rows: Rows, tokeniser: Tokeniser | None) -> Logits:
        """Return calibrated logits (n, C) of rows; TypeError without a tokeniser."""
        return self.encoded_logits(needed(tokeniser).encode(rows))

    def encoded_logits(self, encoded: Encoded) -> Logits:
        """Return calibrated logits (n, C) of token ids, in the order of the rows."""
        return self.exit_results(encoded).logits / np.float32(self.cold)

    def exit_results(self, encoded: Encoded) -> ExitResult:
        """Return logits, exits and what was executed, in batches of like lengths."""
        device = next(self.encoder.parameters()).device
        n = len(encoded.rows)
        logits, at = np.empty((n, self.classes), np.float32), np.empty(n, np.int64)
        spent = tokens = 0
        for index in evaluation_batches(encoded.lengths):
            part = self.run(encoded.batch(index, device))
            logits[index], at[index] = part.logits, part.at
            spent, tokens = spent + part.flops, tokens + part.tokens
        return ExitResult(logits, at, spent, tokens)

    @torch.no_grad()
    def run(self, batch: Batch) -> ExitResult:
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
            raw = exits(vectors, k).cpu().numpy()
            cold = np.asarray(raw / rule.temperature[k], np.float32)
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
        return ExitResult(out, at, spent, through // exits.layers[-1])

    def with_temperature(self, temperature: float) -> ExitGraph:
        """Return the graph with its final logits divided by a temperature.

        Every text exits where it did before.
        """
        return replace(self, cold=self.cold * temperature)

    def summary(self) -> Mapping[str, Any]:
        """Return the fields of an exported folder's manifest that describe the computation."""
        return {
            "pooling": self.pooling,
            "criterion": self.rule.criterion,
            "threshold": str(self.rule.threshold),
            "exits": ",".join(map(str, self.exits.layers)),
        }

    def with_knobs(self, knobs: Mapping[str, Any]) -> ExitGraph:
        """Return the same model with another criterion and threshold."""
        rule = ExitRule(knobs["criterion"], knobs["threshold"], self.rule.temperature)
        return replace(self, rule=rule)
