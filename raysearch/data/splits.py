"""Assign rows to splits: drop duplicates, carve splits, fix the order of budgets.

Pure functions on arrays; the only randomness is the seed that comes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from raysearch.data.rows import Rows

Labels: TypeAlias = NDArray[np.int64] | NDArray[np.float32]
Index: TypeAlias = NDArray[np.int64]

PAIR = "\x1f"  # the ASCII unit separator: stands in no text, so that keys of pairs are unambiguous


@dataclass(frozen=True, slots=True)
class Part:
    """Rows before they belong to a split, with what is needed to keep relatives together."""

    ids: Index
    """Row numbers in the source (n,)."""
    text: list[str]
    pair: list[str] | None = None
    label: Labels | None = None
    group: list[str] | None = None

    def __len__(self) -> int:
        return len(self.text)

    def take(self, index: Index) -> Part:
        """Return the rows at these positions, in this order."""
        where = index.tolist()
        return Part(
            self.ids[index],
            [self.text[i] for i in where],
            None if self.pair is None else [self.pair[i] for i in where],
            None if self.label is None else self.label[index],
            None if self.group is None else [self.group[i] for i in where],
        )

    def where(self, keep: Callable[[int], bool]) -> Part:
        """Return the rows whose position `keep` accepts; itself when that is all of them."""
        index = np.array([i for i in range(len(self)) if keep(i)], dtype=np.int64)
        return self if len(index) == len(self) else self.take(index)

    def keys(self) -> list[str]:
        """Return keys (n,) that are equal for rows with the same text."""
        return keys(self.text, self.pair)

    def rows(self, split: str) -> Rows:
        """Return the same rows as `Rows` of a split."""
        unit = None if self.group is None else units(self)
        return Rows(split, self.ids, self.text, self.pair, self.label, unit)


def normalise(text: str) -> str:
    r"""Return the text as duplicates are compared: case folded, white space collapsed.

    >>> normalise("  A Good\n\tFilm ")
    'a good film'
    """
    return " ".join(text.casefold().split())


def keys(text: Sequence[str], pair: Sequence[str] | None = None) -> list[str]:
    """Return keys (n,) that are equal for rows with the same text, or the same pair.

    >>> keys(["A  b", "a B"])
    ['a b', 'a b']
    """
    if pair is None:
        return [normalise(t) for t in text]
    return [normalise(t) + PAIR + normalise(p) for t, p in zip(text, pair, strict=True)]


def unseen(rows: Rows, seen: Set[str]) -> Rows:
    """Return the rows whose text is none of the seen ones, given as `keys`. O(rows)."""
    fresh = [i for i, key in enumerate(keys(rows.text, rows.pair)) if key not in seen]
    return rows if len(fresh) == len(rows) else rows.take(np.array(fresh, dtype=np.int64))


def labelled(part: Part) -> NDArray[np.bool_]:
    """Return which rows (n,) have a label: a class id other than BLANK, or a number."""
    if part.label is None:
        return np.zeros(len(part), dtype=np.bool_)
    return np.asarray(~np.isnan(part.label) if part.label.dtype.kind == "f" else part.label >= 0)


def blanks_apart(parts: Mapping[str, Part]) -> tuple[dict[str, Part], dict[str, int]]:
    """Move training rows without a label into the unlabelled pool, ahead of a pool of its own.

    In validation and test such rows are dropped. Both are counted, as `<split>_blank`.
    """
    out = dict(parts)
    counts: dict[str, int] = {}
    for name in ("train", "validation", "test"):
        has = labelled(parts[name]) if name in parts else np.ones(0, dtype=np.bool_)
        if has.all():
            continue
        out[name] = parts[name].take(np.flatnonzero(has).astype(np.int64))
        counts[f"{name}_blank"] = int((~has).sum())
        if name != "train":
            continue
        blank = parts[name].take(np.flatnonzero(~has).astype(np.int64))
        ids, text, pair, more = blank.ids, blank.text, blank.pair, parts.get("unlabelled")
        group = blank.group
        if more is not None:
            # Numbered on from the rows of train, so that an id still names one row.
            ids = np.concatenate([ids, more.ids + 1 + parts[name].ids.max()])
            text = text + more.text
            pair = None if pair is None or more.pair is None else pair + more.pair
            group = None if group is None else group + (more.group or [""] * len(more))
        out["unlabelled"] = Part(ids, text, pair, group=group)
    return out, counts


def drop_duplicates(parts: Mapping[str, Part]) -> tuple[dict[str, Part], dict[str, int]]:
    """Drop texts that would be both trained and evaluated on; return the rest and the counts.

    Test keeps everything. A validation text that is a test text goes; so does a training text that
    is either; exact duplicates inside train (same text, same label) keep the first. Training rows
    whose group is in validation or test go as well. Texts under two labels stay, counted as
    `train_conflicting`. Unlabelled texts that are in another split, or twice, go. O(rows).
    """
    out: dict[str, Part] = {}
    dropped: Counter[str] = Counter()
    seen: dict[str, set[str]] = {}
    groups: dict[str, set[str]] = {}
    for name in ("test", "validation", "train", "unlabelled"):
        if name not in parts:
            continue
        part = parts[name]
        keys = part.keys()
        fate = [""] * len(part)
        for other, known in seen.items():
            for i, key in enumerate(keys):
                if not fate[i] and key in known:
                    fate[i] = f"{name}_in_{other}"
        if part.group is not None:
            for other, known in groups.items():
                for i, group in enumerate(part.group):
                    if not fate[i] and group and group in known:
                        fate[i] = f"{name}_group_in_{other}"
        if name in ("train", "unlabelled"):
            first: set[tuple[str, float]] = set()
            values = [0.0] * len(part) if part.label is None else part.label.tolist()
            for i, pair in enumerate(zip(keys, values, strict=True)):
                if fate[i]:
                    continue
                if pair in first:
                    fate[i] = f"{name}_twice"
                first.add(pair)
            clashes = len(first) - len({key for key, _ in first})
            if clashes:
                dropped[f"{name}_conflicting"] = clashes
        dropped.update(f for f in fate if f)
        out[name] = part.where(lambda i, fate=fate: not fate[i])  # type: ignore[misc]
        seen[name] = set(keys)
        if part.group is not None:
            groups[name] = {g for g in part.group if g}
    return {n: out[n] for n in parts}, dict(dropped)


def spread(label: Labels | None, n: int, seed: Sequence[int], *, head: bool) -> Index:
    """Return an order (n,) of which every prefix keeps the classes' natural proportions.

    Within a class the order is random; the row of rank r among the n_c rows of its class sorts at
    (r + 0.5) / n_c, ties broken at random. With `head`, the first C positions hold one row of
    each of the C classes that occur, in random order. Without integer labels: a plain shuffle.
    O(n log n).

    >>> y = np.array([0] * 6 + [1] * 2)
    >>> y[spread(y, 8, [3], head=True)][:2].sum()
    np.int64(1)
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(n).astype(np.int64)
    if label is None or label.dtype.kind == "f" or n == 0:
        return shuffled
    y = label[shuffled]
    by_class = np.argsort(y, kind="stable")
    _, starts, counts = np.unique(y[by_class], return_index=True, return_counts=True)
    rank = np.empty(n, dtype=np.int64)
    rank[by_class] = np.arange(n) - np.repeat(starts, counts)
    size = np.empty(n, dtype=np.int64)
    size[by_class] = np.repeat(counts, counts)
    key = (rank + 0.5) / size
    if head:
        key[rank == 0] = -1.0
    # Positions in `shuffled` are random already: a stable sort breaks ties at random.
    return shuffled[np.argsort(key, kind="stable")]


