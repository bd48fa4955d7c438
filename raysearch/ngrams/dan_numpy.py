"""Predicts from this folder with numpy alone: word n-grams, the mean of their rows, two layers.

    python model.py < texts.txt          one text a line (a pair: two texts and a tab between)

prints one JSON object a line. In a program:

    from model import Model
    Model(".").probabilities(["a text"])       # (n, C) in the order of Model(".").labels

The table is memory-mapped: opening reads the vocabulary, and predicting the rows that a text hits.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

WORD = re.compile(r"(?u)\w+|[^\w\s]")
END = "\x00"  # stands between texts while several are split at once; no text may hold it
MOST = 2048  # n-grams of a text: those that start first
TEXTS, ENTRIES = 1024, 2**23  # split at once, and numbers of the table summed up at once
STEP = np.uint64(0x9E3779B97F4A7C15)


def split(texts: Any) -> list[str]:
    """Return the words of all texts, lower-cased, `END` after each text."""
    joined = f" {END} ".join([t.lower().replace(END, " ") for t in texts])
    return WORD.findall(f"{joined} {END}")


def bagged(levels: list[Any], ends: Any) -> tuple[Any, Any]:
    """Turn rows by length and starting place of each n-gram, -1 for none, into bags.

    Returns:
        Rows of all texts in the order in which they start (m,), and where each text begins (n + 1,)
    """
    grams = np.stack(levels, axis=1).ravel()
    here = np.flatnonzero(grams >= 0)
    ids = grams[here].astype(np.int32)
    owner = (np.cumsum(ends) - ends)[here // len(levels)]
    sizes = np.bincount(owner, minlength=int(ends.sum()))
    if sizes.max(initial=0) > MOST:
        starts = np.cumsum(sizes) - sizes
        ids = ids[np.arange(len(ids)) - starts[owner] < MOST]
        sizes = np.minimum(sizes, MOST)
    return ids, np.concatenate([[0], np.cumsum(sizes)])


def inside(ends: Any, n: int) -> Any:
    """Return whether the n words from each place on are of one text."""
    out = ~ends
    for k in range(1, n):
        whole = max(0, len(ends) - k)
        out[:whole] &= ~ends[k:]
        out[whole:] = False
    return out


class Reader:
    """The bags of a vocabulary: words by dictionary, longer n-grams by prefix and last word.

    Args:
        words: single words in the order of their rows.
        parent: row of each n-gram without its last word (V,); -1: a single word.
        last: row of its last word (V,).
        ngrams: longest n-gram.
    """

    def __init__(self, words: Any, parent: Any, last: Any, ngrams: int) -> None:
        self._ngrams, self._rows = ngrams, len(parent)
        single = np.flatnonzero(parent < 0)
        self._row = dict(zip(words, single.tolist(), strict=True))
        self._row[END] = -2
        longer = np.flatnonzero(parent >= 0)
        self._lookup = Lookup(parent[longer].astype(np.int64) * self._rows + last[longer], longer)

    def bags(self, texts: Any) -> tuple[Any, Any]:
        """Return the n-grams of some texts, all at once."""
        get = self._row.get
        words = np.array([get(w, -1) for w in split(texts)], np.int64)
        ends = words == -2
        levels = [np.where(ends, -1, words)]
        for n in range(2, self._ngrams + 1):
            before, found = levels[-1], np.full(len(words), -1, np.int64)
            start = np.flatnonzero((before[: len(words) - n + 1] >= 0) & (words[n - 1 :] >= 0))
            if len(start):
                found[start] = self._lookup(before[start] * self._rows + words[start + n - 1])
            levels.append(found)
        return bagged(levels, ends)


class Lookup:
    """Keys (m,) to values (m,), by buckets that numpy reads many at once.

    Keys are scrambled (a one-to-one map), sorted, and found from where their leading bits begin;
    a bucket has half a key on average.
    """

    def __init__(self, keys: Any, values: Any) -> None:
        mixed = scramble(keys.astype(np.uint64))
        order = np.argsort(mixed)
        bits = max(1, int(2 * len(keys)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._key, self._value = mixed[order], values[order]
        counts = np.bincount((self._key >> self._shift).astype(np.int64), minlength=2**bits)
        self._start = np.concatenate([[0], np.cumsum(counts)])
        self._deepest = int(counts.max(initial=0))

    def __call__(self, keys: Any) -> Any:
        """Return the value of each key (n,), -1 where there is none."""
        mixed = scramble(keys.astype(np.uint64))
        bucket = (mixed >> self._shift).astype(np.int64)
        place, end = self._start[bucket], self._start[bucket + 1]
        out = np.full(len(keys), -1, np.int64)
        left = np.flatnonzero(place < end)
        for _ in range(self._deepest):
            at = place[left]
            hit = self._key[at] == mixed[left]
            out[left[hit]] = self._value[at[hit]]
            place[left] += 1
            left = left[~hit]
            left = left[place[left] < end[left]]
            if not len(left):
                break
        return out


def scramble(x: Any) -> Any:
    """Map whole numbers one to one to evenly spread ones, by SplitMix64's finaliser."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Hasher:
    """Every n-gram's row by a hash that is the same in every process."""

    def __init__(self, rows: int, ngrams: int) -> None:
        self._rows, self._ngrams = np.uint64(rows), ngrams
        self._known: dict[str, int] = {}

    def hashes(self, texts: Any) -> tuple[list[Any], Any]:
        """Return 64 bits of each n-gram by length and place, and the marks of the texts' ends.

        Where an n-gram would reach over an end its hash means nothing: see `inside`.
        """
        words, known = split(texts), self._known
        for word in set(words).difference(known):
            known[word] = hash_word(word)
        single = np.array([known[w] for w in words], np.uint64)
        ends = np.array([w == END for w in words], np.bool_)
        levels = [scramble(single)]
        for n in range(2, self._ngrams + 1):
            longer, rest = levels[-1].copy(), len(words) - n + 1
            if rest > 0:
                longer[:rest] = scramble(longer[:rest] * STEP + single[n - 1 :])
            levels.append(longer)
        return levels, ends

    def bags(self, texts: Any) -> tuple[Any, Any]:
        """Return the n-grams of some texts, all at once."""
        levels, ends = self.hashes(texts)
        rows = [self.rows(h) for h in levels]
        return bagged([np.where(inside(ends, n), r, -1) for n, r in enumerate(rows, 1)], ends)

    def rows(self, hashes: Any) -> Any:
        """Return the row of each hash (m,)."""
        return (hashes % self._rows).astype(np.int64)


