"""A task's rows: loaded, cleaned of duplicates, carved where needed, and cut to budgets."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raysearch.config.catalog import SPLITS, task_to_json
from raysearch.config.task import Task
from raysearch.config.trial import ID_LENGTH, DataBudget
from raysearch.data import columns, own, sources, splits
from raysearch.data.own import own_task
from raysearch.data.rows import Rows
from raysearch.data.splits import Index, Labels, Part
from raysearch.errors import Infeasible, InputError

__all__ = ["TaskData", "load_task", "own_task"]

VALIDATION_SHARE = 0.1
"""Share of train that a carved validation split gets where the test split came with the data."""
OWN_SHARE = 0.15
"""Share of the rows that a carved test split gets, and the validation split carved beside it."""
FEWEST = 8
"""Labelled training rows below which nothing can be learnt and judged."""

_KEPT = 4  # tasks held in memory per process: imdb alone takes 150 MB
_loaded: OrderedDict[str, TaskData] = OrderedDict()

_TRAIN, _VALIDATION, _UNLABELLED, _CARVED = range(4)  # streams of one seed, one for each order


@dataclass(frozen=True, slots=True)
class TaskData:
    """The rows of a task, ready to be cut to budgets."""

    task: Task
    digest: str
    """16 hex digits over the texts and labels of all splits, duplicates dropped; no path in it."""
    splits: Mapping[str, Rows]
    """train, validation, test and, where there are any, unlabelled; in the source's order."""
    official_test: bool
    """Whether the test split came with the data; False: it was carved out of train."""
    notes: tuple[str, ...]
    """Remarks for a person: what was guessed, carved, dropped, or is a part of something."""
    dropped: Mapping[str, int]
    """Rows by what happened to them, like {"train_in_test": 2}; `*_conflicting` rows stayed."""
    pool: Part | None = None
    """What a carved test split was carved out of, in the source's order; None with an official
    one. Cross-fitting draws its folds from it."""
    carved: tuple[str, ...] = ()
    """Splits that were carved out of train."""

    def budget(
        self, train: int, validation: int | None = None, unlabelled: int = 0, seed: int = 0
    ) -> DataBudget:
        """Return the budget; validation is min(train, the split) by default.

        Raises:
            Infeasible: the data hold fewer rows than asked; its sentence has the numbers.
            InputError: a number is negative.
        """
        if min(train, validation or 0, unlabelled, seed) < 0:
            raise InputError(f"{self.task.name}: a budget and its seed cannot be negative")
        rows = {name: len(split) for name, split in self.splits.items()}
        if validation is None:
            validation = min(train, rows["validation"])
        self._within("training labels", train, rows["train"])
        self._within("validation labels", validation, rows["validation"])
        if "unlabelled" in rows:
            self._within("unlabelled texts", unlabelled, rows["unlabelled"])
        else:
            self._within("texts, labelled and not,", train + unlabelled, rows["train"])
        return DataBudget(train, validation, unlabelled, seed)

    def slice(self, budget: DataBudget) -> tuple[Rows, Rows, Rows]:
        """Return the rows of a budget: train, validation, unlabelled.

        Smaller budgets of a seed are prefixes of larger ones. Where the task has no unlabelled
        split, the pool is training texts with their labels hidden, taken from the far end of the
        same order, so that it stays clear of train and nests as well.
        """
        self.budget(budget.train, budget.validation, budget.unlabelled, budget.seed)
        train, validation = self.splits["train"], self.splits["validation"]
        order = self.order("train", budget.seed)
        judge = self.order("validation", budget.seed)[: budget.validation]
        pool, index = train, order[::-1][: budget.unlabelled]
        if "unlabelled" in self.splits:
            pool = self.splits["unlabelled"]
            index = self.order("unlabelled", budget.seed)[: budget.unlabelled]
        hidden = Rows(pool.split, pool.ids, pool.text, pool.pair)
        return train.take(order[: budget.train]), validation.take(judge), hidden.take(index)

    def order(self, split: str, seed: int) -> Index:
        """Return the order (n,) of a split that the budgets of a seed are prefixes of."""
        rows = self.splits[split]
        stream = {"train": _TRAIN, "validation": _VALIDATION}.get(split, _UNLABELLED)
        return splits.spread(rows.label, len(rows), (seed, stream), head=True)

    def remarks(self, budget: DataBudget) -> tuple[str, ...]:
        """Return remarks on a budget, to show beside a result."""
        if self.task.regression:
            return ()
        present = len(np.unique(np.asarray(self.splits["train"].label)))
        return tuple(
            f"{self.task.name}: {rows} {name} rows are fewer than the {present} classes:"
            " not stratified, some classes are not seen"
            for name, rows in (("training", budget.train), ("validation", budget.validation))
            if 0 < rows < present
        )

    def _within(self, what: str, wanted: int, available: int) -> None:
        if wanted > available:
            raise Infeasible(f"{self.task.name}: {wanted:,} {what} asked, {available:,} are there")


def load_task(task: Task, *, data_dir: Path | None = None) -> TaskData:
    """Load, clean and carve a task's splits; held in memory for the next call.

    A folder of that name under `data_dir` comes before the hub.

    Raises:
        InputError: one line with the obstacle, and what would help.
    """
    stamps = [
        (str(path), path.stat().st_mtime_ns, path.stat().st_size)
        for path in sources.files(task, data_dir).values()
        if path.is_file()
    ]
    key = json.dumps([task_to_json(task), str(data_dir), stamps], sort_keys=True)
    if key in _loaded:
        _loaded.move_to_end(key)
        return _loaded[key]
    _loaded[key] = data = _build(task, sources.read(task, data_dir))
    while len(_loaded) > _KEPT:
        _loaded.popitem(last=False)
    return data


