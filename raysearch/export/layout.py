"""Lays texts out in the pattern of this folder as token ids, with the `tokenizers` package alone.

    from layout import Layout
    batch = Layout(".")(["a text"])       # padded lists: input_ids and attention_mask

Each row holds the mask token exactly once: mask tokens inside a text are taken out of it. Of a
row that is too long the texts alone are cut at their ends, the longer one first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

FILE = "prompt.json"


class Layout:
    """The pattern of a folder: prompt.json and tokenizer.json."""

    def __init__(self, folder: str | Path) -> None:
        facts = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
        self.mask: int = _token(facts["mask_id"])
        self.pad: int = _token(facts["pad_id"])
        self.pieces: list[Any] = list(facts["pieces"])
        fixed = [_token(t) for p in self.pieces if isinstance(p, list) for t in p]
        fields = [p["field"] for p in self.pieces if not isinstance(p, list)]
        self.pair: bool = "pair" in fields
        self.room: int = int(facts["max_length"]) - len(fixed)
        self.words: list[list[int]] = [[_token(t) for t in w] for w in facts["word_ids"]]
        if fixed.count(self.mask) != 1 or sorted(fields) != ["pair", "text"][not self.pair :]:
            raise ValueError("its pieces must hold the mask and each text once")
        if self.room < 1 or not all(self.words):
            raise ValueError("no room for a text, or a class without a word")
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def rows(self, texts: list[str], pairs: list[str] | None = None) -> list[list[int]]:
        """Token ids of each row, not padded."""
        given = {"text": texts, "pair": pairs or []}
        found = {p["field"]: self._ids(given[p["field"]], p) for p in self.pieces if _open(p)}
        out = []
        for i in range(len(texts)):
            parts = {name: ids[i] for name, ids in found.items()}
            kept = dict(zip(parts, cut([len(p) for p in parts.values()], self.room), strict=True))
            row: list[int] = []
            for p in self.pieces:
                row += parts[p["field"]][: kept[p["field"]]] if _open(p) else p
            out.append(row)
        return out

    def __call__(
        self, texts: list[str], pairs: list[str] | None = None
    ) -> dict[str, list[list[int]]]:
        """Token ids and which of them are real, padded to the longest row."""
        rows = self.rows(texts, pairs)
        width = max(map(len, rows), default=0)
        return {
            "input_ids": [r + [self.pad] * (width - len(r)) for r in rows],
            "attention_mask": [[1] * len(r) + [0] * (width - len(r)) for r in rows],
        }

    def _ids(self, texts: list[str], piece: dict[str, Any]) -> list[list[int]]:
        """A text after a space is encoded with it: byte-level vocabularies tell the two apart."""
        bare = [t.strip() for t in texts]
        spaced = [f" {t}" if piece["space"] and t else t for t in bare]
        found = self.tokenizer.encode_batch(spaced, add_special_tokens=False)
        return [[t for t in e.ids if t != self.mask] for e in found]


def cut(lengths: list[int], room: int) -> list[int]:
    """One or two lengths cut until they fit into `room`, the longer one first.

    >>> cut([9, 3], 8), cut([9, 8], 8), cut([20], 8), cut([2, 3], 8)
    ([5, 3], [4, 4], [8], [2, 3])
    """
    if sum(lengths) <= room or len(lengths) < 2:
        return [min(n, room) for n in lengths]
    first, second = lengths
    short = min(first, second)
    if room - short >= short:
        return [room - short, second] if first > second else [first, room - short]
    return [room // 2, room - room // 2]


def _open(piece: Any) -> bool:
    return not isinstance(piece, list)


def _token(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no token id")
    return value
