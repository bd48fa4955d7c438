"""Predicts from this folder with numpy alone: hashed word n-grams and a linear model.

    python model.py < texts.txt          one text a line (a pair: two texts and a tab between)

prints one JSON object a line. In a program:

    from model import Model
    Model(".").probabilities(["a text"])       # (n, C) in the order of Model(".").labels
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

WORD = re.compile(r"(?u)\w+|[^\w\s]")
PAIR = " __pair__ "
ROWS = 256  # texts computed at once: bounds the memory of many classes


class Model:
    """The model of a folder: raysearch.json and model.safetensors."""

    def __init__(self, folder: str | Path) -> None:
        facts = json.loads((Path(folder) / "raysearch.json").read_text(encoding="utf-8"))
        self.labels: list[str] = list(facts["labels"])
        self.regression: bool = facts["regression"]
        self.pair: bool = facts["pair"]
        self.ngrams: int = facts["ngrams"]
        self.buckets: int = facts["buckets"]
        found = tensors(Path(folder) / "model.safetensors")
        self.weight, self.bias = found["weight"], np.array(found["bias"])
        self.idf = found.get("idf")
        shape = (self.buckets, 1 if self.regression else len(self.labels))
        idf = shape[:1] if self.idf is None else self.idf.shape
        if (self.weight.shape, self.bias.shape, idf) != (shape, shape[1:], shape[:1]):
            raise ValueError(f"weights {self.weight.shape} do not fit raysearch.json {shape}")

    def features(self, texts: list[str], pairs: list[str] | None = None) -> Any:
        """Texts to (first entry of each text (n + 1,), buckets (m,), values (m,))."""
        if pairs is not None:
            texts = [a + PAIR + b for a, b in zip(texts, pairs, strict=True)]
        grams: list[str] = []
        ends = [0]
        for text in texts:
            words = WORD.findall(text.lower())
            grams += words
            for n in range(2, self.ngrams + 1):
                grams += map(" ".join, zip(*(words[i:] for i in range(n)), strict=False))
            ends.append(len(grams))
        row = np.repeat(np.arange(len(texts)), np.diff(ends))
        place = row * self.buckets + bucket(grams, self.buckets)
        place, count = np.unique(place, return_counts=True)
        row, place = np.divmod(place, self.buckets)
        value = count.astype(np.float32)
        if self.idf is not None:
            value *= self.idf[place]
        squares = np.bincount(row, value.astype(np.float64) ** 2, len(texts))
        value /= np.sqrt(np.maximum(squares, 1e-24)).astype(np.float32)[row]
        return np.searchsorted(row, np.arange(len(texts) + 1)), place, value

    def logits(self, features: Any) -> Any:
        """What `features` made to logits (n, C)."""
        starts, place, value = features
        out = np.tile(self.bias, (len(starts) - 1, 1))
        for i in range(0, len(out), ROWS):
            ends = starts[i : i + ROWS + 1]
            block = slice(ends[0], ends[-1])
            terms = self.weight[place[block]] * value[block, None]
            full = np.flatnonzero(np.diff(ends))
            if len(full):
                out[i + full] += np.add.reduceat(terms, ends[full] - ends[0], axis=0)
        return out

    def probabilities(self, texts: list[str], pairs: list[str] | None = None) -> Any:
        """Probabilities (n, C) in the order of `labels`; a number itself (n, 1)."""
        z = self.logits(self.features(texts, pairs)).astype(np.float64)
        if self.regression:
            return z
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


def bucket(grams: list[str], buckets: int) -> Any:
    """Buckets (m,) of n-grams: |MurmurHash3 of the UTF-8, as a signed number| modulo `buckets`.

    The same as scikit-learn's HashingVectorizer with alternate_sign=False.
    """
    known: dict[str, int] = {}
    place = np.array([known.setdefault(g, len(known)) for g in grams], np.int64)
    h = murmur3([g.encode("utf-8", "replace") for g in known]).view(np.int32).astype(np.int64)
    h = np.where(h == -(2**31), 2**31 - buckets, np.abs(h)) % buckets
    return h[place]


def murmur3(keys: list[bytes]) -> Any:
    """MurmurHash3_x86_32 with seed 0 of each key (n,): the reference code, many keys at once."""
    out = np.zeros(len(keys), np.uint32)
    length = np.array([len(k) for k in keys], np.uint32)
    blocks = length // 4
    for n in np.unique(blocks):
        which = np.flatnonzero(blocks == n)
        width = 4 * (int(n) + 1)  # the last block is the tail, filled up with zeros
        raw = b"".join(keys[i].ljust(width, b"\0") for i in which)
        block = np.frombuffer(raw, "<u4").reshape(len(which), -1).astype(np.uint32)
        h = np.zeros(len(which), np.uint32)
        for i in range(int(n) + 1):
            k = _turn(block[:, i] * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
            h ^= k
            if i < n:
                h = _turn(h, 13) * np.uint32(5) + np.uint32(0xE6546B64)
        h ^= length[which]
        h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        out[which] = h ^ (h >> np.uint32(16))
    return out


def _turn(x: Any, bits: int) -> Any:
    return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


def tensors(path: Path) -> dict[str, Any]:
    """The float32 tensors of a safetensors file, memory-mapped."""
    with path.open("rb") as f:
        size = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(size)) if size < 1_000_000 else {}
    out: dict[str, Any] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        if entry["dtype"] != "F32" or end - start != 4 * int(np.prod(entry["shape"], dtype=int)):
            raise ValueError(f"{path.name}: tensor {name} is not whole float32")
        shape = tuple(entry["shape"])
        out[name] = np.memmap(path, "<f4", mode="r", offset=8 + size + start, shape=shape)
    return out


def main() -> None:
    """Read texts from standard input, write a JSON object a line."""
    model = Model(Path(__file__).resolve().parent)
    for line in sys.stdin:
        text, second = line.rstrip("\n"), None
        if model.pair:
            text, _, second = text.partition("\t")
        (p,) = model.probabilities([text], None if second is None else [second])
        out: dict[str, Any] = {"value": float(p[0])}
        if not model.regression:
            named = dict(zip(model.labels, map(float, p), strict=True))
            out = {"label": model.labels[int(p.argmax())], "probabilities": named}
        sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
