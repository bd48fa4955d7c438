"""The files that `tables_in` reads as rows, and .txt, as data frames: in pieces, or whole.

Columns are named as pandas names them.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from raysearch.data.tables_in import KINDS, STREAMED, batches, no_kind, once, shown
from raysearch.data.text_tables import Lines, objects, opened, records, why
from raysearch.errors import InputError

ROWS = 8192
"""Of a piece at most."""


def pieces(path: Path) -> Iterator[pd.DataFrame]:
    """Iterate over tables of up to 8,192 rows each, none empty; of .txt the column is `text`.

    Of .jsonl a column may be missing where no line of the piece has it.

    Raises:
        InputError: it cannot be read, with the line where that is known.
    """
    where = shown(path)
    if path.suffix not in STREAMED:
        raise no_kind(where, STREAMED)
    if path.suffix == ".parquet":
        parts = _objects_of(path, where)
    else:
        parts = _frames(path, where, ROWS)
    yield from (_named(frame, where) for frame in parts if len(frame))


def read_frame(path: Path) -> pd.DataFrame:
    """Read a CSV, TSV, JSONL or Parquet file whole; InputError in one line where it is none."""
    where = shown(path)
    if path.suffix not in KINDS:
        raise no_kind(where, KINDS)
    if path.suffix == ".parquet":
        try:
            frame = pd.read_parquet(path)
        except (ValueError, OSError) as e:
            if not path.is_file():
                raise InputError(f"{path}: cannot be read: {why(e)}") from e
            raise InputError(f"{where}: is not a Parquet file") from e
    else:
        frame = next(_frames(path, where, sys.maxsize), pd.DataFrame())
    if frame.empty:
        raise InputError(f"{where}: holds no rows, must hold a header and rows below it")
    return _named(frame, where).reset_index(drop=True)


def _frames(path: Path, where: str, rows: int) -> Iterator[pd.DataFrame]:
    """Yield tables of a text file; cells of CSV are texts, those of JSON stay as they are."""
    names, kind = None, object if path.suffix == ".jsonl" else str
    with opened(str(path)) as file:
        lines = Lines(file, where)
        records_: Iterator[Any]
        if path.suffix == ".txt":
            names, records_ = ["text"], ([t.rstrip("\r\n")] for t in lines.whole())
        elif path.suffix == ".jsonl":
            records_ = objects(lines)
        else:
            tab = "\t" if path.suffix == ".tsv" else ","
            records_ = records(lines, tab, strict=True)
            names = _unlike(next(records_))
        while part := list(itertools.islice(records_, rows)):
            # An object column keeps 1 and "1" and None; pandas would turn ids into floats.
            yield pd.DataFrame(part, columns=names, dtype=kind)


def _objects_of(path: Path, where: str) -> Iterator[pd.DataFrame]:
    """Yield tables of a Parquet file, as Python objects.

    Invalid UTF-8 is found here.
    """
    try:
        for batch in batches(path, where, ROWS):
            columns = [pd.Series(c.to_pylist(), dtype=object) for c in batch.columns]
            frame = pd.concat(columns, axis=1) if columns else pd.DataFrame()
            frame.columns = batch.schema.names
            yield frame
    except UnicodeDecodeError as e:
        raise InputError(f"{where}: is not UTF-8; save it as UTF-8 and try again") from e


def _named(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    frame.columns = [str(c).strip() for c in frame.columns]
    once(list(frame.columns), where)
    return frame


def _unlike(header: Sequence[str]) -> list[str]:
    """Return column names as pandas gives them.

    Blank ones are named by their place, equal ones numbered.

    >>> _unlike(["text", "", "n", "n"])
    ['text', 'Unnamed: 1', 'n', 'n.1']
    """
    wanted = [name or f"Unnamed: {i}" for i, name in enumerate(header)]
    taken, out = set(wanted), []
    for i, name in enumerate(wanted):
        number = 0
        while name in out or (number and name in taken):
            number += 1
            name = f"{wanted[i]}.{number}"
        out.append(name)
    return out
