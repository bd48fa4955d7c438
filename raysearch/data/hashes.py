"""A row's name without its text: a hash that can be recomputed from the text."""

from __future__ import annotations

import hashlib

from raysearch.config.trial import ID_LENGTH
from raysearch.data.rows import Rows
from raysearch.data.splits import PAIR, normalise


def row_hash(text: str, pair: str | None = None) -> str:
    """Return the first 16 hex digits of SHA-256 over the normalised text.

    A pair is both normalised texts with the ASCII unit separator (0x1f) between them. Texts that
    count as duplicates (case folded, white space collapsed) have one hash.

    >>> row_hash("A good  film") == row_hash("a good film")
    True
    >>> row_hash("a", "b") == row_hash("ab")
    False
    """
    key = normalise(text) if pair is None else normalise(text) + PAIR + normalise(pair)
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]


def row_hashes(rows: Rows) -> list[str]:
    """Return the hash of each row (n,)."""
    pairs = [None] * len(rows) if rows.pair is None else rows.pair
    return [row_hash(t, p) for t, p in zip(rows.text, pairs, strict=True)]
