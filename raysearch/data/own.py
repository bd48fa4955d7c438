"""A person's own data as a task: any CSV, JSONL or Parquet file, a folder of them, or a hub id."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from raysearch import scores
from raysearch.config import catalog
from raysearch.config.task import Task
from raysearch.data import columns, sources
from raysearch.errors import InputError, unknown
from raysearch.storage import hub

LENGTHS = (64, 128, 256, 512)
"""Input lengths that an own task may get [tokens]."""

_TOKENS_PER_WORD = 1.4  # English under a BERT vocabulary: 1.2 to 1.5


def own_task(
    source: str,
    *,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    unlabelled: Path | None = None,
    score: str | None = None,
    templates: Sequence[str] = (),
    words: str | None = None,
    seed: int = 0,
) -> Task:
    """Describe a file, a folder or a hub data set as a task; what is not named is guessed.

    Args:
        source: A path to a .csv, .tsv, .jsonl or .parquet file or to a folder with train, and
            optionally validation, test and unlabelled, as such files; or `hf:owner/name`.
        text: Column of the text. Guessed by name, then as the longest.
        label: Column of the label. Guessed by name, then as the one whose values repeat.
        group: Column whose equal values must stay on one side of every split.
        unlabelled: A file of more texts, with the same text column.
        score: Main score. Chosen by `columns.choose_score` when None.
        templates: Cloze patterns as `{text} It was {mask}.`, for prompting.
        words: Label words as `negative=terrible,bad;positive=great`, for prompting.
        seed: Seed of the carved splits.

    Raises:
        InputError: one line that names the file, what stands there and what may stand there.
    """
    if score is not None and score not in scores.main_scores():
        raise unknown(f"{source}", "score", score, scores.main_scores())
    draft = _draft(source, unlabelled)
    table = sources.read(draft).tables["train"]
    frame, where = table.frame, table.where
    for named in (text, label, group):
        if named is not None:
            columns.column(frame, named, where)
    taken = {c for c in (text, label, group) if c is not None}
    pair = None
    if label is None and text is None:
        # A column called `label` is a label even where it is the only text.
        label = columns.guess_label(frame, taken | _wordy(frame, taken), where)
        taken.add(label)
    if text is None:
        text, pair = columns.guess_texts(frame, taken, where)
    if label is None:
        label = columns.guess_label(frame, taken | {text}, where)
    if len({text, label, group}) < 3:
        raise InputError(f"{where}: text, label and group must be different columns")
    names = table.names.get(label, ())
    spelled = [w for w in columns.words(frame[label], where) if w]
    if not spelled:
        raise InputError(f"{where}: column '{label}' is blank in every row, must hold labels")
    if names:
        spelled = [n for n in _meant(spelled, names) if n]
    classes = set(spelled)
    if score is None:
        score, _ = columns.choose_score(spelled)
    number = scores.get(score).kind == scores.NUMBERS
    label_names = () if number else (names or columns.in_order(classes))
    if not number:
        _plausible(classes, len(spelled), label, where)
        if why := scores.unsuitable_reason(score, len(label_names)):
            raise InputError(f"{where}: score {why}")
    task = Task(
        name=draft.name,
        source=draft.source,
        text=text,
        text_pair=pair,
        label=label,
        group=group,
        label_names=label_names,
        splits=draft.splits,
        score=score,
        max_length=_length(frame[text].astype(str).iloc[:5000].tolist(), pair is not None),
        seed=seed,
    )
    return with_question(task, templates, words)


def with_question(task: Task, templates: Sequence[str], words: str | None) -> Task:
    """Give a task its cloze question: patterns and label words, both or neither.

    Raises:
        InputError: one line that names the option, what stands there and what may stand there.
    """
    if not templates and words is None:
        return task
    if not templates or words is None:
        given, lacking = ("--template", "--words") if templates else ("--words", "--template")
        raise InputError(f"{given}: prompting needs {lacking} too")
    if task.regression:
        raise InputError(f"--template: task '{task.name}' asks for a number, prompting for classes")
    for template in templates:
        _check_template(template, task.text_pair is not None)
    return replace(task, templates=tuple(templates), words=_label_words(words, task.label_names))


def _check_template(template: str, pair: bool) -> None:
    where = f"--template '{template}'"
    wanted = ("text", "pair", "mask") if pair else ("text", "mask")
    try:
        fields = [f for f in string.Formatter().parse(template) if f[1] is not None]
    except ValueError as e:
        raise InputError(f"{where}: {e}; fields are written as {{text}}") from e
    names = [str(name) for _, name, _, _ in fields]
    for _, name, spec, conversion in fields:
        if name not in wanted:
            raise unknown(where, "field", str(name), wanted)
        if spec or conversion:
            raise InputError(f"{where}: field {{{name}}} must stand alone in its braces")
    for name in wanted:
        if names.count(name) != 1:
            often = {0: "not at all", 2: "twice"}.get(n := names.count(name), f"{n} times")
            why = "; the task has pairs" if name == "pair" else ""
            raise InputError(f"{where}: holds {{{name}}} {often}, must hold it once{why}")


def _label_words(text: str, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read `negative=terrible,bad;positive=great`, in the order of the labels."""
    where, out, whose = "--words", dict[str, tuple[str, ...]](), dict[str, str]()
    for part in filter(str.strip, text.split(";")):
        # a label may hold the sign, a word does not
        label, sign, several = (p.strip() for p in part.rpartition("="))
        if not sign:
            raise InputError(f"{where}: '{several}' must be a label and its words, as LABEL=a,b")
        if label not in labels:
            raise unknown(where, "label", label, labels)
        if label in out:
            raise InputError(f"{where}: label '{label}' stands twice")
        out[label] = tuple(w.strip() for w in several.split(",") if w.strip())
        if not out[label]:
            raise InputError(f"{where}: label '{label}' has no word, must have one")
        for word in out[label]:
            if word in whose:
                raise InputError(
                    f"{where}: word '{word}' of label '{label}' stands for '{whose[word]}' already"
                )
            whose[word] = label
    missing = [name for name in labels if name not in out]
    if missing:
        raise InputError(f"{where}: no word for {columns.listed(missing)}; every label needs one")
    return {name: out[name] for name in labels}


