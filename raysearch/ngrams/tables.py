"""Tables of rows as they are stored: float32, float16, or int8 with a scale a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DTYPES = {"float32": 4, "float16": 2, "int8": 1}
"""Bytes of a value, by name."""
CUTS = (1.0, 0.3, 0.1, 0.03, 0.01)
"""Shares of the commonest rows that points of one trained table keep."""
AT_ONCE = 2**22
"""Numbers that are rounded at once."""
FEWEST = 100
"""Rows that a cut keeps at least."""


def cuts(rows: int) -> list[int]:
    """Return the numbers of rows that points keep, most first.

    >>> cuts(10_000), cuts(150)
    ([10000, 3000, 1000, 300, 100], [150])
    """
    wanted = (round(rows * share) for share in CUTS)
    return [rows, *(w for w in dict.fromkeys(wanted) if FEWEST <= w < rows)]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows (V, d), stored as they are or rounded."""

    values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]
    scale: NDArray[np.float32] | None = None
    """(V,): what int8 values are multiplied by."""

    @classmethod
    def rounded(cls, whole: NDArray[np.float32], dtype: str) -> Table:
        """Return a table stored as `dtype`.

        int8: scaled by each row's largest value, to the nearest step.

        >>> t = Table.rounded(np.array([[0.5, -1.0], [0.0, 0.0]], np.float32), "int8")
        >>> t.values.tolist(), (127 * t.scale).tolist()
        ([[64, -127], [0, 0]], [1.0, 0.0])
        """
        if dtype == "float32":
            return cls(whole)
        if dtype == "float16":
            return cls(whole.astype(np.float16))
        scale = np.empty(len(whole), np.float32)
        steps = np.empty(whole.shape, np.int8)
        for i in range(0, len(whole), some := max(1, AT_ONCE // max(1, whole.shape[1]))):
            part = whole[i : i + some]
            scale[i : i + some] = np.abs(part).max(axis=1) / np.float32(127)
            one = np.where(scale[i : i + some] > 0, scale[i : i + some], 1)
            steps[i : i + some] = np.rint(part / one[:, None])
        return cls(steps, scale)

    @staticmethod
    def bytes_of(rows: int, width: int, dtype: str) -> int:
        """Return the bytes of such a table.

        >>> Table.bytes_of(1000, 10, "int8")
        14000
        """
        return rows * (width * DTYPES[dtype] + (4 if dtype == "int8" else 0))
