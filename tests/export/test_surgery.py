"""Mean pooling inside stock classes: the claimed error, measured, for hard heads too."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from raysearch.export import surgery

HIDDEN = 48


def norm(seed, spread=1.0):
    g = torch.Generator().manual_seed(seed)
    gamma = 1 + spread * torch.randn(HIDDEN, generator=g, dtype=torch.float64) / 3
    beta = spread * torch.randn(HIDDEN, generator=g, dtype=torch.float64) / 3
    return surgery.Norm(gamma, beta)


def states(last, n=64, length=9, seed=0):
    """Hidden states as the last LayerNorm leaves them (n, length, H), float32."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, length, HIDDEN, generator=g, dtype=torch.float64)
    x = torch.nn.functional.layer_norm(x, (HIDDEN,), last.gamma, last.beta)
    return x.float()


def layer(tensors, x):
    """The added layer as BERT computes it in float32, its attention uniform."""
    t = {k: v.float() for k, v in tensors.items()}
    mean = x.mean(dim=1, keepdim=True) @ t["value"].t()
    a = mean @ t["dense"].t() + t["dense_bias"] + x
    a = torch.nn.functional.layer_norm(a, (HIDDEN,), t["gamma1"], t["beta1"], 1e-12)
    zero = torch.zeros(HIDDEN)
    return torch.nn.functional.layer_norm(a, (HIDDEN,), t["gamma2"], zero, 1e-12)[:, 0]


@pytest.mark.parametrize("classes", [1, 2, 23, 24, 46])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_the_layer_gives_the_logits_to_a_millionth(classes, scale, spread):
    last = norm(classes, spread)
    x = states(last)
    g = torch.Generator().manual_seed(classes)
    weight = scale * torch.randn(classes, HIDDEN, generator=g, dtype=torch.float64) / 7
    tensors, reading = surgery.averaging(weight, last)
    v = layer(tensors, x)
    expected = x.double().mean(dim=1) @ weight.t()
    found = v.double() @ reading.weight.t()
    size = float(last.reach(weight).max())
    paired = 2 * classes <= HIDDEN - 2
    if not paired:  # up to a shift of all classes, which softmax does not see
        found = found - found.mean(dim=1, keepdim=True)
        expected = expected - expected.mean(dim=1, keepdim=True)
    assert float((found - expected).abs().max()) < (1e-6 if paired else 1e-5) * size
    assert (v.abs() <= reading.bound.float() * 1.001 + 1e-4 * size).all(), "bounds hold"
    assert all(np.isfinite(t.float().numpy()).all() for t in tensors.values())


@pytest.mark.parametrize("bound", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("classes", [1, 3, 30])
def test_tanh_and_relu_become_linear(bound, classes):
    g = torch.Generator().manual_seed(1)
    weight = torch.randn(classes, HIDDEN, generator=g, dtype=torch.float64)
    bias = torch.randn(classes, generator=g, dtype=torch.float64)
    v = (bound * (2 * torch.rand(64, HIDDEN, generator=g) - 1)).float()
    reading = surgery.Reading(weight, torch.full((HIDDEN,), bound, dtype=torch.float64))
    expected = v.double() @ weight.t() + bias
    dense, w, b = (t.float() for t in surgery.through_tanh(reading, bias))
    size = 1e-6 * (1 + bound * math.sqrt(HIDDEN) * 3)
    assert float((torch.tanh(v @ dense.t()) @ w.t() + b - expected).abs().max()) < 3 * size
    dense, lift, w, b = (t.float() for t in surgery.through_relu(reading, bias))
    assert float((torch.relu(v @ dense.t() + lift) @ w.t() + b - expected).abs().max()) < 3 * size


def test_bounds_are_reached_and_not_exceeded():
    last = norm(0)
    x = states(last, n=2000).double().flatten(0, 1)
    weight = torch.randn(3, HIDDEN, dtype=torch.float64)
    assert ((x @ weight.t()).abs() <= last.reach(weight)).all()
    assert (x.abs() <= last.bound() + 1e-6).all()


def test_what_does_not_fit_is_known():
    assert surgery.room(46, HIDDEN) and not surgery.room(47, HIDDEN)
