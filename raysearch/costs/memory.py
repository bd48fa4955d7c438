"""GPU memory of a trial before it runs, by closed form."""

from __future__ import annotations

from dataclasses import dataclass

from raysearch.config.ladder import ModelSize

TRAINED_BYTES = 16
"""A trained parameter's: weight, gradient and two moments in float32."""
ANSWERING_BYTES = 4
"""A parameter's of a teacher that answers."""
CONTEXT_BYTES = 2**30
"""What a process on a GPU takes before it has done anything: kernels, workspaces."""
HEAD = 64
"""Width of an attention head [numbers]."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What the trials of a method on a model need."""

    gpu: bool
    """Whether a GPU makes them faster."""
    memory: float
    """Of the GPU, at the largest batch they may have [bytes]."""
    name: str = ""
    """What a person calls them."""
    least: float = 0.0
    """Of the memory, what no smaller batch can save [bytes]."""


def training_memory(rung: ModelSize, texts: int, tokens: int, width: int) -> float:
    """Return the GPU memory of training with batches of `texts` texts of `tokens` tokens [bytes].

    >>> base = ModelSize("base", "encoder", layers=12, hidden=768, params=110_000_000)
    >>> round(training_memory(base, 32, 128, 2) / 2**30, 1)
    4.2
    """
    heads = max(1, rung.hidden // HEAD)
    a_layer = texts * tokens * (34 * rung.hidden + 5 * heads * tokens) * width / 2
    return weights(rung) + rung.layers * a_layer


def weights(rung: ModelSize) -> float:
    """Return the GPU memory of training whatever the batch [bytes].

    Weights, their state, a process.
    """
    return float(TRAINED_BYTES * rung.params + CONTEXT_BYTES)
