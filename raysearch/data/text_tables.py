"""CSV, TSV and JSON lines, row by row; errors name the line, and the byte that is no UTF-8."""

from __future__ import annotations

import csv
import itertools
import json
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from raysearch.errors import InputError

STDIO = "-"
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
LONGEST_FIELD = 2**30  # characters: the csv module's own limit is 131,072, a book's chapter


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Open a file's bytes, or standard input's, which stays open.

    Raises:
        InputError: the disk refuses, here or while it is read.
    """
    try:
        if path == STDIO:
            yield sys.stdin.buffer
        else:
            with open(path, "rb") as file:
                yield file
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {why(e)}") from e


def why(e: Exception) -> str:
    """Return the system's reason for not opening a file."""
    return getattr(e, "strerror", None) or "not a file"


class Lines:
    """Decoded lines of a file with their ends, which are those of csv: LF, CR LF and CR."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self.where, self._file = where, file
        self.delimiter = ","
        self.number = 0
        self.record: list[str] = []
        """Lines that were read since the list was last taken."""

    def whole(self) -> Iterator[str]:
        """Iterate over lines that end with LF alone.

        Raises:
            InputError: bytes that are no UTF-8.
        """
        start = 0
        for number, raw in enumerate(self._file, start=1):
            skip = len(BOM_UTF8) if number == 1 and raw.startswith(BOM_UTF8) else 0
            try:
                yield raw[skip:].decode("utf-8")
            except UnicodeDecodeError as e:
                raise InputError(
                    f"{self.where}: is not UTF-8 at byte {start + skip + e.start}, line {number}; "
                    "save it as UTF-8 and try again"
                ) from e
            start += len(raw)

    def __iter__(self) -> Iterator[str]:
        for text in self.whole():
            inner = text.find("\r", 0, -2 if text.endswith("\r\n") else len(text)) >= 0
            for line in LINE.findall(text) if inner else (text,):
                self.number += 1
                self.record.append(line)
                yield line


def records(lines: Lines, delimiter: str, *, strict: bool) -> Iterator[list[str]]:
    """Iterate over the header's fields, then each row's, as many as the header has.

    Args:
        lines: the file's; they learn which delimiter it has.
        delimiter: a tab, or a comma for whichever of , ; and tab the header has most of.
        strict: as pandas reads: a line of white space alone is no row, and quotes must close.

    Raises:
        InputError: no header, more fields than the header has, or quotes that do not close.
    """
    text = iter(lines)
    first = next((line for line in text if line.strip()), None)
    if first is None:
        raise InputError(f"{lines.where}: is empty, must hold a header and rows below it")
    if delimiter == ",":  # spreadsheets of many countries write CSV with semicolons
        delimiter = max(",;\t", key=first.count)
    lines.delimiter = delimiter
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        reader = csv.reader(itertools.chain([first], text), delimiter=delimiter)
        header = next(reader)
        yield header
        width = len(header)
        last, lines.record = lines.record, []
        for fields in reader:
            last, lines.record = lines.record, []
            blank = len(fields) == 1 and fields[0].isspace() and "".join(last).isspace()
            if not fields or (blank and strict):
                continue
            if len(fields) > width:
                raise InputError(
                    f"{lines.where}: line {lines.number} holds {len(fields)} fields, the header "
                    f"{width}; a text that holds {delimiter!r} must stand in quotes"
                )
            if len(fields) < width:
                fields += [""] * (width - len(fields))
            yield fields
        if strict:
            _check_end(last, delimiter, lines)
    except csv.Error as e:
        raise InputError(f"{lines.where}: line {lines.number}: {e}") from e
    finally:
        csv.field_size_limit(limit)


def _check_end(last: list[str], delimiter: str, lines: Lines) -> None:
    """Raise InputError where the last record's quotes do not close: it holds the file's rest."""
    if len(list(csv.reader([*last, "more"], delimiter=delimiter))) < 2:
        first = lines.number - len(last) + 1
        raise InputError(f"{lines.where}: line {first}: a text in quotes has no end")


def objects(lines: Lines) -> Iterator[dict[str, Any]]:
    """Iterate over JSON's objects, one a line; blank lines are skipped.

    Raises:
        InputError: a line that is no JSON, or no object.
    """
    for number, line in enumerate(lines.whole(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise InputError(f"{lines.where}: line {number}: is not JSON") from e
        if not isinstance(row, dict):
            raise InputError(
                f"{lines.where}: line {number}: must be an object like {{'text': ...}}"
            )
        yield row
