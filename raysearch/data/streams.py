"""A file of texts in pieces, so that it may be larger than memory."""

from __future__ import annotations

import json
import warnings
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from raysearch.data.sources import KINDS
from raysearch.errors import InputError

STREAMED = (*KINDS, ".txt")
"""File types that can be read in pieces; .txt holds a text a line."""
ROWS = 8192
"""Of a piece at most."""


def pieces(path: Path) -> Iterator[pd.DataFrame]:
    """Tables of up to 8,192 rows each, none without a row; of .txt the column is `text`.

    Of .jsonl a column may be missing where no line of the piece has it.

    Raises:
        InputError: it cannot be read, with the line where that is known.
    """
    where = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
    if path.suffix not in STREAMED:
        raise InputError(f"{where}: is no {', '.join(STREAMED[:-1])} or {STREAMED[-1]} file")
    read = {".parquet": _parquet, ".jsonl": _json_lines, ".txt": _lines}.get(path.suffix, _csv)
    try:
        for frame in read(path, where):
            frame.columns = [str(c).strip() for c in frame.columns]
            twice = frame.columns[frame.columns.duplicated()]
            if len(twice):
                raise InputError(f"{where}: column '{twice[0]}' stands twice, must stand once")
            if len(frame):
                yield frame
    except UnicodeDecodeError as e:
        raise InputError(f"{where}: is not UTF-8; save it as UTF-8 and try again") from e
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {e.strerror or 'not a file'}") from e


def _parquet(path: Path, where: str) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=ROWS):
                # as Python's own values: what is no UTF-8 is found here
                columns = [pd.Series(c.to_pylist(), dtype=object) for c in batch.columns]
                frame = pd.concat(columns, axis=1) if columns else pd.DataFrame()
                frame.columns = batch.schema.names
                yield frame
    except pa.ArrowInvalid as e:
        raise InputError(f"{where}: is not a Parquet file") from e


def _csv(path: Path, where: str) -> Iterator[pd.DataFrame]:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    separator = "\t" if path.suffix == ".tsv" else max(",;\t", key=header.count)
    try:
        with warnings.catch_warnings():
            # rows longer than the header lose their ends, and pandas only warns
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield from pd.read_csv(
                path,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                encoding="utf-8-sig",
                chunksize=ROWS,
            )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning) as e:
        raise InputError(
            f"{where}: is no table; a text that holds {separator!r} must stand in quotes"
        ) from e


def _json_lines(path: Path, where: str) -> Iterator[pd.DataFrame]:
    number = 0
    with path.open("rb") as file:
        while lines := list(islice(file, ROWS)):
            rows: list[dict[str, Any]] = []
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as e:
                    raise InputError(f"{where}: line {number}: is not JSON") from e
                if not isinstance(row, dict):
                    raise InputError(
                        f"{where}: line {number}: must be an object like {{'text': ...}}"
                    )
                rows.append(row)
            yield pd.DataFrame(rows, dtype=object)


def _lines(path: Path, where: str) -> Iterator[pd.DataFrame]:
    # as bytes: only "\n" ends a line, of the many that Unicode knows
    with path.open("rb") as file:
        if file.read(len(BOM_UTF8)) != BOM_UTF8:
            file.seek(0)
        while lines := list(islice(file, ROWS)):
            yield pd.DataFrame({"text": [line.decode("utf-8").rstrip("\r\n") for line in lines]})