def _build(task: Task, source: sources.Source) -> TaskData:
    notes = [*source.notes, *own.notes(task, source)]
    dropped: Counter[str] = Counter()
    parts = {name: _part(table, task, name) for name, table in source.tables.items()}
    if "test" in parts and len(parts["test"]) and not splits.labelled(parts["test"]).any():
        instead = "the validation split reports" if "validation" in parts else "one is carved"
        notes.append(f"the labels of the test split are hidden: {instead}")
        parts["test"] = parts.pop("validation", parts["test"])
    parts, blank = splits.blanks_apart(parts)
    pooled = blank.pop("train_blank", 0)
    if pooled:
        notes.append(f"{pooled:,} rows without a label are the unlabelled pool")
    dropped.update(blank)
    for name, part in parts.items():
        pair = part.pair or part.text
        filled = [bool(t.strip() or p.strip()) for t, p in zip(part.text, pair, strict=True)]
        if not all(filled):
            dropped[f"{name}_empty"] = len(part) - sum(filled)
            parts[name] = part.take(np.flatnonzero(filled).astype(np.int64))
    parts, twice = splits.drop_duplicates(parts)
    dropped.update(twice)
    parts = {name: part for name, part in parts.items() if len(part) or name == "train"}
    official = "test" in parts
    where = source.tables["train"].where
    _enough(parts["train"], task, where)
    carved = tuple(name for name in ("test", "validation") if name not in parts)
    pool = parts["train"] if "test" in carved else None
    parts = _carved(parts, task, notes)
    notes.extend(_sentence(name, rows) for name, rows in sorted(dropped.items()))
    if not len(parts["train"]):
        raise InputError(f"{where}: one group holds so many rows that none is left to train on")
    ordered = {str(name): parts[name].rows(name) for name in SPLITS if len(parts.get(name, ()))}
    digest = _digest(task, ordered)
    return TaskData(
        task, digest, ordered, official, tuple(notes), dict(dropped), pool=pool, carved=carved
    )


def _part(table: sources.Table, task: Task, split: str) -> Part:
    frame, where = table.frame, table.where

    def named(wanted: str, ours: str) -> str:
        # A folder under --data-dir may use our names where the hub has others.
        return ours if wanted not in frame.columns and ours in frame.columns else wanted

    text = columns.column(frame, named(task.text, "text"), where)
    pair = None
    if task.text_pair is not None:
        pair = columns.column(frame, named(task.text_pair, "text_pair"), where)
    label: Labels | None = None
    if split != "unlabelled":
        name = named(task.label, "score" if task.regression else "label")
        values = columns.column(frame, name, where)
        if task.regression:
            label = columns.numbers(values, where)
        else:
            label = columns.codes(values, task.label_names, table.names.get(name, ()), where)
    group = None
    if task.group is not None and (split != "unlabelled" or task.group in frame.columns):
        group = columns.words(columns.column(frame, task.group, where), where)
    return Part(
        np.arange(len(frame), dtype=np.int64),
        columns.texts(text, where),
        None if pair is None else columns.texts(pair, where),
        label,
        group,
    )


def _enough(train: Part, task: Task, where: str) -> None:
    if len(train) < FEWEST:
        raise InputError(
            f"{where}: {len(train)} rows have a label and a text of their own, must be {FEWEST}"
        )
    if not task.regression and len(np.unique(np.asarray(train.label))) < 2:
        raise InputError(f"{where}: holds one class only, must hold at least two")


def _carved(parts: dict[str, Part], task: Task, notes: list[str]) -> dict[str, Part]:
    missing = [name for name in ("test", "validation") if name not in parts]
    if not missing:
        return parts
    rows = len(parts["train"])
    share = OWN_SHARE if "test" in missing else VALIDATION_SHARE
    sizes = {name: splits.carved_size(rows, share) for name in missing}
    out = {**parts, **splits.carve(parts["train"], sizes, (task.seed, _CARVED))}
    made = " and ".join(f"{name} ({len(out[name]):,} rows)" for name in missing)
    how = "at random" if task.regression else "stratified"
    notes.append(
        f"{made} carved out of train, {how}, by the task's seed {task.seed};"
        f" train keeps {len(out['train']):,} rows"
    )
    return out


def _sentence(what: str, rows: int) -> str:
    name, _, fate = what.partition("_")
    count = f"{rows:,} {name} {'row' if rows == 1 else 'rows'}"
    if fate == "conflicting":
        return f"{rows:,} {name} text{'' if rows == 1 else 's'} kept under two labels"
    if fate.startswith("group_in_"):
        return f"{count} dropped: the group stands in {fate.removeprefix('group_in_')}"
    if fate.startswith("in_"):
        return f"{count} dropped: the text stands in {fate.removeprefix('in_')}"
    reason = {"twice": "the same row stands twice", "empty": "no text", "blank": "no label"}[fate]
    return f"{count} dropped: {reason}"


def _digest(task: Task, ordered: Mapping[str, Rows]) -> str:
    book = hashlib.sha256(json.dumps([task.regression, task.label_names]).encode())
    for name, rows in ordered.items():
        book.update(f"\x1d{name}\x1d".encode())
        book.update("\x1e".join(rows.text).encode("utf-8", "surrogatepass"))
        book.update(b"\x1d")
        book.update("\x1e".join(rows.pair or ()).encode("utf-8", "surrogatepass"))
        book.update(b"\x1d" if rows.label is None else rows.label.tobytes())
    return book.hexdigest()[:ID_LENGTH]
