"""Tables read in parts as rows, so that long ones need no more memory.

Formats are .csv, .tsv, .jsonl and .parquet. `frames` reads the same files as data frames.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

from raysearch.data.text_tables import STDIO, Lines, objects, opened, records, why
from raysearch.errors import InputError

Row: TypeAlias = dict[str, Any]
KINDS = (".parquet", ".csv", ".tsv", ".jsonl")
"""File types of tables, in the order in which a folder is searched."""
STREAMED = (*KINDS, ".txt")
"""File types of texts; .txt holds a text a line."""


def kind_of(path: str) -> str:
    """Return a file's format by its ending; `-` is CSV on standard input or output.

    Raises:
        InputError: no type of KINDS.
    """
    if path == STDIO:
        return ".csv"
    suffix = Path(path).suffix.lower()
    if suffix not in KINDS:
        raise no_kind(path, KINDS)
    return suffix


def shown(path: Path) -> str:
    """Return a file's name for errors: with its folder's."""
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


class Reader:
    """Rows of a file in parts; `columns` are known before the first row is read."""

    def __init__(self, path: str, rows: int) -> None:
        self.path, self.where = path, "standard input" if path == STDIO else Path(path).name
        self.kind = kind_of(path)
        self.schema: Any = None
        """Arrow's types of a Parquet file, else None."""
        self.delimiter = "\t" if self.kind == ".tsv" else ","
        self.size = 0 if path == STDIO else self._size()
        """Bytes of the file, 0 where unknown."""
        self._file: IO[bytes] | None = None
        parts = self._parquet(rows) if self.kind == ".parquet" else self._text(rows)
        # The first part is read at once: a file that cannot be read says so before any work.
        self._first: list[list[Row]] = list(itertools.islice(parts, 1))
        self._rest = parts
        self.columns: tuple[str, ...] = self._columns

    _columns: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[list[Row]]:
        """Iterate over the parts, each up to `rows` rows."""
        yield from itertools.chain(self._first, self._rest)

    @property
    def head(self) -> list[Row]:
        """Return the first part's rows."""
        return self._first[0] if self._first else []

    def done(self) -> int:
        """Return the bytes read so far."""
        try:
            return self._file.tell() if self._file is not None and self.size else 0
        except (OSError, ValueError):
            return self.size

    def _size(self) -> int:
        try:
            return os.stat(self.path).st_size
        except OSError as e:
            raise InputError(f"{self.path}: cannot be read: {e.strerror}") from e

    def _text(self, rows: int) -> Iterator[list[Row]]:
        with opened(self.path) as self._file:
            lines = Lines(self._file, self.where)
            rows_read = self._jsonl(lines) if self.kind == ".jsonl" else self._csv(lines)
            while part := list(itertools.islice(rows_read, rows)):
                yield part

    def _csv(self, lines: Lines) -> Iterator[Row]:
        fields_read = records(lines, self.delimiter, strict=False)
        header, self.delimiter = next(fields_read), lines.delimiter
        self._set_columns([name.strip() for name in header])
        for fields in fields_read:
            yield dict(zip(self._columns, fields, strict=True))

    def _jsonl(self, lines: Lines) -> Iterator[Row]:
        for row in objects(lines):
            if not self._columns:
                self._set_columns(list(row))
            yield row
        if not self._columns:
            raise InputError(f"{self.where}: is empty, must hold an object a line")

    def _parquet(self, rows: int) -> Iterator[list[Row]]:
        for part in batches(Path(self.path), self.where, rows):
            self.schema = part.schema
            if not self._columns:
                self._set_columns(part.schema.names)
            if len(part):
                yield part.to_pylist()

    def _set_columns(self, columns: Sequence[str]) -> None:
        once(columns, self.where)
        self._columns = tuple(columns)


def batches(path: Path, where: str, rows: int) -> Iterator[Any]:
    """Iterate over record batches of a Parquet file; one without rows where it has none.

    Raises:
        InputError: it cannot be read, or is no Parquet file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            part = None
            for part in file.iter_batches(rows):
                yield part
            if part is None:
                yield pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
        raise InputError(f"{where}: is not a Parquet file") from e
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {why(e)}") from e


def once(columns: Sequence[str], where: str) -> None:
    """Raise InputError for a duplicate column."""
    twice = [c for c in columns if columns.count(c) > 1]
    if twice:
        raise InputError(f"{where}: column '{twice[0]}' stands twice, must stand once")


def no_kind(where: str, kinds: Sequence[str]) -> InputError:
    """Build the error for a file of another type."""
    return InputError(f"{where}: is no {', '.join(kinds[:-1])} or {kinds[-1]} file")
