"""Tables of n-gram embeddings: bound by reading words and by updates in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from raysearch.config.ladder import ModelSize
from raysearch.planning.family import Family, trained_bytes
from raysearch.planning.throughput import Rates, dan_seconds
from raysearch.training.protocol import Shape

TABLE_BYTES, BESIDE = 4, 2**31
"""A table's parameter's, and what training takes beside a table whatever its size [bytes]."""


def seconds(parts: Mapping[str, float], shape: Shape, rates: Callable[[], Rates]) -> float:
    """Return the time to read all texts and to update the table [s]."""
    texts = shape.n_train + shape.n_unlabelled + shape.n_validation
    return dan_seconds(sum(parts.values()), texts, float(shape.lengths.mean()), shape.rung)


def memory(rung: ModelSize, device: str) -> float:
    """Return what training takes: on a CPU moments stand for touched rows alone [bytes]."""
    if device == "cpu":
        return float(TABLE_BYTES * rung.params + BESIDE)
    return trained_bytes(rung, device)


FAMILY = Family(name="dan", seconds=seconds, memory=memory)
