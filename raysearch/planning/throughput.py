"""Predict what a trial will cost: FLOPs by closed form, seconds by this machine's rates.

The rates are measured once for each width of layer, on random weights: a few real training steps
and forwards of two layers, with as many threads as a trial will get.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from raysearch.config.ladder import ModelSize
from raysearch.costs import flops
from raysearch.encoders.classifier import Classifier, task_loss
from raysearch.encoders.models import Encoder
from raysearch.encoders.tokens import Batch
from raysearch.storage.checkpoints import quiet_libraries
from raysearch.training.loop import OptimiserConfig, OptimiserLoop

LAYERS = 2
"""Layers that are timed; a deeper encoder of the same width works at the same rate."""

SETUP = 0.3
"""Seconds to open a trial: data, tokens, configuration."""

LOAD_RATE = 1e8
"""Parameters read, built and written again a second."""

LINEAR_RATE = 5e8
"""FLOP/s of sparse linear algebra: bound by memory, about the same on every CPU of today."""

HASH_RATE = 1e6
"""Tokens hashed a second by scikit-learn's vectoriser."""


WORD_RATE = 4e5
"""Words a second that a table's vocabulary is counted from and that are read by it, up to three in
a row: 6e5 and 1.2e6 on sst2_sent and imdb with one thread."""

BAG_RATE = 2.5e8
"""FLOP/s of a table's updates, bound by memory: 1.8e8 to 3.3e8 at widths 50 and 100 there."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast this machine works at one width of layer."""

    train: float
    """FLOP/s of training steps."""
    infer: float
    """FLOP/s of forwards."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a trial is predicted to cost."""

    flops: float
    """Training FLOPs, in-trial validation included, teachers in full [FLOP]."""
    labels: int
    seconds: float
    """Wall-clock time of the trial itself on this machine with its share of threads [s]."""
    own: float = 0.0
    """The part of the FLOPs that the trial executes itself [FLOP]."""


def measure(
    rung: ModelSize, length: int, precision: str, device: torch.device, threads: int
) -> Rates:
    """Time a few training steps (batch 16) and forwards (batch 32) of two layers of this width."""
    from transformers import BertConfig, BertModel

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        two = replace(rung, layers=min(LAYERS, rung.layers))
        config = BertConfig(
            vocab_size=1000,  # the word table is row-sparse: its size does not count
            hidden_size=rung.hidden,
            num_hidden_layers=two.layers,
            num_attention_heads=max(1, rung.hidden // 32),
            intermediate_size=rung.intermediate,
            max_position_embeddings=max(length, rung.positions),
        )
        config._attn_implementation = "sdpa" if device.type == "cuda" else "eager"
        with quiet_libraries(), torch.random.fork_rng(devices=[]):
            body = BertModel(config, add_pooling_layer=False)
        module = Classifier(
            Encoder(body, rung.hidden), 2, pooling="mean", dropout=0.1, generator=torch.Generator()
        ).to(device)
        loop = OptimiserLoop(
            module, OptimiserConfig(1e-5), 100, seed=0, precision=precision, device=device
        )
        rng = np.random.default_rng(0)

        def batch(rows: int) -> Batch:
            ids = rng.integers(0, 1000, (rows, length))
            full = torch.ones(rows, length, dtype=torch.bool, device=device)
            return Batch(torch.from_numpy(ids).to(device), full, None, True)

        label = torch.zeros(16, dtype=torch.int64, device=device)
        x, wide = batch(16), batch(32)
        train = _median(lambda: loop.update([lambda: task_loss(module(x), label)]), device)
        module.eval()
        with torch.no_grad():
            infer = _median(lambda: module(wide), device)
    finally:
        torch.set_num_threads(before)
    forward = int(flops.encoder_forward(two, length))
    return Rates(flops.TRAIN_FACTOR * 16 * forward / train, 32 * forward / infer)


def _median(work: Callable[[], object], device: torch.device) -> float:
    """Return the median time of four runs after two to warm up [s]."""
    times = []
    for _ in range(6):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def seconds(parts: Mapping[str, float], rates: Rates, rung: ModelSize) -> float:
    """Return the predicted time of FLOPs by phase at these rates [s].

    Opening the model is included.
    """
    train = parts.get("train", 0.0) / rates.train
    setup = SETUP + rung.params / LOAD_RATE
    return setup + train + sum(v for k, v in parts.items() if k != "train") / rates.infer


def dan_seconds(flops: float, texts: int, length: float, rung: ModelSize) -> float:
    """Return the predicted time of training a table of n-grams [s].

    Reading its texts' words, its updates and its weights.
    """
    words = texts * length
    return SETUP + words / WORD_RATE + flops / BAG_RATE + rung.params / LOAD_RATE
