"""Transformer encoders: priced by rates that are measured for each width of layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from raysearch.planning.family import Family
from raysearch.planning.throughput import Rates
from raysearch.planning.throughput import seconds as at_rates
from raysearch.training.protocol import Shape


def seconds(parts: Mapping[str, float], shape: Shape, rates: Callable[[], Rates]) -> float:
    """Return the time of FLOPs by phase at this machine's rates, opening the model included [s]."""
    return at_rates(parts, rates(), shape.rung)


FAMILY = Family(name="encoder", seconds=seconds, gpu=True)
