"""FLOPs by closed form: multiply + add = 2, padded tokens, never mixed with MACs.

The forms equal `torch.utils.flop_counter.FlopCounterMode` to the digit with eager attention
(tests/methods/test_contract.py): matrix products count, element-wise work, layer norms, softmax
and embedding look-ups do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raysearch.config.ladder import ModelSize


def encoder_forward(rung: ModelSize, lengths: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Return the FLOPs of the encoder's layers for texts of these lengths [tokens] (n,).

    A layer costs 2s(4h^2 + 2hi) for its six linears and 4 s^2 h for the two attention products.

    >>> from raysearch.config.ladder import ModelSize
    >>> tiny = ModelSize("tiny", "encoder", layers=2, hidden=128, intermediate=512)
    >>> int(encoder_forward(tiny, 128))
    117440512
    """
    s = np.asarray(lengths, dtype=np.int64)
    h, i = rung.hidden, rung.intermediate
    return np.asarray(rung.layers * (2 * s * (4 * h * h + 2 * h * i) + 4 * s * s * h))


def linear_forward(inputs: int, outputs: int) -> int:
    """Return the FLOPs of one vector through a linear layer; the bias does not count.

    >>> linear_forward(128, 2)
    512
    """
    return 2 * inputs * outputs


def padded(lengths: NDArray[np.int64]) -> int:
    """Return the tokens that a batch executes once padded to its longest text."""
    return int(lengths.max(initial=0)) * len(lengths)


def batch_forward(rung: ModelSize, batches: list[NDArray[np.int64]]) -> int:
    """Return the FLOPs of the layers over batches, each padded to its longest text."""
    return sum(
        len(b) * int(encoder_forward(rung, int(b.max(initial=0)))) for b in batches if len(b)
    )


TRAIN_FACTOR = 3
"""A training step of all weights is exactly three forwards: one forward, twice that backward."""


def logistic_regression(nonzeros: int, classes: int, iterations: int) -> int:
    """Return the FLOPs of fitting a linear model by L-BFGS.

    X W and X^T G an iteration, 2 a nonzero each. `nonzeros` are the stored entries of X (n * d when
    dense); line searches that evaluate twice are counted once, as scikit-learn reports iterations,
    not evaluations.

    >>> logistic_regression(1000, 2, 10)
    80000
    """
    return 4 * nonzeros * classes * iterations
