"""Bags of word n-grams as rows of a table: an exact vocabulary, or hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from raysearch.ngrams.dan_numpy import END, TEXTS, Hasher, Reader, inside, split
from raysearch.ngrams.growable import GrowableMemmap
from raysearch.storage.store import State

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class NgramIds:
    """Row numbers of the n-grams of some texts."""

    ids: Ids
    """Of all texts, one after another (m,)."""
    offsets: NDArray[np.int64]
    """Where each text begins, and the end (n + 1,)."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Return the n-grams of each text (n,)."""
        return np.diff(self.offsets)

    def take(self, index: NDArray[np.int64]) -> NgramIds:
        """Return the bags at these positions, in this order."""
        sizes = self.offsets[index + 1] - self.offsets[index]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        shift = np.repeat(self.offsets[index] - offsets[:-1], sizes)
        return NgramIds(self.ids[shift + np.arange(offsets[-1])], offsets)

    def below(self, rows: int) -> NgramIds:
        """Return the bags without the n-grams whose row is not among the first `rows`."""
        keep = self.ids < rows
        if keep.all():
            return self
        through = np.concatenate([[0], np.cumsum(keep)])
        return NgramIds(self.ids[keep], through[self.offsets])


def _read(reader: Reader | Hasher, columns: Sequence[Sequence[str]]) -> NgramIds:
    """Return all bags; large ones are in a file, so that texts may exceed the memory."""
    ids, sizes = GrowableMemmap(np.int32), GrowableMemmap(np.int64)
    sizes.add(np.zeros(1, np.int64))
    for chunk in _chunks(columns):
        grams, offsets = reader.bags(chunk)
        ids.add(grams)
        sizes.add(np.diff(offsets))
    return NgramIds(ids.whole(), np.cumsum(sizes.whole()))


@dataclass(frozen=True, slots=True, eq=False)
class FrequentVocabulary:
    """The V commonest n-grams, commonest first: a trie in two columns, exact.

    Ties go to the shorter n-gram, then to the one whose words come first. An n-gram's prefix and
    its last word are at least as common and shorter, so that both stand above it: the first V' rows
    are the vocabulary of size V', and a row is found by its prefix's row and its last word's.
    """

    words: tuple[str, ...]
    """Single words in the order of their rows."""
    parent: Ids
    """Row of each n-gram without its last word (V,); -1: a single word."""
    last: Ids
    """Row of its last word (V,); of a single word its own."""
    ngrams: int
    """Longest n-gram."""

    @property
    def rows(self) -> int:
        """Return the number of rows, V."""
        return len(self.parent)

    def bags(self, *columns: Sequence[str]) -> NgramIds:
        """Return the n-grams of these texts in the vocabulary; one column after another."""
        return _read(Reader(self.words, self.parent, self.last, self.ngrams), columns)

    def name(self, row: int) -> str:
        """Return the words of an n-gram, one blank between them."""
        place = {int(r): w for r, w in zip(self.unigrams, self.words, strict=True)}
        out: list[str] = []
        while row >= 0:
            out.append(place[int(self.last[row])])
            row = int(self.parent[row])
        return " ".join(reversed(out))

    @property
    def unigrams(self) -> Ids:
        """Return the rows of the single words, in the order of `words`."""
        return np.flatnonzero(self.parent < 0).astype(np.int32)

    def first(self, rows: int) -> FrequentVocabulary:
        """Return the vocabulary of this many n-grams."""
        if rows >= self.rows:
            return self
        single = int((self.parent[:rows] < 0).sum())
        return FrequentVocabulary(
            self.words[:single], self.parent[:rows], self.last[:rows], self.ngrams
        )

    def bytes_of(self, rows: int) -> int:
        """Return the bytes of the first rows: the words, and two numbers a row."""
        return len(self.first(rows).spelled) + 8 * rows

    @property
    def spelled(self) -> bytes:
        """Return all words, a line each; none contains white space."""
        return "\n".join(self.words).encode("utf-8", "surrogatepass")

    def state(self) -> State:
        """Return the vocabulary as tensors."""
        words = np.frombuffer(self.spelled, np.uint8).copy()
        columns = {"words": words, "parent": self.parent, "last": self.last}
        return {k: torch.from_numpy(v) for k, v in columns.items()}

    @classmethod
    def restored(cls, state: State, ngrams: int) -> FrequentVocabulary:
        """Restore a vocabulary from its `state()`."""
        spelled = state["words"].numpy().tobytes().decode("utf-8", "surrogatepass")
        words = tuple(spelled.split("\n")) if spelled else ()
        return cls(words, state["parent"].numpy(), state["last"].numpy(), ngrams)


@dataclass(frozen=True, slots=True, eq=False)
class HashedVocabulary:
    """A row for every n-gram, by a hash that is the same in every process."""

    rows: int
    """V."""
    ngrams: int
    """Longest n-gram."""

    def bags(self, *columns: Sequence[str]) -> NgramIds:
        """Return all n-grams of these texts; one column after another."""
        return _read(Hasher(self.rows, self.ngrams), columns)

    def collisions(self, *columns: Sequence[str]) -> tuple[int, int]:
        """Return the rows that these texts' n-grams fall on, and how many of these are shared.

        A row is shared by several n-grams if the least and the greatest hash that fell on it
        differ.
        """
        hasher = Hasher(self.rows, self.ngrams)
        least = np.full(self.rows, np.iinfo(np.uint64).max, np.uint64)
        most = np.zeros(self.rows, np.uint64)
        for chunk in _chunks(columns):
            levels, ends = hasher.hashes(chunk)
            for n, hashes in enumerate(levels, 1):
                seen = np.unique(hashes[inside(ends, n)])
                rows = hasher.rows(seen)
                np.minimum.at(least, rows, seen)
                np.maximum.at(most, rows, seen)
        return int((least <= most).sum()), int((least < most).sum())

    def first(self, rows: int) -> HashedVocabulary:
        """Return the vocabulary itself: which rows matter is not known."""
        assert rows == self.rows
        return self

    def bytes_of(self, rows: int) -> int:
        """Return 0: no n-gram is listed."""
        return 0

    def state(self) -> State:
        """Return an empty state."""
        return {}


def most(columns: Sequence[Sequence[str]], ngrams: int, enough: int) -> int:
    """Return how many n-grams the texts have at most, each counted as often as it occurs.

    Counting stops at `enough`.
    """
    count = 0
    for chunk in _chunks(columns):
        count += ngrams * sum(w != END for w in split(chunk))
        if count >= enough:
            return enough
    return count


def _chunks(columns: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    for texts in columns:
        for i in range(0, len(texts), TEXTS):
            yield texts[i : i + TEXTS]
