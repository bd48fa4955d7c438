"""Precision of the matrix products: float32, or bfloat16 where that is measured faster.

Master weights, optimiser state, losses and scores stay float32 either way.
"""

from __future__ import annotations

import statistics
import time
from functools import cache

import torch

from raysearch.errors import InputError

FASTER = 1.2
"""bfloat16 must beat float32 by this factor before `auto` takes it."""


def resolve(precision: str, device: torch.device) -> str:
    """Turn `auto` into fp32 or bf16 for this machine; return the other names as they are.

    Raises:
        InputError: another name than auto, fp32 or bf16.
    """
    if precision in ("fp32", "bf16"):
        return precision
    if precision != "auto":
        raise InputError(f"--precision: no '{precision}'. Known: auto, fp32, bf16")
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _cpu_speedup() >= FASTER else "fp32"


@cache
def _cpu_speedup() -> float:
    """Return float32 time over bfloat16 time of a layer's products.

    The layer is 128 x 384 by 1536, forward and backward. CPUs without bfloat16 instructions are
    some ten times slower in it, those with them two to four times faster, so that a measurement of
    a few milliseconds distinguishes them even on a busy machine.
    """
    times = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(128, 384, dtype=dtype)
        w = torch.ones(1536, 384, dtype=dtype)
        runs = []
        for _ in range(6):
            start = time.perf_counter()
            y = x @ w.t()
            y.t() @ x
            runs.append(time.perf_counter() - start)
        times[dtype] = statistics.median(runs[1:])
    return times[torch.float32] / times[torch.bfloat16]
