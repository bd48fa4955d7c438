"""Predictions of another system for the test rows: read, matched row by row, scored.

Rows are matched by their text's hash, so that the order of the file is free and nothing but the
text has to travel. An incomplete file is refused whole.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysearch.config.task import Task
from raysearch.data import columns
from raysearch.data.crossfit import POOL
from raysearch.data.evaluate import scores
from raysearch.data.frames import read_frame
from raysearch.data.hashes import row_hash, row_hashes
from raysearch.data.rows import Rows
from raysearch.data.tables_out import csv_writer, jsonl_writer
from raysearch.data.task_data import TaskData
from raysearch.errors import InputError, nearest
from raysearch.scores import SCORES

TEXT, PAIR, HASH, PREDICTION = "text", "text_pair", "hash", "prediction"


@dataclass(frozen=True, slots=True)
class Predictions:
    """One prediction for each row."""

    ids: NDArray[np.int64]
    """Row numbers (n,), as the logits of the run's own points have them."""
    values: NDArray[np.int64] | NDArray[np.float64]
    """Class ids (n,) or, for regression, numbers (n,)."""
    read_as: str
    """label names, class ids or numbers."""
    shared: int = 0
    """Rows that took the prediction of another row of the same text."""


def judged_rows(data: TaskData, *, crossfitted: bool) -> Rows:
    """Return the rows that points are compared on: the test split, or every row with folds."""
    if crossfitted and data.pool is not None:
        return data.pool.rows(POOL)
    return data.splits["test"]


def read_predictions(path: Path, rows: Rows, task: Task) -> Predictions:
    """Read a file of predictions and match it to the rows by hash.

    A single line for a text serves all rows of that text; as many lines as rows belong to them in
    their order; more lines than rows are refused.

    Raises:
        InputError: one line with a count and the first example, for columns that are not there,
            rows without a prediction, foreign, doubled and missing rows, and unknown labels.
    """
    frame, where = read_frame(path), path.name
    given = _keys(frame, rows, where)
    values, read_as = _values(columns.column(frame, PREDICTION, where), task, where)
    wanted = row_hashes(rows)
    room = Counter(wanted)
    foreign = [i for i, key in enumerate(given) if key not in room]
    if foreign:
        raise InputError(
            f"{where}: {_many(len(foreign), 'row')} not among the {len(rows):,} {_named(rows)}: "
            f"first row {foreign[0] + 1}, hash {given[foreign[0]]}; "
            "--template FILE writes the rows that are wanted"
        )
    rows_by_key: dict[str, list[int]] = {}
    for i, key in enumerate(given):
        rows_by_key.setdefault(key, []).append(i)
    doubled = [k for k, at in rows_by_key.items() if _too_many(values[at], room[k])]
    if doubled:
        at = rows_by_key[doubled[0]]
        raise InputError(
            f"{where}: {_many(len(doubled), 'text')} predicted too often: first rows "
            f"{at[0] + 1} and {at[1] + 1}, hash {doubled[0]}, in the data {room[doubled[0]]}x"
        )
    missing = [k for k in room if k not in rows_by_key]
    if missing:
        raise InputError(
            f"{where}: {_many(len(missing), 'text')} without a prediction, of {len(room):,} in the "
            f"{_named(rows)}: first hash {missing[0]}; --template FILE writes the rows wanted"
        )
    seen: Counter[str] = Counter()
    take = []
    for key in wanted:
        take.append(rows_by_key[key][min(seen[key], len(rows_by_key[key]) - 1)])
        seen[key] += 1
    return Predictions(
        np.asarray(rows.ids, np.int64), values[take], read_as, len(take) - len(set(take))
    )


def score(predictions: Predictions, rows: Rows, task: Task) -> dict[str, float]:
    """Return the scores of predictions on their rows, but those that take probabilities."""
    label = rows.label
    assert label is not None
    if task.regression:
        return scores(predictions.values.astype(np.float32)[:, None], label)
    logits = np.eye(task.classes, dtype=np.float32)[predictions.values.astype(np.int64)]
    return {k: v for k, v in scores(logits, label).items() if not SCORES[k].soft}


