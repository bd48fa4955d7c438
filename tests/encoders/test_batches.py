"""Batches: every row once, little padding, an order that follows from seed and epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysearch.encoders.batches import POOL, epoch_batches, evaluation_batches, steps_per_epoch

lengths_of = st.lists(st.integers(1, 60), min_size=1, max_size=300).map(np.array)


@given(lengths_of, st.integers(1, 33), st.integers(0, 5))
def test_every_row_once_an_epoch(lengths, size, epoch):
    batches = epoch_batches(lengths, size, 7, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == steps_per_epoch(len(lengths), size)
    assert sum(len(b) < size for b in batches) <= 1 and all(0 < len(b) <= size for b in batches)


@given(lengths_of, st.integers(1, 500), st.integers(1, 64))
def test_every_row_once_in_evaluation(lengths, tokens, rows):
    batches = list(evaluation_batches(lengths, tokens, rows))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for b in batches:
        assert len(b) == 1 or (len(b) <= rows and len(b) * lengths[b].max() <= tokens)
    flat = lengths[np.concatenate(batches)]
    assert (np.diff(flat) >= 0).all()


def test_no_rows_no_batches():
    assert epoch_batches(np.array([], np.int64), 4, 0, 0) == []
    assert list(evaluation_batches(np.array([], np.int64))) == []


def test_the_order_follows_seed_and_epoch_alone():
    lengths = np.random.default_rng(0).integers(1, 50, 200)
    a, b = epoch_batches(lengths, 16, 1, 0), epoch_batches(lengths, 16, 1, 0)
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    for seed, epoch in ((1, 1), (2, 0)):
        other = epoch_batches(lengths, 16, seed, epoch)
        assert not np.array_equal(np.concatenate(a), np.concatenate(other))


@pytest.mark.parametrize("size", [8, 32])
def test_little_padding(size):
    lengths = np.random.default_rng(0).integers(4, 60, POOL * size)
    batches = epoch_batches(lengths, size, 0, 0)
    padded = sum(len(b) * int(lengths[b].max()) for b in batches)
    assert padded < 1.03 * lengths.sum()
    widths = [int(lengths[b].max()) for b in batches]
    assert widths != sorted(widths), "batches come in no order of length"
