"""Rows of a table get their predictions: which columns are read, and what is put into a row."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from raysearch.data.tables_in import Reader, Row
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.export.predictor import Predictor

EVERY = 30.0
"""Seconds between two lines of progress where no terminal is [s]."""


def text_columns(
    predictor: Predictor, reader: Reader, text: str | None, pair: str | None
) -> tuple[str, ...]:
    """The one or two columns to read: as named, as in training, else as guessed for own data."""
    import pandas as pd

    from raysearch.data import columns

    manifest, where = predictor.manifest, reader.where
    if pair is not None and not manifest.pair:
        raise InputError(f"--pair: the model of task '{manifest.task}' reads one text")
    frame = pd.DataFrame(reader.head or None, columns=list(reader.columns), dtype=object)
    for name in (text, pair):
        if name is not None:
            columns.column(frame, name, where)
    first = text or (manifest.text if manifest.text in frame.columns else None)
    second = pair or (manifest.text_pair if manifest.text_pair in frame.columns else None)
    taken = {c for c in (first, second) if c is not None}
    if first is None:
        first, guessed = columns.guess_texts(frame, taken, where)
        if manifest.pair:
            second = second or guessed
        elif guessed is not None:
            raise InputError(
                f"{where}: columns '{first}' and '{guessed}' look like a pair, the model reads one "
                "text; name it with --text"
            )
    if not manifest.pair:
        return (first,)
    if second is None:
        known = ", ".join(reader.columns)
        raise InputError(
            f"{where}: the model reads pairs; name the second text with --pair. Known: {known}"
        )
    return first, second


def label_rows(
    predictor: Predictor, rows: list[Row], columns: tuple[str, ...], added: list[str], where: str
) -> int:
    """Put predictions into rows, in place; returns how many had no text and stay empty."""
    whole, texts = [], []
    for i, row in enumerate(rows):
        found = [_text(row.get(c), c, where) for c in columns]
        if all(t.strip() for t in found):
            whole.append(i)
            texts.append(found)
        row.update(dict.fromkeys(added))
    if not whole:
        return len(rows)
    first = [t[0] for t in texts]
    second = [t[1] for t in texts] if len(columns) > 1 else None
    found_p = predictor.probabilities(first, second)
    if predictor.manifest.regression:
        for i, value in zip(whole, found_p[:, 0].tolist(), strict=True):
            rows[i]["prediction"] = value
        return len(rows) - len(whole)
    answers = found_p.argmax(axis=1).tolist()
    for i, answer, p in zip(whole, answers, found_p.tolist(), strict=True):
        rows[i]["prediction"] = predictor.labels[answer]
        rows[i].update(zip(added[1:], p, strict=True))
    return len(rows) - len(whole)


def _text(value: Any, column: str, where: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list | dict):
        raise InputError(f"{where}: column '{column}' holds lists or mappings, must hold text")
    return str(value)


@contextmanager
def progress(reader: Reader) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, else a line now and then; on standard error."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        shown = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=reader.size or None)
            yield lambda rows: bar.update(
                task, completed=reader.done(), description=f"{rows:,} rows"
            )
        return
    last = time.monotonic()

    def line(rows: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            print(f"{rows:,} rows", file=sys.stderr, flush=True)

    yield line