def write_template(path: Path, rows: Rows) -> int:
    """Write the rows to be predicted, one a text, without labels; return how many.

    CSV, or what the file's name ends in: .tsv or .jsonl.

    Raises:
        InputError: the file is there already, or the disk refuses.
    """
    fields = [HASH, TEXT] + ([] if rows.pair is None else [PAIR])
    lines: dict[str, list[str]] = {}
    for i, key in enumerate(row_hashes(rows)):
        pair = [] if rows.pair is None else [rows.pair[i]]
        lines.setdefault(key, [key, rows.text[i], *pair])
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            if path.suffix == ".jsonl":
                write = jsonl_writer(file)
            else:
                write = csv_writer(file, fields, "\t" if path.suffix == ".tsv" else ",", path.name)
            write([dict(zip(fields, line, strict=True)) for line in lines.values()])
    except FileExistsError as e:
        raise InputError(f"{path}: is there already; name another file") from e
    except OSError as e:
        raise InputError(f"{path}: cannot be written: {e.strerror}") from e
    return len(lines)


def _keys(frame: pd.DataFrame, rows: Rows, where: str) -> list[str]:
    """Return the hash of each row of the file: as given there, or made from its texts."""
    if HASH in frame.columns:
        return [str(v).strip().lower() for v in frame[HASH]]
    if TEXT not in frame.columns:
        known = ", ".join(str(c) for c in frame.columns)
        raise InputError(f"{where}: no column '{TEXT}' or '{HASH}'. Known: {known}")
    texts = columns.texts(frame[TEXT], where)
    if rows.pair is None:
        return [row_hash(t) for t in texts]
    pairs = columns.texts(columns.column(frame, PAIR, where), where)
    return [row_hash(t, p) for t, p in zip(texts, pairs, strict=True)]


def _values(column: pd.Series[Any], task: Task, where: str) -> tuple[NDArray[Any], str]:
    """Return class ids or numbers (n,) of the predictions, and how they were read."""
    words = [columns.word(v) for v in column]
    blank = [i for i, s in enumerate(words) if not s]
    if blank:
        raise InputError(
            f"{where}: {_many(len(blank), 'row')} without a prediction: first row {blank[0] + 1}"
        )
    if task.regression:
        numbers = [columns.number(s) for s in words]
        bad = [i for i, v in enumerate(numbers) if v is None]
        if bad:
            raise InputError(
                f"{where}: {_many(len(bad), 'prediction')} not a number: first row {bad[0] + 1} "
                f"says '{words[bad[0]][:40]}'"
            )
        return np.array(numbers, np.float64), "numbers"
    names = {name: i for i, name in enumerate(task.label_names)}
    ids = {str(i): i for i in names.values()}
    # A class may be called "1": ids are meant only where not every prediction is a name.
    meaning, read_as = (names, "label names") if set(words) <= set(names) else (ids, "class ids")
    if not set(words) <= set(meaning):
        meaning, read_as = {n.casefold(): i for n, i in names.items()}, "label names"
        words = [s.casefold() for s in words]
    bad = [i for i, s in enumerate(words) if s not in meaning]
    if bad:
        first = columns.word(column.iloc[bad[0]])
        hint = nearest(first, names)
        guess = f" Did you mean '{hint}'?" if hint else ""
        known = ", ".join(task.label_names[: columns.SHOWN])
        more = ", ..." if len(names) > columns.SHOWN else ""
        raise InputError(
            f"{where}: {_many(len(bad), 'prediction')} no label of task '{task.name}': first row "
            f"{bad[0] + 1} says '{first[:40]}'.{guess} Known: {known}{more} or 0 to {len(ids) - 1}"
        )
    return np.array([meaning[s] for s in words], np.int64), read_as


def _too_many(values: NDArray[Any], rows: int) -> bool:
    """Return True if one text has more lines than rows, or fewer that do not agree."""
    return len(values) > rows or (1 < len(values) < rows and len(set(values.tolist())) > 1)


def _many(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count:,} {noun}s are"


def _named(rows: Rows) -> str:
    return "rows of the data" if rows.split == POOL else "test rows"