def hash_word(word: str) -> int:
    """Return 64 bits of BLAKE2b over the UTF-8 of a word."""
    data = word.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def means(table: Any, scale: Any, ids: Any, offsets: Any) -> Any:
    """Return the mean row of each bag (n, d); 0 for an empty one.

    Args:
        table: (V, d) of float32, float16 or int8.
        scale: (V,) of int8, else None.
        ids: rows of all bags (m,).
        offsets: where each begins, and the end (n + 1,).
    """
    sizes, width = np.diff(offsets), table.shape[1]
    out = np.zeros((len(sizes), width), np.float32)
    start, most = 0, max(MOST, ENTRIES // width)
    while start < len(sizes):
        stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + most, "right")) - 1)
        here = ids[offsets[start] : offsets[stop]]
        full = start + np.flatnonzero(sizes[start:stop])
        if len(full):
            rows = np.asarray(table[here], np.float32)
            if scale is not None:
                rows *= scale[here][:, None]
            sums = np.add.reduceat(rows, offsets[full] - offsets[start], axis=0)
            out[full] = sums / sizes[full][:, None].astype(np.float32)
        start = stop
    return out


def dense(tensors: Any, vectors: list[Any]) -> Any:
    """Return logits (n, C) of the texts' means and, of pairs, the second texts' (n, d) each."""
    made = [np.maximum(v @ tensors["hidden.weight"].T + tensors["hidden.bias"], 0) for v in vectors]
    if len(made) == 2:
        a, b = made
        made = [np.concatenate([a, b, a * b, np.abs(a - b)], axis=1)]
    return made[0] @ tensors["head.weight"].T + tensors["head.bias"]


