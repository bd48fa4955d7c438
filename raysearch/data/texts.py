"""Columns of texts on disk, read on access."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from datasets import Dataset

CHUNK = 4096
"""Texts in memory at once during a pass over all."""


class Texts(Sequence[str]):
    """A column of a memory-mapped table, or some of its rows in an order of their own."""

    def __init__(self, table: Dataset, column: str) -> None:
        self._table = table
        self._column = column

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        out: str | list[str] = self._table[at][self._column]
        return out

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    def take(self, index: NDArray[np.int64]) -> Texts:
        """Return the texts at these positions, in this order, still on disk."""
        # a name of its own: else the library makes one out of every number of the index
        return Texts(self._table.select(index, new_fingerprint=uuid.uuid4().hex), self._column)


def taken(texts: Sequence[str], index: NDArray[np.int64]) -> Sequence[str]:
    """Return the texts at these positions, in this order."""
    return texts.take(index) if isinstance(texts, Texts) else [texts[i] for i in index.tolist()]


def opened(path: Path) -> Dataset:
    """Open a table that `written` wrote, memory-mapped."""
    from datasets import Dataset

    return Dataset.from_file(str(path))


def written(path: Path, columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> int:
    """Write texts to an Arrow file, a row at a time; return how many."""
    from datasets import Features, Value
    from datasets.arrow_writer import ArrowWriter

    kinds = Features({name: Value("large_string") for name in columns})
    with ArrowWriter(path=str(path), features=kinds, writer_batch_size=CHUNK) as writer:
        for row in rows:
            writer.write(dict(zip(columns, row, strict=True)))
        count, _ = writer.finalize()
    return int(count)


FILE = "texts.arrow"


def write_texts(folder: Path, texts: Sequence[str]) -> int:
    """Write texts that a stage has made, for `read_texts`; return how many."""
    return written(folder / FILE, ["text"], ((text,) for text in texts))


def read_texts(folder: Path) -> Sequence[str]:
    """Return the texts that `write_texts` put into a folder, memory-mapped."""
    return Texts(opened(folder / FILE), "text")
