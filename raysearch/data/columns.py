"""Find the text and label columns, map labels to classes, and choose how to score them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysearch import scores
from raysearch.errors import InputError, nearest

TEXTS = (
    *("text", "sentence", "content", "review", "message", "body", "comment", "utterance"),
    *(
        "question",
        "query",
        "description",
        "document",
        "post",
        "tweet",
        "abstract",
        "input",
        "title",
    ),
)
"""Names that are taken for a text, the likeliest first."""

PAIRS = (
    *(("text", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis")),
    *(("question1", "question2"), ("text1", "text2"), ("question", "sentence")),
)
"""Two columns that are taken for a pair of texts when both are there."""

LABELS = (
    *("label", "labels", "class", "category", "target", "intent", "sentiment", "topic", "tag"),
    *("queue", "y", "rating", "stars", "score", "type", "emotion", "label_text"),
)
"""Names that are taken for a label, the likeliest first."""

BLANK = -1
"""The code of a row without a label."""

SHOWN = 8  # names listed in a sentence before it ends in "..."


def column(frame: pd.DataFrame, name: str, where: str) -> pd.Series[Any]:
    """Return a column; InputError with the nearest name when it is not there."""
    if name not in frame.columns:
        known = [str(c) for c in frame.columns]
        hint = nearest(name, known)
        guess = f" Did you mean '{hint}'?" if hint else ""
        raise InputError(f"{where}: no column '{name}'.{guess} Known: {', '.join(known)}")
    return frame[name]


def texts(values: pd.Series[Any], where: str) -> list[str]:
    """Return a column as texts (n,), blanks as ""; InputError when it holds lists or mappings."""
    out = values.astype(object).where(values.notna(), "").tolist()
    if all(isinstance(v, str) for v in out):
        return out
    if any(isinstance(v, list | dict | tuple | np.ndarray) for v in out):
        raise InputError(f"{where}: column '{values.name}' holds lists or mappings, must hold text")
    return [str(v) for v in out]


def word(value: Any) -> str:
    """Return a label as a name; "" for a blank one.

    >>> word(3.0), word(" spam "), word(None), word(True)
    ('3', 'spam', '', 'true')
    """
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def words(values: pd.Series[Any], where: str) -> list[str]:
    """Return a label column as names (n,), "" where it is blank."""
    try:
        codes, distinct = pd.factorize(values)
    except TypeError as e:
        raise InputError(f"{where}: column '{values.name}' holds no plain labels") from e
    names = np.array([*(word(v) for v in distinct), ""], dtype=object)
    out: list[str] = names[codes].tolist()
    return out


def in_order(names: set[str]) -> tuple[str, ...]:
    """Sort label names: as numbers when all are numbers, else as text.

    >>> in_order({"10", "9", "1"})
    ('1', '9', '10')
    """
    if all(number(n) is not None for n in names):
        return tuple(sorted(names, key=float))
    return tuple(sorted(names))


def number(name: str) -> float | None:
    """Return the finite number a name spells, or None."""
    try:
        value = float(name)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def codes(
    values: pd.Series[Any], known: Sequence[str], source: Sequence[str], where: str
) -> NDArray[np.int64]:
    """Return the class ids (n,) of a label column, BLANK where there is no label.

    Names are matched to `known`. Numbers that are no names are ids: of `source`, the names as the
    source orders them, when those are the same names; of `known` otherwise. -1 is a hidden label.
    """
    if values.dtype.kind in "iu":
        numbers, distinct = pd.factorize(values)
        spelled = [str(int(v)) for v in distinct]
    else:
        spelled = sorted(set(words(values, where)))
        place = {name: i for i, name in enumerate(spelled)}
        numbers = np.array([place[w] for w in words(values, where)], dtype=np.int64)
    by_name = {name: i for i, name in enumerate(known)}
    moved = {str(i): by_name[n] for i, n in enumerate(source) if n in by_name}
    if set(source) != set(known):
        moved = {str(i): i for i in range(len(known))}
    # A class may be called "-1": only where it is not, -1 means hidden.
    meaning = (
        by_name
        if all(s in by_name or s in ("", "-1") for s in spelled)
        else {name.casefold(): i for name, i in by_name.items()} | moved
    )
    of_distinct = []
    for name in spelled:
        if name in meaning:
            of_distinct.append(meaning[name])
        elif name.casefold() in meaning:
            of_distinct.append(meaning[name.casefold()])
        elif name in ("", "-1"):
            of_distinct.append(BLANK)
        else:
            raise InputError(
                f"{where}: column '{values.name}' holds the label '{name}', which no training row"
                f" and no label name knows. Known: {listed(known)}"
            )
    # A missing value factorizes to -1, which picks the last entry.
    return np.array([*of_distinct, BLANK], dtype=np.int64)[numbers]


def numbers(values: pd.Series[Any], where: str) -> NDArray[np.float32]:
    """Return a column to regress on (n,), NaN where it is blank."""
    out = pd.to_numeric(values.replace("", np.nan), errors="coerce").to_numpy(dtype=np.float64)
    wrong = [
        w for w, v in zip(words(values, where), out, strict=True) if w and not math.isfinite(v)
    ]
    if wrong:
        raise InputError(f"{where}: column '{values.name}' holds '{wrong[0]}', must hold numbers")
    return out.astype(np.float32)


def guess_texts(frame: pd.DataFrame, taken: set[str], where: str) -> tuple[str, str | None]:
    """Return the column of the text and, where two belong together, that of its partner.

    By name first; then the column of words that is longest on average.
    """
    free = {str(c).casefold(): str(c) for c in frame.columns if str(c) not in taken}
    for first, second in PAIRS:
        if first in free and second in free:
            return free[first], free[second]
    for name in TEXTS:
        if name in free and _mean_words(frame[free[name]]) > 0:
            return free[name], None
    lengths = {c: _mean_words(frame[c]) for c in free.values()}
    longest = max(lengths, key=lambda c: lengths[c], default=None)
    if longest is None or lengths[longest] < 2:
        known = ", ".join(str(c) for c in frame.columns)
        raise InputError(f"{where}: no column looks like text; name it with --text. Known: {known}")
    return longest, None


def guess_label(frame: pd.DataFrame, taken: set[str], where: str) -> str:
    """Return the column of the label: by name, else the only one whose values repeat."""
    free = {str(c).casefold(): str(c) for c in frame.columns if str(c) not in taken}
    for name in LABELS:
        if name in free:
            return free[name]
    known = ", ".join(str(c) for c in frame.columns)
    likely = []
    for name in free.values():
        values = [w for w in words(frame[name], where) if w]
        if 2 <= len(set(values)) <= len(values) / 3:
            likely.append(name)
    if len(likely) == 1:
        return likely[0]
    some = f"may be any of {', '.join(likely)}" if likely else "is in no column that repeats"
    raise InputError(f"{where}: the label {some}; name it with --label. Known: {known}")


def choose_score(names: Sequence[str]) -> tuple[str, str]:
    """Return the main score for these labels (n,), blanks left out, and the sentence that says why.

    Numbers with fractions and at least ten values: a regression. Otherwise accuracy, or macro-F1
    where the largest class is above 1.5 times, or the smallest below half, of an equal share.

    >>> choose_score(["a"] * 80 + ["b"] * 20)
    ('macro_f1', '2 classes, smallest 20 of 100 rows: scoring macro-F1')
    """
    distinct, counts = np.unique(np.array(names, dtype=object), return_counts=True)
    values = [number(n) for n in distinct]
    if len(values) >= 10 and all(v is not None for v in values):
        if any(not float(v).is_integer() for v in values if v is not None):
            label = scores.get(scores.NUMBER).label
            return scores.NUMBER, f"{len(values)} different numbers: a regression, scoring {label}"
    equal = counts.sum() / len(counts)
    shape = f"{len(counts)} classes, smallest {counts.min()} of {counts.sum():,} rows"
    if counts.max() > 1.5 * equal or counts.min() < 0.5 * equal:
        return scores.UNEVEN, f"{shape}: scoring {scores.get(scores.UNEVEN).label}"
    return scores.DEFAULT, f"{shape}: scoring {scores.get(scores.DEFAULT).label}"


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence, the first few of many.

    >>> listed(["a", "b"])
    'a, b'
    """
    more = f", ... ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _mean_words(values: pd.Series[Any]) -> float:
    # A thousand rows distinguish a text from an id as well as a million do.
    some = values.iloc[:1000].astype(object)
    counts = [len(v.split()) for v in some if isinstance(v, str) and v.strip()]
    return sum(counts) / len(counts) if counts else 0.0
