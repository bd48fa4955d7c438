"""Hashed word n-grams of texts as sparse rows: the input of an n-gram model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer

from raysearch.data.rows import Rows

# NOTE: words of one letter and punctuation carry sentiment ("I", "!"), so they are tokens.
PATTERN = r"(?u)\w+|[^\w\s]"

PAIR = " __pair__ "
"""Separator of the two texts of a pair: a word that the pattern does not split."""


def hashing(buckets: int, ngrams: int, weighting: str) -> HashingVectorizer:
    """Return the vectoriser of a model.

    Counts for `tfidf`, counts scaled to length 1 for `tf`.
    """
    return HashingVectorizer(
        n_features=buckets,
        ngram_range=(1, ngrams),
        token_pattern=PATTERN,
        alternate_sign=False,
        norm=None if weighting == "tfidf" else "l2",
        dtype=np.float32,
    )


def weighted(counts: Any, idf: NDArray[np.float32] | None) -> Any:
    """Multiply sparse counts (n, d) by inverse frequencies (d,), each row at length 1.

    Without frequencies the counts are returned as they are.
    """
    if idf is None:
        return counts
    x = counts.multiply(idf[None, :]).tocsr()
    norm = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
    scale = np.repeat(1 / np.maximum(norm, 1e-12), np.diff(x.indptr)).astype(np.float32)
    x.data *= scale
    return x


def joined(rows: Rows) -> list[str]:
    """Return one string a row; the two texts of a pair are joined by `PAIR`."""
    if rows.pair is None:
        return list(rows.text)
    return [f"{a}{PAIR}{b}" for a, b in zip(rows.text, rows.pair, strict=True)]
