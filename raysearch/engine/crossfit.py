"""Cross-fitting: where no test split came with the data, every row is judged by a stranger to it.

Source: Stone 1974, JRSS B 36 (cross-validatory assessment); repeats as in Kohavi 1995, IJCAI.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raysearch.engine import splits
from raysearch.engine.data import TaskData
from raysearch.engine.protocol import Rows
from raysearch.engine.splits import Index, Part
from raysearch.errors import InputError

POOL = "pool"
"""Name of the rows that all folds are drawn from: tokenised once for all of them."""

_FOLDS, _VALIDATION = 4, 5  # streams of the task's seed, apart from those of engine.data


def folds_of(data: TaskData) -> int:
    """How many folds the task is cross-fitted with; 0 where a test split came with the data.

    So many that a fold is no larger than the carved test split, even with a whole unit (rows of
    one text or group) too many: what is left then fills every label budget of the study.
    """
    if data.pool is None:
        return 0
    _, counts = np.unique(splits.units(data.pool), return_counts=True)
    most = max(1, len(data.splits["test"]) - int(counts.max()) + 1)
    return max(2, -(-len(data.pool) // most))


def crossfit(data: TaskData, folds: int, draw: int) -> TaskData:
    """Return the task with a fold of its pool as the test split of a draw.

    Draw d holds out fold (d - 1) % folds of repetition (d - 1) // folds. The folds of a repetition
    are disjoint and hold every row once, stratified; rows of one text or group stay on one side.
    A carved validation split is carved anew out of the rest; an official one stays.

    Raises:
        InputError: the task has a test split of its own, or draw or folds are out of range.
    """
    pool = data.pool
    if pool is None:
        raise InputError(f"{data.task.name}: has a test split of its own, nothing to cross-fit")
    if folds < 2 or draw < 1:
        raise InputError(f"cross-fitting: draw {draw} of {folds} folds; must be >= 1 of >= 2")
    repetition, fold = divmod(draw - 1, folds)
    held = fold_of(pool, folds, (data.task.seed, _FOLDS, repetition)) == fold
    parts = {"test": pool.take(np.flatnonzero(held).astype(np.int64))}
    rest = pool.take(np.flatnonzero(~held).astype(np.int64))
    if "validation" in data.carved:
        sizes = {"validation": len(data.splits["validation"])}
        parts |= splits.carve(rest, sizes, (data.task.seed, _VALIDATION, draw))
    else:
        parts["train"] = rest
    made = {POOL: _rows(pool), **{name: _rows(part) for name, part in parts.items()}}
    return replace(data, splits={**data.splits, **made})


def fold_of(pool: Part, folds: int, seed: tuple[int, ...]) -> Index:
    """Number each row's fold (n,): stratified by class, units of rows never cut. O(n log n)."""
    heads, first, place, members = np.unique(
        splits.units(pool), return_index=True, return_inverse=True, return_counts=True
    )
    label = None if pool.label is None else pool.label[first]
    order = splits.spread(label, len(heads), seed, head=False)
    before = np.cumsum(members[order]) - members[order]
    fold = np.empty(len(heads), np.int64)
    # A stretch of the spread order holds the classes in their proportions, as a prefix does.
    fold[order] = before * folds // len(pool)
    return fold[place]


def _rows(part: Part) -> Rows:
    return part.rows(POOL)
