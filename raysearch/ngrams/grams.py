"""Bags of word n-grams as rows of a table: an exact vocabulary of the commonest, or hashes.

A bag is the row numbers of a text's n-grams, with multiplicity, in the order in which they start.
Texts are read by raysearch.ngrams.dan_numpy, whose source goes into exported folders.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raysearch.errors import InputError
from raysearch.ngrams.bags import FrequentVocabulary, _chunks
from raysearch.ngrams.dan_numpy import END, split
from raysearch.ngrams.growable import IN_MEMORY, GrowableMemmap


def frequent(
    texts: Sequence[str], rows: int, ngrams: int, *more: Sequence[str], in_memory: int = IN_MEMORY
) -> FrequentVocabulary:
    """Return the commonest n-grams of these texts, exactly.

    Length by length: an n-gram is counted only where its prefix and its last word may still be
    among the commonest, since it is no commoner than they. The words' numbers are in a temporary
    file where they are more than `in_memory` bytes, and n-grams are counted by ranges of their
    prefix: memory grows with distinct words and with n-grams that may be among the commonest.

    Args:
        texts: one column of texts (n,), in any order.
        rows: how many n-grams, V.
        ngrams: longest n-gram [words].
        more: further columns.
        in_memory: bytes of a column of numbers that stay in memory.

    Raises:
        InputError: the texts hold fewer n-grams than `rows`.
    """
    if ngrams < 1:
        raise InputError(f"ngrams: must be 1 or more, not {ngrams}")
    columns = (texts, *more)
    tally: Counter[str] = Counter()
    for chunk in _chunks(columns):
        tally.update(split(chunk))
    tally.pop(END, None)
    alphabet = sorted(tally)
    counts = [np.array([tally[w] for w in alphabet], np.int64)]
    parents, lasts = [np.full(len(alphabet), -1, np.int64)], [np.arange(len(alphabet))]
    if not alphabet:
        return _ranked(alphabet, counts, parents, lasts, rows, ngrams)
    least = _least(counts, rows)
    words, bounds = _numbers(
        columns, {w: i for i, w in enumerate(alphabet) if tally[w] >= least}, in_memory
    )
    blocks = [words[a:b] for a, b in itertools.pairwise(bounds)]
    before = _copied(blocks, in_memory)
    for n in range(2, ngrams + 1):
        starts = [before[a:b] for a, b in itertools.pairwise(bounds)]
        keys, number = _counted(starts, blocks, n, len(alphabet), counts[-1], least, in_memory)
        counts.append(number)
        parents.append(keys // len(alphabet))
        lasts.append(keys % len(alphabet))
        least = max(least, _least(counts, rows))
        if not len(keys):
            break
        if n < ngrams:
            for b, w in zip(starts, blocks, strict=True):
                b[:] = _numbered(b, w, n, keys, len(alphabet))
    return _ranked(alphabet, counts, parents, lasts, rows, ngrams)


def too_few(rows: int, available: int, ngrams: int, bound: str = "") -> str:
    """Return why a vocabulary cannot be that large."""
    words = "word" if ngrams == 1 else "words"
    return (
        f"vocabulary: {rows:,} n-grams asked, the texts hold {bound}{available:,} of up to "
        f"{ngrams} {words}: a smaller model, or vocabulary hashed"
    )


def _numbers(
    columns: Sequence[Sequence[str]], rank: Mapping[str, int], in_memory: int
) -> tuple[NDArray[np.int32], list[int]]:
    """Return the number of every word in turn, and where chunks begin.

    -1 for a word without one and between texts.
    """
    out, bounds = GrowableMemmap(np.int32, in_memory), [0]
    for chunk in _chunks(columns):
        out.add(np.array([rank.get(w, -1) for w in split(chunk)], np.int32))
        bounds.append(len(out))
    return out.whole(), bounds


def _copied(blocks: Sequence[NDArray[np.int32]], in_memory: int) -> NDArray[np.int32]:
    out = GrowableMemmap(np.int32, in_memory)
    for block in blocks:
        out.add(block.copy())
    return out.whole()


def _least(counts: Sequence[NDArray[np.int64]], rows: int) -> int:
    """Return the count of the `rows`-th commonest so far; 1 while there are fewer."""
    tallies = np.concatenate(counts)
    if len(tallies) < rows:
        return 1
    return int(np.partition(tallies, len(tallies) - rows)[len(tallies) - rows])


def _keys(
    before: NDArray[np.int32], words: NDArray[np.int32], n: int, base: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where n-grams start whose parts are still candidates, and their keys.

    A key is prefix * base + last word.
    """
    rest = max(0, len(words) - n + 1)
    start = np.flatnonzero((before[:rest] >= 0) & (words[n - 1 :][:rest] >= 0))
    return start, before[start].astype(np.int64) * base + words[start + n - 1]


