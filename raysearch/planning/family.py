"""A family of models: what its members need, and how long they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from raysearch.config.ladder import ModelSize
from raysearch.costs.memory import TRAINED_BYTES
from raysearch.planning.throughput import Rates
from raysearch.training.protocol import Shape


def trained_bytes(rung: ModelSize, device: str) -> float:
    """Return what weights, gradients and both moments take in float32 [bytes]."""
    return float(TRAINED_BYTES * rung.params)


@dataclass(frozen=True, slots=True)
class Family:
    """A description of one family; each stands in a file of `planning/families/`."""

    name: str
    seconds: Callable[[Mapping[str, float], Shape, Callable[[], Rates]], float]
    """(FLOPs by phase, shape, this machine's rates) -> predicted wall-clock time of a trial [s]."""
    memory: Callable[[ModelSize, str], float] = trained_bytes
    """(model, device) -> what training it takes at least [bytes]."""
    gpu: bool = False
    """Whether a GPU makes its trials faster, and bf16 its products."""
    baseline: Callable[[ModelSize], bool] = lambda rung: False
    """Whether a model takes part beside chosen encoders by default: it costs next to nothing."""
