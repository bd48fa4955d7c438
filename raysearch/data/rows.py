"""Rows of a split, and the types of what learners return for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from raysearch.data.texts import taken

Logits: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one split, in a fixed order."""

    split: str
    ids: NDArray[np.int64]
    """Row numbers in their split (n,)."""
    text: Sequence[str]
    pair: Sequence[str] | None = None
    label: NDArray[np.int64] | NDArray[np.float32] | None = None
    """Class ids (n,) or, for regression, numbers (n,); None for unlabelled rows."""
    unit: NDArray[np.int64] | None = None
    """What must stay on one side (n,): rows of one number are relatives; None: each for itself."""

    def __len__(self) -> int:
        return len(self.text)

    def take(self, index: NDArray[np.int64]) -> Rows:
        """Return the rows at these positions, in this order."""
        return Rows(
            self.split,
            self.ids[index],
            taken(self.text, index),
            None if self.pair is None else taken(self.pair, index),
            None if self.label is None else self.label[index],
            None if self.unit is None else self.unit[index],
        )
