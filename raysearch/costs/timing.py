"""Timing a model alone: warm-up, many repeats, medians; tokenising and computing apart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32
"""Texts of a batch, for the throughput."""
FEWEST, MOST = 30, 300
"""Repeats at least and at most."""
UNEVEN_FEWEST = 100
"""Texts at least where they take different ways through the model."""
SLOW_SECONDS, SLOW_FEWEST = 10.0, 5
"""Where one repeat takes longer than this, so many repeats are enough."""
ENOUGH_SECONDS = 1.0
"""After the fewest repeats, go on until so much time is spent [s]."""
WARM_SECONDS, WARM_CALLS = 0.3, 3


@dataclass(frozen=True, slots=True)
class Model:
    """Two steps from texts to logits, each timed by itself."""

    prepare: Callable[[Sequence[str], Sequence[str] | None], Any]
    """Texts (and second texts) to what the model reads."""
    infer: Callable[[Any], Any]
    """That to logits; returns when they are there (a GPU is waited for)."""


def timed(
    model: Model,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    uneven: bool = False,
    warm: bool = False,
) -> dict[str, float]:
    """Time a model on a sample of texts, one at a time and in batches of 32.

    Args:
        model: what is timed.
        texts: the sample.
        pairs: second texts.
        uneven: texts take different ways through the model: the median would be the time of one
            way, so that latency_ms is the mean, over at least 100 texts.
        warm: a model of the same weights has just been timed: few calls warm this one up.

    Returns:
        latency_ms, latency_p95_ms and tokenise_ms at batch 1 [ms], throughput at batch 32 without
        tokenising [texts/s], and repeats, the fewer of the two.
    """
    fewest, warm_up = UNEVEN_FEWEST if uneven else FEWEST, 0.0 if warm else WARM_SECONDS
    singles = _rounds(model, texts, pairs, 1, fewest, warm_up)
    batches = _rounds(model, texts, pairs, BATCH, FEWEST, warm_up)
    latency = np.array([infer for _, infer in singles])
    size = min(BATCH, len(texts))
    return {
        "latency_ms": 1000 * float(latency.mean() if uneven else np.median(latency)),
        "latency_p95_ms": 1000 * float(np.quantile(latency, 0.95)),
        "tokenise_ms": 1000 * float(np.median([prepare for prepare, _ in singles])),
        "throughput": size / float(np.median([infer for _, infer in batches])),
        "repeats": float(min(len(singles), len(batches))),
    }


def _rounds(
    model: Model,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    size: int,
    least: int,
    warm_up: float,
) -> list[tuple[float, float]]:
    """Return (seconds to prepare, seconds to infer) of batches in turn through the texts."""
    size = min(size, len(texts))

    def batch(k: int) -> list[int]:
        return [(k * size + j) % len(texts) for j in range(size)]

    def once(k: int) -> tuple[float, float]:
        at = batch(k)
        first = [texts[i] for i in at]
        second = None if pairs is None else [pairs[i] for i in at]
        start = time.perf_counter()
        prepared = model.prepare(first, second)
        middle = time.perf_counter()
        model.infer(prepared)
        return middle - start, time.perf_counter() - middle

    begun, calls = time.perf_counter(), 0
    slowest = 0.0
    while calls < WARM_CALLS or time.perf_counter() - begun < warm_up:
        slowest = sum(once(calls))
        calls += 1
        if slowest > SLOW_SECONDS:
            break
    fewest = SLOW_FEWEST if slowest > SLOW_SECONDS else least
    out: list[tuple[float, float]] = []
    begun = time.perf_counter()
    while len(out) < fewest or (len(out) < MOST and time.perf_counter() - begun < ENOUGH_SECONDS):
        out.append(once(len(out)))
    return out


def peak_memory() -> float:
    """Return the largest resident memory of this process so far [bytes].

    NOTE: not getrusage: its ru_maxrss keeps what the parent held when it forked.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024.0 * int(line.split()[1])
    raise OSError("/proc/self/status has no VmHWM")


def busy_cores(seconds: float = 0.5) -> float:
    """Return the cores busy now, while this process sleeps; 0 on a quiet machine."""

    def read() -> Mapping[str, int]:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        ticks = [int(f) for f in fields]
        return {"idle": ticks[3] + ticks[4], "all": sum(ticks[:8])}

    before = read()
    time.sleep(seconds)
    after = read()
    passed = after["all"] - before["all"]
    if passed <= 0:
        return 0.0
    return (os.cpu_count() or 1) * (1 - (after["idle"] - before["idle"]) / passed)
