"""Temperature and calibration error: what they promise, on drawn logits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.outputs.calibration import (
    COLDEST,
    FEWEST,
    HOTTEST,
    ece,
    nll,
    reliability,
    softmax,
    temperature,
)


def drawn(n, classes, true, seed=0):
    """Logits (n, C) whose labels are drawn from softmax(logits / true)."""
    rng = np.random.default_rng(seed)
    z = 3 * rng.standard_normal((n, classes))
    p = softmax(z / true)
    label = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return z.astype(np.float32), label


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("classes", [2, 7])
def test_the_temperature_that_labels_were_drawn_with_is_found(classes, true):
    z, label = drawn(20_000, classes, true)
    assert temperature(z, label) == pytest.approx(true, rel=0.1)
    assert ece(softmax(z / true), label) < 0.02
    if true != 1.0:
        assert ece(softmax(z), label) > 2 * ece(softmax(z / true), label)


@settings(max_examples=30, deadline=None)
@given(st.integers(FEWEST, 80), st.integers(2, 5), st.floats(0.2, 8), st.integers(0, 99))
def test_it_is_never_worse_and_keeps_every_answer(n, classes, true, seed):
    z, label = drawn(n, classes, true, seed)
    before = z.copy()
    t = temperature(z, label)
    assert COLDEST <= t <= HOTTEST
    assert nll(z, label, t) <= nll(z, label) + 1e-12
    assert np.array_equal((z / np.float32(t)).argmax(axis=1), z.argmax(axis=1))
    assert np.array_equal(z, before)


def test_few_rows_one_column_and_all_right_stay_within_bounds():
    z, label = drawn(FEWEST - 1, 3, 5.0)
    assert temperature(z, label) == 1.0
    assert temperature(z[:, :1], label) == 1.0
    z, _ = drawn(200, 3, 1.0)
    assert COLDEST <= temperature(z, z.argmax(axis=1)) < 0.1
    assert HOTTEST * 0.9 < temperature(z, z.argmin(axis=1)) <= HOTTEST


def test_bins_count_every_row_once():
    z, label = drawn(1000, 3, 1.0)
    p = softmax(z)
    bins = reliability(p, label)
    assert sum(b.count for b in bins) == 1000 and len(bins) <= 15
    right = (p.argmax(axis=1) == label).mean()
    assert sum(b.count * b.accuracy for b in bins) == pytest.approx(1000 * right)
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    assert ece(np.eye(3)[label], label) == 0.0
    assert ece(p[:0], label[:0]) == 0.0


def test_logits_of_any_size_are_finite():
    z = np.array([[1e4, -1e4], [-1e4, 0.0]] * 20, np.float32)
    label = np.array([0, 1] * 20)
    assert np.isfinite(softmax(z)).all() and np.isfinite(nll(z, label))
    assert np.isfinite(temperature(z, label))
