"""Hashed n-grams with a linear model: bound by hashing and by sparse algebra."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from raysearch.planning.family import Family
from raysearch.planning.throughput import HASH_RATE, LINEAR_RATE, Rates
from raysearch.training.protocol import Shape

SMALL = 2**16
"""Hash buckets up to which a model takes part beside chosen encoders."""


def seconds(parts: Mapping[str, float], shape: Shape, rates: Callable[[], Rates]) -> float:
    """Return the time to hash all texts and to fit [s]."""
    tokens = float(shape.lengths.mean()) * (shape.n_train + shape.n_validation)
    return 0.1 + tokens / HASH_RATE + sum(parts.values()) / LINEAR_RATE


FAMILY = Family(name="ngram", seconds=seconds, baseline=lambda rung: rung.buckets <= SMALL)
