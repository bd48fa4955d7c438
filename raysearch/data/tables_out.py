"""Tables written by parts, whole or not at all: .csv, .tsv, .jsonl and .parquet."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias

from raysearch.data.tables_in import Reader, Row, kind_of
from raysearch.data.text_tables import STDIO
from raysearch.errors import InputError, RecordError

Write: TypeAlias = Callable[[list[Row]], None]


@contextmanager
def writing(path: str, like: Reader, added: Mapping[str, type], force: bool) -> Iterator[Write]:
    """Yield a function that writes rows; the file gets its name once all are written, or never.

    Args:
        path: the file, `-` for standard output.
        like: the input, whose columns come first.
        added: further columns, str or float.
        force: replace an existing file.

    Raises:
        InputError: the file exists, or a row does not fit.
        RecordError: the disk refuses.
    """
    kind = kind_of(path)
    if path == STDIO:
        out = io.TextIOWrapper(
            sys.stdout.buffer, encoding="utf-8", errors="backslashreplace", newline=""
        )
        try:
            yield csv_writer(out, [*like.columns, *added], ",", like.where)
            out.flush()
        finally:
            out.detach()
        return
    target = Path(path)
    if target.exists() and (not force or target.is_dir()):
        raise InputError(f"{path}: stands there already; --force replaces it")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if kind == ".parquet":
            with _parquet_writer(part, like, added) as write:
                yield write
        else:
            with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                if kind == ".jsonl":
                    yield jsonl_writer(file)
                else:
                    own = like.delimiter if like.kind == ".csv" else ","
                    tab = "\t" if kind == ".tsv" else own
                    yield csv_writer(file, [*like.columns, *added], tab, like.where)
        os.replace(part, target)
    except OSError as e:
        raise RecordError(f"{path}: cannot be written: {e.strerror or e}") from e
    finally:
        part.unlink(missing_ok=True)


def csv_writer(file: IO[str], columns: Sequence[str], delimiter: str, where: str) -> Write:
    """Return a function that writes rows as CSV below a header, which it writes at once.

    Args:
        file: opened for text, with `newline=""`.
        columns: the header.
        delimiter: between two fields.
        where: what an error calls the rows' source.
    """
    writer = csv.DictWriter(file, columns, delimiter=delimiter, lineterminator="\n", restval="")
    writer.writeheader()

    def write(rows: list[Row]) -> None:
        for row in rows:
            for name in row.keys() - writer.fieldnames:
                raise InputError(
                    f"{where}: a later row has a key '{name}' that the first has not; write "
                    "a .jsonl"
                )
            plain = {
                k: json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict) else v
                for k, v in row.items()
            }
            writer.writerow(plain)

    return write


def jsonl_writer(file: IO[str]) -> Write:
    """Return a function that writes rows as JSON, one a line."""

    def write(rows: list[Row]) -> None:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")

    return write


@contextmanager
def _parquet_writer(path: Path, like: Reader, added: Mapping[str, type]) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {str: pa.string(), float: pa.float64()}
    more = [pa.field(name, kinds[kind]) for name, kind in added.items()]
    own = like.schema if like.schema is not None else None
    if own is None and like.kind != ".jsonl":
        own = pa.schema([pa.field(c, pa.string()) for c in like.columns])
    if own is None:
        try:
            own = pa.Table.from_pylist(like.head).schema
        except (pa.ArrowException, UnicodeEncodeError) as e:
            raise InputError(f"{like.where}: its rows make no table: {e}; write a .jsonl") from e
    schema = own
    for f in more:
        schema = schema.append(f)
    with parquet.ParquetWriter(path, schema) as writer:

        def write(rows: list[Row]) -> None:
            for name in {k for row in rows for k in row} - set(schema.names):
                raise InputError(
                    f"{like.where}: a later row has a key '{name}' that the first has not; write "
                    "a .jsonl"
                )
            try:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            except (pa.ArrowException, TypeError, UnicodeEncodeError) as e:
                reason = str(e).splitlines()[0]
                raise InputError(f"{like.where}: a row does not fit a table: {reason}") from e

        yield write