def _counted(
    before: Sequence[NDArray[np.int32]],
    words: Sequence[NDArray[np.int32]],
    n: int,
    base: int,
    prefixes: NDArray[np.int64],
    least: int,
    in_memory: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return distinct keys that occur `least` times or more, ascending, and their counts.

    In passes over ranges of the prefix that occur `in_memory` times each: distinct keys are fewer.
    """
    through = np.cumsum(prefixes)
    passes = 1 + int(through[-1]) // in_memory
    cuts = np.searchsorted(through, np.arange(1, passes) * (through[-1] / passes))
    ranges = [0, *np.unique(cuts + 1).tolist(), len(prefixes)]
    keys, number = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for low, high in itertools.pairwise(ranges):
        if low >= high:
            continue
        keys_so_far, counts_so_far = np.empty(0, np.int64), np.empty(0, np.int64)
        waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for b, w in zip(before, words, strict=True):
            chunk = _keys(b, w, n, base)[1]
            if passes > 1:
                chunk = chunk[(chunk >= low * base) & (chunk < high * base)]
            waiting.append(np.unique(chunk, return_counts=True))
            if sum(len(k) for k, _ in waiting) > max(len(keys_so_far), 2**20):
                keys_so_far, counts_so_far = _merged([(keys_so_far, counts_so_far), *waiting])
                waiting = []
        keys_so_far, counts_so_far = _merged([(keys_so_far, counts_so_far), *waiting])
        keys.append(keys_so_far[counts_so_far >= least])
        number.append(counts_so_far[counts_so_far >= least])
    return np.concatenate(keys), np.concatenate(number)


def _merged(
    runs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    joined = np.concatenate([k for k, _ in runs])
    if not len(joined):
        return joined, joined
    order = np.argsort(joined, kind="stable")  # runs are sorted: merging them is cheap
    joined = joined[order]
    first = np.concatenate([[0], np.flatnonzero(joined[1:] != joined[:-1]) + 1])
    number = np.concatenate([c for _, c in runs])[order]
    return joined[first], np.add.reduceat(number, first)


def _numbered(
    before: NDArray[np.int32],
    words: NDArray[np.int32],
    n: int,
    keys: NDArray[np.int64],
    base: int,
) -> NDArray[np.int32]:
    """Return the number, among `keys`, of the n-gram that starts at each place.

    -1 without one.
    """
    out = np.full(len(words), -1, np.int32)
    start, sought = _keys(before, words, n, base)
    if len(keys) and len(start):
        at = np.minimum(np.searchsorted(keys, sought), len(keys) - 1)
        out[start] = np.where(keys[at] == sought, at, -1)
    return out


def _ranked(
    alphabet: Sequence[str],
    counts: Sequence[NDArray[np.int64]],
    parents: Sequence[NDArray[np.int64]],
    lasts: Sequence[NDArray[np.int64]],
    rows: int,
    ngrams: int,
) -> FrequentVocabulary:
    """Return the `rows` commonest of all lengths.

    Within a length `counts` are in the words' order.
    """
    tallies = np.concatenate(counts)
    if len(tallies) < rows:
        raise InputError(too_few(rows, len(tallies), ngrams))
    sizes = [len(c) for c in counts]
    length = np.repeat(np.arange(len(sizes)), sizes)
    within = np.concatenate([np.arange(s) for s in sizes])
    order = np.lexsort((within, length, -tallies))[:rows]
    row = np.full(len(tallies), -1, np.int64)
    row[order] = np.arange(rows)
    first = np.concatenate([[0], np.cumsum(sizes)])
    shift = first[np.maximum(length - 1, 0)]
    above = np.concatenate(parents)
    parent = np.where(length > 0, row[np.where(length > 0, above + shift, 0)], -1)
    last = row[np.concatenate(lasts)]
    kept = order[length[order] == 0]
    return FrequentVocabulary(
        tuple(alphabet[i] for i in kept),
        parent[order].astype(np.int32),
        last[order].astype(np.int32),
        ngrams,
    )
