"""Arrays that may exceed the memory."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

IN_MEMORY = 2**28
"""Bytes that are kept in memory; more are in a temporary file."""


class GrowableMemmap:
    """A column that grows at its end.

    Beyond `in_memory` bytes it is in a file without a name in the folder for temporary files (the
    variable TMPDIR), which is gone with the last view of it; the system reads and writes its pages.
    """

    def __init__(self, dtype: type[np.generic], in_memory: int = IN_MEMORY) -> None:
        self._dtype = np.dtype(dtype)
        self._in_memory = in_memory
        self._parts: list[NDArray[Any]] = []
        self._bytes = 0
        self._size = 0
        self._file = tempfile.TemporaryFile(prefix="raysearch-") if in_memory <= 0 else None

    def __len__(self) -> int:
        return self._size

    def add(self, numbers: NDArray[Any]) -> None:
        """Append these numbers."""
        numbers = np.ascontiguousarray(numbers, self._dtype)
        self._size += len(numbers)
        if self._file is not None:
            self._file.write(numbers.data)
            return
        self._parts.append(numbers)
        self._bytes += numbers.nbytes
        if self._bytes > self._in_memory:
            self._file = tempfile.TemporaryFile(prefix="raysearch-")
            for part in self._parts:
                self._file.write(part.data)
            self._parts = []

    def whole(self) -> NDArray[Any]:
        """Return all of it (m,), writable; nothing is added afterwards."""
        if self._file is None:
            parts = [np.empty(0, self._dtype), *self._parts]
            self._parts = []
            return np.concatenate(parts)
        self._file.flush()
        if not self._size:
            return np.empty(0, self._dtype)
        return np.memmap(self._file, self._dtype, mode="r+", shape=(self._size,))
