"""How an operating point is called, and raw outputs that several points derive from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PointWords:
    """What a method alone knows about one of its points."""

    label: str = ""
    """The point's own knobs in words, as `leaves at confidence 0.85`; empty for a plain model."""
    curve: str = ""
    """The sweep of one trained model that the point belongs to; empty for a point alone."""


class RawOutputs(Protocol):
    """What one pass over some rows computes: the logits of every point follow from it."""

    kind: ClassVar[str]
    """Kind of the Store's entries; `raysearch.outputs.point_kinds` has a file of that name."""

    def finite(self) -> bool:
        """Return whether every number is finite."""

    def derive(self, knobs: Mapping[str, Any]) -> NDArray[np.float32]:
        """Return logits (n, C) of a point."""

    def shares(self, knobs: Mapping[str, Any]) -> list[float]:
        """Return the share of rows that each stage of the model answers; empty without stages."""

    def write(self, folder: Path) -> None:
        """Write the arrays into a folder."""


def plain_words(knobs: Mapping[str, Any]) -> PointWords:
    """Return knobs by their names: how a point is called unless its method says more.

    >>> plain_words({"int8": True, "depth": 2}).label, plain_words({})
    ('depth 2, int8', PointWords(label='', curve=''))
    """
    return PointWords(", ".join(k if v is True else f"{k} {v}" for k, v in sorted(knobs.items())))


def with_rest(own: PointWords, rest: Mapping[str, Any]) -> PointWords:
    """Return a method's words with further knobs behind them.

    >>> with_rest(PointWords("2 rows", "float32"), {"int8": True})
    PointWords(label='2 rows, int8', curve='float32')
    """
    if not rest:
        return own
    return PointWords(f"{own.label}, {plain_words(rest).label}", own.curve)
