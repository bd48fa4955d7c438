"""Tokenise texts, once a split, and batch them with padding."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysearch.data.rows import Rows
from raysearch.storage.checkpoints import quiet_libraries, vocabulary_file
from raysearch.storage.store import Store


class Pattern(Protocol):
    """A text layout with its own tokens; raysearch.encoders.cloze has one."""

    @property
    def key(self) -> str:
        """Return the key of its tokens in the Store."""

    def encode(
        self, fast: Any, rows: Rows, limit: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return token ids back to back, and each row's begin and end (n + 1,)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded token ids of some texts, on the device."""

    ids: Tensor
    """(B, S) int64."""
    mask: Tensor
    """(B, S) bool: True at real tokens."""
    types: Tensor | None
    """(B, S) int64 segment ids of pairs, None when all are 0."""
    full: bool
    """No row is padded."""

    def types_argument(self) -> dict[str, Tensor]:
        """Return the segment ids as a keyword, when there are any."""
        return {} if self.types is None else {"token_type_ids": self.types}

    @property
    def tokens(self) -> int:
        """Return the executed tokens, padding included."""
        return int(self.ids.numel())


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of rows, back to back."""

    flat: NDArray[np.int32]
    offsets: NDArray[np.int64]
    """(n + 1,) row i is flat[offsets[i]:offsets[i + 1]]."""
    types: NDArray[np.uint8] | None
    rows: NDArray[np.int64]
    """Which of the stored rows these are (n,)."""
    pad: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the tokens of each row (n,)."""
        return np.asarray(self.offsets[self.rows + 1] - self.offsets[self.rows])

    def batch(self, index: NDArray[np.int64], device: torch.device) -> Batch:
        """Pad the rows at these positions to their longest; move them to the device."""
        rows = self.rows[index]
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        width = int(lengths.max(initial=1))
        ids = np.full((len(rows), width), self.pad, np.int64)
        types = None if self.types is None else np.zeros((len(rows), width), np.int64)
        for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            ids[i, :length] = self.flat[start : start + length]
            if types is not None and self.types is not None:
                types[i, :length] = self.types[start : start + length]
        mask = np.arange(width) < lengths[:, None]
        return Batch(
            _move(ids, device),
            _move(mask, device),
            None if types is None else _move(types, device),
            bool((lengths == width).all()),
        )


def _move(array: NDArray[Any], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Return the rows of several, one after the other, copied into memory."""
    if len(parts) == 1:
        return parts[0]
    lengths = np.concatenate([p.lengths for p in parts])
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])

    def gathered(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        pieces = [
            a[p.offsets[r] : p.offsets[r + 1]]
            for a, p in zip(arrays, parts, strict=True)
            for r in p.rows.tolist()
        ]
        return np.concatenate(pieces) if pieces else arrays[0][:0]

    types = [p.types for p in parts if p.types is not None]
    return Encoded(
        gathered([p.flat for p in parts]),
        offsets,
        gathered(types) if len(types) == len(parts) else None,
        np.arange(len(lengths)),
        parts[0].pad,
    )


class Tokeniser:
    """A checkpoint's tokeniser; each split of the task is tokenised once into the Store."""

    def __init__(
        self, folder: Path, store: Store, splits: Mapping[str, Rows], splits_digest: str, limit: int
    ) -> None:
        self._folder = folder
        self._store = store
        self._splits = splits
        self._digest = splits_digest
        self._limit = limit

    @property
    def fast(self) -> Any:
        """Return the checkpoint's fast tokeniser, shared in the process: do not change it."""
        return fast_tokeniser(self._folder)

    @property
    def limit(self) -> int:
        """Return the longest input, special tokens included [tokens]."""
        # RoBERTa's table of 514 positions holds texts of 512: its tokeniser's limit is used
        return min(self._limit, int(self.fast.model_max_length))

    def encode(self, rows: Rows, pattern: Pattern | None = None) -> Encoded:
        """Return token ids of the rows, special tokens included, cut at the task's longest input.

        With a pattern they are inside it. Rows of one of the task's splits come memory-mapped from
        the Store; others are tokenised.
        """
        whole = self._splits.get(rows.split)
        if whole is None:
            flat, offsets, types = self._tokenise(rows, pattern)
            return Encoded(flat, offsets, types, np.arange(len(rows)), self._pad)
        key = self._key(rows.split) + ("" if pattern is None else f"-{pattern.key}")
        folder = self._store.build("tokens", key, lambda f: self._fill(f, whole, pattern))
        types_file = folder / "types.npy"
        return Encoded(
            np.load(folder / "ids.npy", mmap_mode="r"),
            np.load(folder / "offsets.npy"),
            np.load(types_file, mmap_mode="r") if types_file.exists() else None,
            np.searchsorted(whole.ids, rows.ids),
            self._pad,
        )

    def _key(self, split: str) -> str:
        tokeniser = hashlib.sha256(vocabulary_file(self._folder).read_bytes()).hexdigest()[:16]
        return f"{self._digest}-{split}-{tokeniser}-{self._limit}"

    def _fill(self, folder: Path, rows: Rows, pattern: Pattern | None) -> None:
        flat, offsets, types = self._tokenise(rows, pattern)
        np.save(folder / "ids.npy", flat)
        np.save(folder / "offsets.npy", offsets)
        if types is not None:
            np.save(folder / "types.npy", types)

    @property
    def _pad(self) -> int:
        return int(self.fast.pad_token_id or 0)

    def _tokenise(
        self, rows: Rows, pattern: Pattern | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8] | None]:
        if pattern is not None:
            return *pattern.encode(self.fast, rows, self.limit), None
        encoded = self.fast(
            list(rows.text),
            None if rows.pair is None else list(rows.pair),
            truncation=True,
            max_length=self.limit,
            return_attention_mask=False,
        )
        lists: list[list[int]] = encoded["input_ids"]
        offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(x) for x in lists], out=offsets[1:])
        flat = np.fromiter((t for x in lists for t in x), np.int32, count=int(offsets[-1]))
        if rows.pair is None or "token_type_ids" not in encoded:
            return flat, offsets, None
        types = np.fromiter((t for x in encoded["token_type_ids"] for t in x), np.uint8)
        return flat, offsets, types


@cache
def fast_tokeniser(folder: Path) -> Any:
    """Return a checkpoint's tokeniser, shared in the process: do not change it."""
    from transformers import AutoTokenizer

    with quiet_libraries():
        return AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