def held_back(label: Labels, count: int, unit: Index | None = None) -> NDArray[np.bool_]:
    """Mark `count` rows (n,), in shares like those of the classes, the last rows of each class.

    A class that has two rows or more gives at least one, as far as `count` reaches, and keeps one;
    ties of remainders go to the lower class. Rows of one unit stay together, so that there may be
    fewer than `count`.

    >>> held_back(np.array([0, 0, 0, 1, 1, 0]), 2).tolist()
    [False, False, False, False, True, True]
    >>> held_back(np.array([0, 0, 0, 1, 1, 0]), 2, np.array([0, 1, 2, 3, 4, 0])).tolist()
    [False, False, True, False, True, False]
    """
    out = np.zeros(len(label), np.bool_)
    classes, sizes = np.unique(label, return_counts=True)
    least = np.minimum(sizes > 1, 1)
    if least.sum() > count:
        least[np.cumsum(least) > count] = 0
    ideal = count * sizes / max(1, len(label))
    most = np.where(sizes > 1, sizes - 1, sizes)
    quota = np.clip(np.floor(ideal).astype(np.int64), least, most)
    while quota.sum() != count:
        more = quota.sum() < count
        short = ideal - quota
        can = quota < most if more else quota > least
        if not can.any():
            break
        place = np.where(can, short if more else -short, -np.inf).argmax()
        quota[place] += 1 if more else -1
    if unit is None:
        unit = np.arange(len(label))
    left = dict(zip(classes.tolist(), quota.tolist(), strict=True))
    rows_of: dict[int, list[int]] = {}
    for i, u in enumerate(unit.tolist()):
        rows_of.setdefault(u, []).append(i)
    for rows in sorted(rows_of.values(), key=lambda rows: -rows[-1]):
        wanted = Counter(label[rows].tolist())
        if all(left[k] >= n for k, n in wanted.items()):
            out[rows] = True
            left = {k: have - wanted[k] for k, have in left.items()}
    return out


