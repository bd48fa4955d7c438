"""What a text costs as pictures have it: `ms` is latency with tokenisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from raysearch.objectives import get
from raysearch.recommend.points import MS, NOUNS, PARTS_OF_MS


def axis(cost: str) -> str:
    """Return the name of a cost and its unit; `ms` is that of the first page.

    >>> axis("infer_flops"), axis("ms")
    ('inference compute [FLOP/text]', 'time per text [ms]')

    Raises:
        InputError: an unknown cost.
    """
    unit = "ms" if cost == MS else get(cost).unit
    return f"{NOUNS.get(cost, cost.replace('_', ' '))} [{unit}]"


def cost_of(costs: Mapping[Any, float], cost: str) -> float | None:
    """Return a cost out of columns; `ms` is latency with tokenisation, None where not measured.

    >>> cost_of({"latency_ms": 2.0, "tokenise_ms": 0.5}, "ms"), cost_of({}, "ms")
    (2.5, None)
    """
    names = PARTS_OF_MS if cost == MS else (cost,)
    first, *more = [costs.get(n) for n in names]
    if first is None or not math.isfinite(first) or first <= 0:
        return None
    return first + sum(v for v in more if v is not None and math.isfinite(v))
