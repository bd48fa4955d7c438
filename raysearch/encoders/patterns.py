"""Cloze patterns: where text and mask stand, and which tokens the label words are."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.data.rows import Rows
from raysearch.errors import InputError


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a text goes in a pattern."""

    field: str
    """`text` or `pair`."""
    space: bool
    """Whether a space is before it."""

    def prepared(self, text: str) -> str:
        """Return the text as it is encoded; an empty text stays empty."""
        text = text.strip()
        return f" {text}" if self.space and text else text


@dataclass(frozen=True, slots=True)
class Pattern:
    """A template with one {mask} and {text} (and {pair}), as token ids around a text."""

    template: str

    @property
    def key(self) -> str:
        """Return 16 hex digits over the template."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:16]

    def fields(self) -> list[tuple[str, str]]:
        """Return the literal before each field and the field's name; the last name is empty.

        >>> Pattern("{text} It was {mask}.").fields()
        [('', 'text'), (' It was ', 'mask'), ('.', '')]
        """
        parsed = string.Formatter().parse(self.template)
        out = [(literal, name or "") for literal, name, _, _ in parsed]
        return out if not out[-1][1] else [*out, ("", "")]

    def pieces(self, fast: Any) -> list[list[int] | Slot]:
        """Return fixed token ids, special tokens among them, and slots for texts; in order.

        Byte-level vocabularies distinguish a word after a space from one without: the space before
        a text goes to the text, the one before the mask belongs to the mask.
        """
        opening, closing = _special(fast)
        fixed, out = list(opening), list[list[int] | Slot]()
        for literal, name in self.fields():
            shown = literal.rstrip() if name else literal
            fixed += _ids(fast, [shown])[0] if shown else []
            if name == "mask":
                fixed.append(int(fast.mask_token_id))
            elif name:
                out += [fixed, Slot(name, literal[-1:].isspace())]
                fixed = []
        pieces = [p for p in (*out, [*fixed, *closing]) if p]
        masks = sum(p.count(int(fast.mask_token_id)) for p in pieces if isinstance(p, list))
        if masks != 1:
            raise InputError(
                f"template '{self.template}': holds the mask token itself; write {{mask}} once"
            )
        return pieces

    def encode(
        self, fast: Any, rows: Rows, limit: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return token ids of the rows back to back, and each row's begin and end (n + 1,).

        Each row has the mask token exactly once: mask tokens inside a text are taken out of it. Of
        a row that is longer than `limit` the texts alone are cut at their ends, the longer one
        first; pattern, mask and special tokens stay whole.

        Raises:
            InputError: the pattern alone is longer than `limit`.
        """
        mask = int(fast.mask_token_id)
        pieces = self.pieces(fast)
        room = limit - sum(len(p) for p in pieces if isinstance(p, list))
        if room < 1:
            raise InputError(
                f"template '{self.template}': fills {limit - room} tokens without any text, "
                f"the longest input is {limit}"
            )
        texts: dict[str, Sequence[str]] = {"text": rows.text, "pair": rows.pair or ()}
        encoded = {
            p.field: [
                [t for t in ids if t != mask]
                for ids in _ids(fast, [p.prepared(text) for text in texts[p.field]])
            ]
            for p in pieces
            if isinstance(p, Slot)
        }
        lists = []
        for i in range(len(rows)):
            parts = {name: ids[i] for name, ids in encoded.items()}
            kept = dict(zip(parts, shortened([len(p) for p in parts.values()], room), strict=True))
            row: list[int] = []
            for p in pieces:
                row += parts[p.field][: kept[p.field]] if isinstance(p, Slot) else p
            lists.append(row)
        offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(x) for x in lists], out=offsets[1:])
        return np.fromiter((t for x in lists for t in x), np.int32, int(offsets[-1])), offsets


def shortened(lengths: Sequence[int], room: int) -> list[int]:
    """Cut one or two lengths until they fit into `room`, the longer one first.

    >>> shortened([9, 3], 8), shortened([9, 8], 8), shortened([20], 8), shortened([2, 3], 8)
    ([5, 3], [4, 4], [8], [2, 3])
    """
    left = list(lengths)
    over = sum(left) - room
    while over > 0:
        longest = max(range(len(left)), key=lambda i: left[i])
        others = [n for i, n in enumerate(left) if i != longest]
        step = max(1, min(over, left[longest] - max(others, default=0)))
        left[longest] -= step
        over -= step
    return left


def _ids(fast: Any, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    ids: list[list[int]] = fast(list(texts), add_special_tokens=False, return_attention_mask=False)[
        "input_ids"
    ]
    return ids


def _special(fast: Any) -> tuple[list[int], list[int]]:
    """Return the tokens that the tokeniser puts before and after a text."""
    bare = _ids(fast, ["a"])[0]
    whole = list(fast("a")["input_ids"])
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return [], []


def word_ids(
    fast: Any, words: Mapping[str, Sequence[str]], model: str
) -> tuple[tuple[int, ...], ...]:
    """Return the token id of each label word, by class in the mapping's order.

    A word is encoded after a space, as inside a sentence.

    Raises:
        InputError: no mask token, a class without a word, a word of several tokens, unknown to the
            vocabulary, or taken twice.
    """
    if fast.mask_token_id is None:
        raise InputError(f"model '{model}': its tokeniser has no mask token; prompting needs one")
    taken: dict[int, str] = {}
    out = []
    for name, several in words.items():
        if not several:
            raise InputError(f"class '{name}': has no label word, must have one")
        ids = []
        for word in several:
            tokens = _ids(fast, [" " + word.strip()])[0]
            where = f"label word '{word}' of class '{name}'"
            if len(tokens) != 1:
                parts = " ".join(fast.convert_ids_to_tokens(tokens)) or "nothing"
                raise InputError(
                    f"{where}: is {len(tokens)} tokens for model '{model}' ({parts}), must be one"
                )
            if tokens[0] == fast.unk_token_id or tokens[0] in fast.all_special_ids:
                raise InputError(f"{where}: is not in the vocabulary of model '{model}'")
            if tokens[0] in taken:
                raise InputError(f"{where}: stands for '{taken[tokens[0]]}' already")
            taken[tokens[0]] = name
            ids.append(tokens[0])
        out.append(tuple(ids))
    return tuple(out)
