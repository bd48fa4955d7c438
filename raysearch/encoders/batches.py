"""Length-bucketed batches: little padding, and an order that follows from seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

POOL = 50
"""Batches whose texts are sorted together; larger saves padding, smaller mixes better."""


def epoch_batches(
    lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Return one epoch's batches of row positions; every row once, batches of like lengths.

    Rows are shuffled, cut into pools of 50 batches, sorted by length inside a pool and cut into
    batches, whose order is shuffled again. The last batch may be smaller. O(n log n).

    >>> [len(b) for b in epoch_batches(np.array([3, 9, 4, 8, 5]), 2, seed=0, epoch=0)]
    [1, 2, 2]
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return the number of batches in one epoch of n rows."""
    return -(-n // batch_size)


def evaluation_batches(
    lengths: NDArray[np.int64], tokens: int = 4096, rows: int = 64
) -> Iterator[NDArray[np.int64]]:
    """Yield batches of row positions by length.

    Each has at most `rows` rows or `tokens` padded tokens.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while (
            stop < len(order)
            and stop - start < rows
            and (stop - start + 1) * int(lengths[order[stop]]) <= tokens
        ):
            stop += 1
        yield order[start:stop]
        start = stop


ENOUGH = 4096
"""Rows after which more of them change nothing about how much is padded."""


def padded_lengths(
    sample: NDArray[np.int64], n: int, batch_size: int | None = None
) -> NDArray[np.int64]:
    """Return executed lengths of n rows with own lengths like the sample's, padding included.

    Args:
        sample: lengths of some texts (m,) [tokens].
        n: rows that are batched together; more than `ENOUGH` are stood for by so many.
        batch_size: of training batches; None: evaluation batches.

    >>> padded_lengths(np.array([3, 9, 4, 8]), 4, batch_size=2).tolist()
    [4, 4, 9, 9]
    """
    most = ENOUGH if batch_size is None else POOL * batch_size
    key = np.ascontiguousarray(sample, np.int64).tobytes()
    return _padded(key, max(1, min(n, most)), batch_size)


@lru_cache(maxsize=256)
def _padded(sample: bytes, n: int, batch_size: int | None) -> NDArray[np.int64]:
    ordered = np.sort(np.frombuffer(sample, np.int64))
    rows = ordered[((np.arange(n) + 0.5) / n * len(ordered)).astype(np.int64)]
    if batch_size is None:
        batches = list(evaluation_batches(rows))
    else:
        batches = [np.arange(i, min(i + batch_size, n)) for i in range(0, n, batch_size)]
    out = np.empty(n, np.int64)
    for index in batches:
        out[index] = rows[index].max()
    out.flags.writeable = False
    return out