class Model:
    """The model of a folder: raysearch.json and model.safetensors."""

    def __init__(self, folder: str | Path) -> None:
        facts = json.loads((Path(folder) / "raysearch.json").read_text(encoding="utf-8"))
        self.labels: list[str] = list(facts["labels"])
        self.regression: bool = facts["regression"]
        self.pair: bool = facts["pair"]
        rows, ngrams, classes = facts["buckets"], facts["ngrams"], len(self.labels)
        found = tensors(Path(folder) / "model.safetensors")
        self._dense = {k: np.array(v) for k, v in found.items() if k.startswith(("hid", "head"))}
        self._table, self._scale = found["table"], found.get("scale")
        width = self._table.shape[1]
        wide = width * (4 if self.pair else 1)
        shapes = {
            "table": (rows, width),
            "hidden.weight": (width, width),
            "hidden.bias": (width,),
            "head.weight": (1 if self.regression else classes, wide),
            "head.bias": (1 if self.regression else classes,),
            **({"scale": (rows,)} if self._table.dtype == np.int8 else {}),
            **({k: (rows,) for k in ("parent", "last")} if "words" in found else {}),
        }
        for name, shape in shapes.items():
            if found[name].shape != shape:
                raise ValueError(f"{name} is {found[name].shape}, raysearch.json says {shape}")
        self._reader: Reader | Hasher = Hasher(rows, ngrams)
        if "words" in found:
            parent, last = np.array(found["parent"]), np.array(found["last"])
            if ((parent >= np.arange(rows)) | (last < 0) | (last >= rows)).any():
                raise ValueError("the vocabulary is not whole")
            spelled = found["words"].tobytes().decode("utf-8", "surrogatepass")
            self._reader = Reader(spelled.split("\n") if spelled else [], parent, last, ngrams)

    def features(self, texts: list[str], pairs: list[str] | None = None) -> list[Any]:
        """Return bags of the texts and, of pairs, of the second texts."""
        return [self._bags(of) for of in ([texts] if pairs is None else [texts, pairs])]

    def _bags(self, texts: list[str]) -> tuple[Any, Any]:
        parts = [self._reader.bags(texts[i : i + TEXTS]) for i in range(0, len(texts), TEXTS)]
        sizes = [np.diff(offsets) for _, offsets in parts]
        ids = np.concatenate([np.empty(0, np.int32), *(i for i, _ in parts)])
        return ids, np.cumsum(np.concatenate([np.zeros(1, np.int64), *sizes]))

    def logits(self, features: list[Any]) -> Any:
        """Return logits (n, C) of what `features` made."""
        return dense(self._dense, [means(self._table, self._scale, *bags) for bags in features])

    def probabilities(self, texts: list[str], pairs: list[str] | None = None) -> Any:
        """Return probabilities (n, C) in the order of `labels`; a number itself (n, 1)."""
        z = self.logits(self.features(texts, pairs)).astype(np.float64)
        if self.regression:
            return z
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


KINDS = {"F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "I32": "<i4"}


def tensors(path: Path) -> dict[str, Any]:
    """Return the tensors of a safetensors file, memory-mapped."""
    with path.open("rb") as f:
        size = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(size)) if size < 1_000_000 else {}
    out: dict[str, Any] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        kind, shape = np.dtype(KINDS[entry["dtype"]]), tuple(entry["shape"])
        if end - start != kind.itemsize * int(np.prod(shape, dtype=int)):
            raise ValueError(f"{path.name}: tensor {name} is not whole")
        place = 8 + size + start
        out[name] = (
            np.memmap(path, kind, mode="r", offset=place, shape=shape)
            if end > start
            else np.empty(shape, kind)
        )
    return out


def main() -> None:
    """Read texts from standard input, write a JSON object a line."""
    model = Model(Path(__file__).resolve().parent)
    while lines := [x.rstrip("\n") for x in itertools.islice(sys.stdin, 64)]:
        pairs = [x.partition("\t") for x in lines] if model.pair else None
        texts = lines if pairs is None else [p[0] for p in pairs]
        for p in model.probabilities(texts, None if pairs is None else [p[2] for p in pairs]):
            out: dict[str, Any] = {"value": float(p[0])}
            if not model.regression:
                named = dict(zip(model.labels, map(float, p), strict=True))
                out = {"label": model.labels[int(p.argmax())], "probabilities": named}
            sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
