"""Mean pooling and a bare linear head inside stock classes that have neither: exact weights.

transformers' classifiers read the first token's state through a dense layer and a tanh (BERT,
RoBERTa) or a ReLU (DistilBERT). Both are made linear, and an averaging layer puts the mean there.

The averaging layer is one more layer of the encoder's own class. Query and key are 0, so that
attention is uniform over the real tokens, and the value is the identity: attention returns the
mean m. The output matrix maps it to c W m, each of the C numbers laid on a pair of channels as +z
and -z, and its bias puts +B and -B on channels 0 and 1. LayerNorm(x + residual) divides by
sqrt(mean square), which B rules: with B >> c |z| it is the constant B sqrt(2 / H) but for a
relative (z c / B)^2, and with c >> |residual| the first token's own state vanishes. gamma undoes
the constant, beta puts new +B and -B for the second LayerNorm (the feed-forward half is 0), and
reading (z+ - z-) / 2 cancels what rounding has done to the LayerNorm's mean. Where 2 C channels do
not fit, one a class must do: LayerNorm then takes the mean of z from all classes alike, a shift
that softmax does not see.

`tests/export/test_surgery.py` measures the error: 1e-6 of the largest possible logit in float32,
1e-5 with one channel a class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

LOUD = 1e7
"""c over the largest residual: what is left of the first token's own state is 1e-7."""

RULE = 1e4
"""B over the largest c |z|: the LayerNorm is linear up to its square, 1e-8."""

LINEAR = 2.0**-12
"""Largest argument of tanh: tanh(x) = x up to a relative x^2 / 3, 2e-8."""


@dataclass(frozen=True, slots=True)
class Norm:
    """A LayerNorm's gamma (H,) and beta (H,), float64."""

    gamma: Tensor
    beta: Tensor

    def bound(self) -> Tensor:
        """Return the largest |output| of each channel (H,): a normalised vector is sqrt(H) long."""
        out: Tensor = self.gamma.abs() * math.sqrt(len(self.gamma)) + self.beta.abs()
        return out

    def reach(self, weight: Tensor) -> Tensor:
        """Return the largest |weight @ output| of each row of (C, H): Cauchy-Schwarz."""
        turned: Tensor = torch.linalg.vector_norm(weight * self.gamma, dim=1)
        out: Tensor = turned * math.sqrt(len(self.gamma)) + (weight @ self.beta).abs()
        return out


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stock head must read: `weight` @ vector, where |vector| <= `bound` in each channel."""

    weight: Tensor
    """(C, H), float64."""
    bound: Tensor
    """(H,), float64."""


def room(classes: int, hidden: int) -> bool:
    """Return whether the averaging layer can carry that many classes."""
    return classes <= hidden - 2


def averaging(weight: Tensor, last: Norm) -> tuple[Mapping[str, Tensor], Reading]:
    """Return weights of the layer that leaves weight @ mean in the first token's channels.

    Args:
        weight: head (C, H), float64; its bias is the stock head's.
        last: the encoder's last LayerNorm, for the bounds.

    Returns:
        The tensors by role (value, dense, dense_bias, gamma1, beta1, gamma2; what is not named is
        0), float64, and what to read from the layer's output.
    """
    classes, hidden = weight.shape
    assert room(classes, hidden)
    pairs = 2 * classes <= hidden - 2
    place = 2 + torch.arange(classes) * (2 if pairs else 1)
    reach = float(last.reach(weight).max()) or 1.0
    loud = LOUD * max(1.0, float(last.bound().max()))
    ruler = RULE * reach
    dense = torch.zeros(hidden, hidden, dtype=torch.float64)
    dense[place] = loud * weight
    reads = torch.zeros(classes, hidden, dtype=torch.float64)
    reads[torch.arange(classes), place] = 1.0
    used = torch.zeros(hidden, dtype=torch.float64)
    used[place] = 1.0
    if pairs:
        dense[place + 1] = -loud * weight
        reads[torch.arange(classes), place] = 0.5
        reads[torch.arange(classes), place + 1] = -0.5
        used[place + 1] = 1.0
    ends = torch.zeros(hidden, dtype=torch.float64)
    ends[0], ends[1] = ruler, -ruler
    undo = ruler * math.sqrt(2 / hidden) * used
    tensors = {
        "value": torch.eye(hidden, dtype=torch.float64),
        "dense": dense,
        "dense_bias": loud * ends,
        "gamma1": undo,
        "beta1": ends,
        "gamma2": undo,
    }
    return tensors, Reading(reads, used * reach)


def through_tanh(reading: Reading, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (dense (H, H), weight (C, H), bias (C,)); weight @ tanh(dense @ v) + bias is exact.

    The power of two keeps the scaling itself free of rounding.
    """
    small = 2.0 ** math.floor(math.log2(LINEAR / float(reading.bound.max())))
    hidden = reading.weight.shape[1]
    return small * torch.eye(hidden, dtype=torch.float64), reading.weight / small, bias


def through_relu(reading: Reading, bias: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (dense (H, H), its bias (H,), weight (C, H), bias (C,)): a ReLU, not a tanh.

    z = relu(z) - relu(-z) where two channels a class are there; else the ReLU is lifted off zero.
    """
    classes, hidden = reading.weight.shape
    dense = torch.zeros(hidden, hidden, dtype=torch.float64)
    weight = torch.zeros(classes, hidden, dtype=torch.float64)
    lift = torch.zeros(hidden, dtype=torch.float64)
    if 2 * classes <= hidden:
        dense[:classes], dense[classes : 2 * classes] = reading.weight, -reading.weight
        weight[:, :classes] = torch.eye(classes)
        weight[:, classes : 2 * classes] = -torch.eye(classes)
        return dense, lift, weight, bias
    lift = 2.0 ** torch.ceil(torch.log2(reading.bound.clamp(min=1e-6)))
    eye = torch.eye(hidden, dtype=torch.float64)
    return eye, lift, reading.weight, bias - reading.weight @ lift
