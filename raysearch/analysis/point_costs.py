"""What a point costs, where that is known."""

from __future__ import annotations

import math

from raysearch.record import OperatingPoint


def flops_of(point: OperatingPoint) -> float:
    """Return expected inference FLOPs a text; 0 where they are not known.

    >>> flops_of(OperatingPoint("p", 1, infer_flops=math.nan)), flops_of(OperatingPoint("p", 1))
    (0.0, 0.0)
    """
    value = point.infer_flops
    return value if value is not None and math.isfinite(value) and value > 0 else 0.0
