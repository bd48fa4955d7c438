"""Label a table: which columns are read, and what each row gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysearch.data.tables_in import Reader, Row
from raysearch.data.tables_out import writing
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.export.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Labelled:
    """What labelling a table came to."""

    rows: int
    blank: int
    """Rows without a text; they stay empty."""


def label_table(
    predictor: Predictor,
    reader: Reader,
    out: str,
    *,
    text: str | None = None,
    pair: str | None = None,
    force: bool = False,
    advanced: Callable[[int], None] | None = None,
) -> Labelled:
    """Copy a table with the columns `prediction` and, for each class, `p_LABEL`.

    Args:
        predictor: what labels it.
        reader: the table.
        out: file to write, by its ending; `-` for standard output.
        text: column of the text; None: guessed.
        pair: column of the second text of a pair; None: guessed.
        force: replace a file.
        advanced: takes the count of rows so far, after each chunk.

    Raises:
        InputError: a column is missing or stands in the way, or a file cannot be written.
    """
    columns = text_columns(predictor, reader, text, pair)
    added: dict[str, type] = {"prediction": float if predictor.manifest.regression else str}
    added |= {f"p_{label}": float for label in predictor.labels}
    for name in added:
        if name in reader.columns:
            raise InputError(f"{reader.where}: has a column '{name}' already; rename it first")
    rows = blank = 0
    with writing(out, reader, added, force) as write:
        for chunk in reader:
            blank += label_rows(predictor, chunk, columns, list(added), reader.where)
            write(chunk)
            rows += len(chunk)
            if advanced is not None:
                advanced(rows)
    return Labelled(rows, blank)


def text_columns(
    predictor: Predictor, reader: Reader, text: str | None, pair: str | None
) -> tuple[str, ...]:
    """Return the one or two columns to read: as named, as in training, else as guessed.

    Raises:
        InputError: no such column, or nothing that looks like a text.
    """
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
    """Put predictions into rows, in place; return how many had no text and stay empty."""
    whole, texts = [], []
    for i, row in enumerate(rows):
        values = [_text(row.get(c), c, where) for c in columns]
        if all(t.strip() for t in values):
            whole.append(i)
            texts.append(values)
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
