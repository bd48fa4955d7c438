"""Tables read by parts, so that their length costs no memory: .csv, .tsv, .jsonl, .parquet."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

from raysearch.errors import InputError

Row: TypeAlias = dict[str, Any]
KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
STDIO = "-"
LONGEST_FIELD = 2**30  # letters: the csv module's own limit of 131,072 is a book's chapter


def kind_of(path: str) -> str:
    """How a file is read or written: by its ending; `-` is CSV on standard input or output."""
    if path == STDIO:
        return ".csv"
    suffix = Path(path).suffix.lower()
    if suffix not in KINDS:
        raise InputError(f"{path}: is no {', '.join(KINDS[:-1])} or {KINDS[-1]} file")
    return suffix


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
        self._line = 0
        self._file: IO[bytes] | None = None
        parts = self._parquet(rows) if self.kind == ".parquet" else self._text(rows)
        # The first part is read at once: a file that cannot be read says so before any work.
        self._first: list[list[Row]] = list(itertools.islice(parts, 1))
        self._rest = parts
        self.columns: tuple[str, ...] = self._columns

    _columns: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[list[Row]]:
        """The parts, each up to `rows` rows."""
        yield from itertools.chain(self._first, self._rest)

    @property
    def head(self) -> list[Row]:
        """The first part's rows."""
        return self._first[0] if self._first else []

    def done(self) -> int:
        """Bytes read so far."""
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
        try:
            raw = sys.stdin.buffer if self.path == STDIO else open(self.path, "rb")
        except OSError as e:
            raise InputError(f"{self.path}: cannot be read: {e.strerror}") from e
        self._file = raw
        limit = csv.field_size_limit(LONGEST_FIELD)
        try:
            file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            found = self._jsonl(file) if self.kind == ".jsonl" else self._csv(file)
            while part := list(itertools.islice(found, rows)):
                yield part
        except UnicodeDecodeError as e:
            raise InputError(
                f"{self.where}: is not UTF-8 near line {self._line + 1}; save it as UTF-8"
            ) from e
        except csv.Error as e:
            raise InputError(f"{self.where}: line {self._line + 1}: {e}") from e
        except OSError as e:
            raise InputError(f"{self.path}: cannot be read: {e.strerror}") from e
        finally:
            csv.field_size_limit(limit)
            if self.path != STDIO:
                raw.close()

    def _csv(self, file: IO[str]) -> Iterator[Row]:
        first = file.readline()
        if not first.strip():
            raise InputError(f"{self.where}: is empty, must hold a header and rows below it")
        if self.kind == ".csv":
            # Spreadsheets of many countries write CSV with semicolons.
            self.delimiter = max(",;\t", key=first.count)
        reader = csv.reader(itertools.chain([first], file), delimiter=self.delimiter)
        columns = [c.strip() for c in next(reader)]
        self._set_columns(columns)
        for fields in reader:
            self._line = reader.line_num
            if not fields:
                continue
            if len(fields) > len(columns):
                raise InputError(
                    f"{self.where}: line {reader.line_num} holds {len(fields)} fields, the header "
                    f"{len(columns)}; a text that holds {self.delimiter!r} must stand in quotes"
                )
            yield dict(itertools.zip_longest(columns, fields, fillvalue=""))

    def _jsonl(self, file: IO[str]) -> Iterator[Row]:
        for self._line, line in enumerate(file):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as e:
                raise InputError(f"{self.where}: line {self._line + 1}: is not JSON") from e
            if not isinstance(row, dict):
                raise InputError(
                    f"{self.where}: line {self._line + 1}: must be an object like {{'text': ...}}"
                )
            if not self._columns:
                self._set_columns(list(row))
            yield row
        if not self._columns:
            raise InputError(f"{self.where}: is empty, must hold an object a line")

    def _parquet(self, rows: int) -> Iterator[list[Row]]:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                self.schema = file.schema_arrow
                self._set_columns(self.schema.names)
                for part in file.iter_batches(rows):
                    yield part.to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
            raise InputError(f"{self.where}: is not a Parquet file") from e
        except OSError as e:
            raise InputError(f"{self.path}: cannot be read: {e.strerror or e}") from e

    def _set_columns(self, columns: Sequence[str]) -> None:
        twice = [c for c in columns if columns.count(c) > 1]
        if twice:
            raise InputError(f"{self.where}: column '{twice[0]}' stands twice, must stand once")
        self._columns = tuple(columns)