def units(part: Part) -> Index:
    """Return the number of each row's unit (n,): rows with the same text or group, or linked."""
    parent = list(range(len(part)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    links = [part.keys()] if part.group is None else [part.keys(), part.group]
    for values in links:
        first: dict[str, int] = {}
        for i, value in enumerate(values):
            # A blank group is no group: its rows are unrelated.
            if value:
                parent[root(i)] = root(first.setdefault(value, i))
    return np.array([root(i) for i in range(len(part))], dtype=np.int64)


def carve(part: Part, sizes: Mapping[str, int], seed: Sequence[int]) -> dict[str, Part]:
    """Cut splits of at least these sizes [rows] off a part; the remainder is returned as `train`.

    Stratified by the label of the first row of each unit; units (see `units`) are never cut, so a
    split can exceed its size by the rest of its last unit. Rows keep the source's order.
    """
    unit = units(part)
    heads, first, members = np.unique(unit, return_index=True, return_counts=True)
    label = None if part.label is None else part.label[first]
    order = spread(label, len(heads), seed, head=False)
    side = np.zeros(len(heads), dtype=np.int64)
    at = 0
    for number, size in enumerate(sizes.values(), start=1):
        filled = 0
        while filled < size and at < len(order):
            side[order[at]] = number
            filled += int(members[order[at]])
            at += 1
    row_side = side[np.searchsorted(heads, unit)]
    out = {
        name: part.take(np.flatnonzero(row_side == number).astype(np.int64))
        for number, name in enumerate(sizes, start=1)
    }
    out["train"] = part.take(np.flatnonzero(row_side == 0).astype(np.int64))
    return out


def carved_size(rows: int, share: float) -> int:
    """Return how many of `rows` a carved split gets: the share, or up to 50 rows of small data.

    >>> carved_size(10_000, 0.15), carved_size(200, 0.15), carved_size(40, 0.15)
    (1500, 50, 10)
    """
    return max(round(share * rows), min(50, rows // 4))