def notes(task: Task, source: sources.Source) -> list[str]:
    """Return remarks on an own task: its columns and why it is scored as it is."""
    if task.name in catalog.tasks() and catalog.tasks()[task.name].source == task.source:
        return []
    table = source.tables["train"]
    if task.label not in table.frame.columns or task.text not in table.frame.columns:
        return []
    pair = f" and '{task.text_pair}'" if task.text_pair else ""
    spelled = columns.words(table.frame[task.label], table.where)
    names = table.names.get(task.label, ())
    kept = [w for w in (_meant(spelled, names) if names else spelled) if w]
    chosen, why = columns.choose_score(kept)
    if chosen != task.score:
        why = f"{why.partition(': ')[0]}: scoring {scores.get(task.score).label}, as asked"
    lines = [f"{table.where}: text from '{task.text}'{pair}, label from '{task.label}'", why]
    if not task.regression:
        counts = {name: kept.count(name) for name in set(kept)}
        single = sorted(n for n, rows in counts.items() if rows < 3)
        if single:
            lines.append(
                f"classes with fewer than 3 rows cannot stand in train, validation and test:"
                f" {columns.listed(single)}"
            )
    return lines


def _draft(source: str, unlabelled: Path | None) -> Task:
    splits = {} if unlabelled is None else {"unlabelled": str(unlabelled.expanduser().resolve())}
    if unlabelled is not None and not unlabelled.expanduser().is_file():
        raise InputError(f"{unlabelled}: no such file")
    if source.startswith("hf:"):
        if unlabelled is not None:
            raise InputError(f"{source}: --unlabelled goes with a file of your own, not the hub")
        name, config, _ = hub.hub_id(source)
        # Two underscores keep the name clear of a folder under --data-dir, and of a path.
        return Task("__".join([*name.split("/"), *([config] if config else [])]), source)
    path = Path(source.removeprefix("file:")).expanduser().resolve()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    return Task(path.stem, f"file:{path}", splits=splits)


def _wordy(frame: pd.DataFrame, taken: set[str]) -> set[str]:
    """Return the text columns by their names, so that `title` is not taken for a label."""
    known = {n for pair in columns.PAIRS for n in pair} | set(columns.TEXTS)
    return {str(c) for c in frame.columns if str(c).casefold() in known and str(c) not in taken}


def _meant(spelled: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return label names of a source that writes ids and has names for them.

    "" for a hidden one.
    """
    ids = {str(i): n for i, n in enumerate(names)} | {n: n for n in names}
    return [ids.get(w, "") for w in spelled]


def _plausible(classes: set[str], rows: int, label: str, where: str) -> None:
    if len(classes) < 2:
        raise InputError(
            f"{where}: column '{label}' holds one class only ('{min(classes)}'),"
            " must hold at least two"
        )
    if len(classes) > max(20, rows / 2):
        raise InputError(
            f"{where}: column '{label}' holds {len(classes):,} different labels in {rows:,} rows,"
            " must repeat them; name the label with --label"
        )


def _length(texts: Sequence[str], pair: bool) -> int:
    words = np.percentile([len(t.split()) for t in texts], 95) * (2 if pair else 1)
    return next((n for n in LENGTHS if n >= words * _TOKENS_PER_WORD + 3), LENGTHS[-1])
