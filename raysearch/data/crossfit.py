"""Cross-fitting: without a given test split, each row is predicted by models that never saw it.

Source: Stone 1974, JRSS B 36 (cross-validatory assessment); repeats as in Kohavi 1995, IJCAI.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raysearch.data import splits
from raysearch.data.rows import Rows
from raysearch.data.splits import Index, Part
from raysearch.data.task_data import TaskData
from raysearch.errors import InputError

POOL = "pool"
"""Name of the rows that all folds are drawn from: tokenised once for all of them."""

MOST = 20
"""Folds at most: every candidate is run once for each."""

_FOLDS, _VALIDATION = 4, 5  # streams of the task's seed, apart from those of task_data


def folds_of(data: TaskData) -> int:
    """Return how many folds the task is cross-fitted with; 0 if a test split came with the data.

    A fold is no larger than the carved test split, even with a whole unit (rows of one text or
    group) too many in it and one in the validation split: what is left then fills every label
    budget of the study. Units larger than a quarter of the test split are not reckoned with: they
    get a fold's room of their own and stay out of validation. A group larger than a fold may leave
    a budget unfilled there; such a draw is recorded as INFEASIBLE.
    """
    if data.pool is None or len(np.unique(splits.units(data.pool))) < 2:
        return 0
    _, counts = np.unique(splits.units(data.pool), return_counts=True)
    test = len(data.splits["test"])
    usual = counts[4 * counts <= test]
    most = max(1, test - 2 * (int(usual.max(initial=1)) - 1))
    return min(MOST, len(counts), max(2, -(-len(data.pool) // most)))


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
    tested = fold_of(pool, folds, (data.task.seed, _FOLDS, repetition)) == fold
    parts = {"test": pool.take(np.flatnonzero(tested).astype(np.int64))}
    rest = pool.take(np.flatnonzero(~tested).astype(np.int64))
    if "validation" in data.carved:
        parts |= _validated(rest, len(data.splits["validation"]), (data.task.seed, draw))
    else:
        parts["train"] = rest
    made = {POOL: _rows(pool), **{name: _rows(part) for name, part in parts.items()}}
    return replace(data, splits={**data.splits, **made})


def _validated(rest: Part, rows: int, seed: tuple[int, int]) -> dict[str, Part]:
    """Cut off a validation split of this many rows, stratified; units are never cut.

    Units are taken in a spread order while they fit. The split is larger than `rows` only where no
    set of units comes out even, and then by as little as one of them allows.
    """
    heads, first, place, members = np.unique(
        splits.units(rest), return_index=True, return_inverse=True, return_counts=True
    )
    label = None if rest.label is None else rest.label[first]
    order = splits.spread(label, len(heads), (seed[0], _VALIDATION, seed[1]), head=False)
    taken = np.zeros(len(heads), dtype=np.bool_)
    filled = 0
    for unit in order.tolist():
        if filled + members[unit] <= rows:
            taken[unit] = True
            filled += int(members[unit])
    if filled < rows:  # one unit more, in exchange for none or one of those taken
        into = {int(members[u]): u for u in order.tolist() if not taken[u]}
        out = {0: -1, **{int(members[u]): u for u in order.tolist() if taken[u]}}
        pairs = [(filled + a - b, a, b) for a in into for b in out if filled + a - b >= rows]
        _, a, b = min(pairs, default=(0, max(into, default=0), 0))
        if a:
            taken[into[a]] = True
        if b:
            taken[out[b]] = False
    side = taken[place]
    return {
        "validation": rest.take(np.flatnonzero(side).astype(np.int64)),
        "train": rest.take(np.flatnonzero(~side).astype(np.int64)),
    }


def fold_of(pool: Part, folds: int, seed: tuple[int, ...]) -> Index:
    """Return each row's fold (n,): stratified by class, units of rows never cut. O(n log n).

    Units larger than half a fold go first, each into the emptiest fold; the others fill the folds
    up one after the other, in an order of which every stretch holds the classes' proportions.
    """
    heads, first, place, members = np.unique(
        splits.units(pool), return_index=True, return_inverse=True, return_counts=True
    )
    label = None if pool.label is None else pool.label[first]
    order = splits.spread(label, len(heads), seed, head=False)
    size = len(pool) / folds
    large = [int(u) for u in order if members[u] > size / 2]
    fold = np.full(len(heads), -1, np.int64)
    filled = np.zeros(folds)
    for unit in sorted(large, key=lambda u: -members[u]):
        fold[unit] = int(filled.argmin())
        filled[fold[unit]] += members[unit]
    rest = [int(u) for u in order if fold[u] < 0]
    room = np.maximum(size - filled, 0.0)
    room *= members[rest].sum() / max(room.sum(), 1e-12)  # the excess of the large ones
    ends = np.cumsum(room)
    done, at = 0.0, 0
    for unit in rest:
        while at < folds - 1 and done + members[unit] / 2 > ends[at]:
            at += 1
        fold[unit] = at
        done += members[unit]
    return fold[place]


def _rows(part: Part) -> Rows:
    return part.rows(POOL)
