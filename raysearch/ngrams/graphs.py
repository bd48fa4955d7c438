"""What a trained model over n-grams computes, apart from how it was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from raysearch.data.rows import Logits, Rows
from raysearch.ngrams import dan_numpy, hashed
from raysearch.ngrams.bags import FrequentVocabulary, HashedVocabulary, NgramIds
from raysearch.ngrams.tables import Table

if TYPE_CHECKING:
    from raysearch.encoders.tokens import Tokeniser


@dataclass(frozen=True, slots=True, eq=False)
class NgramGraph:
    """Hashed word n-grams and a linear model."""

    kind: ClassVar[str] = "ngram"
    ngrams: int
    """Longest n-gram; all shorter ones are taken too."""
    buckets: int
    """d."""
    weighting: str
    """`tf` or `tfidf`; rows have length 1 either way."""
    idf: NDArray[np.float32] | None
    """(d,) with tfidf, else None."""
    weight: NDArray[np.float32]
    """(d, C)."""
    bias: NDArray[np.float32]
    """(C,)."""

    @property
    def classes(self) -> int:
        """Return the width of the logits."""
        return len(self.bias)

    def logits(self, rows: Rows, tokeniser: Tokeniser | None = None) -> Logits:
        """Return logits (n, C) of rows; the tokeniser is not used."""
        return self.text_logits(hashed.joined(rows))

    def summary(self) -> Mapping[str, Any]:
        """Return the fields of an exported folder's manifest that describe the computation."""
        return {"ngrams": self.ngrams, "buckets": self.buckets, "weighting": self.weighting}

    def with_knobs(self, knobs: Mapping[str, Any]) -> None:
        """Return None: no other point shares these weights."""

    def text_logits(self, texts: list[str]) -> Logits:
        """Return logits (n, C) of texts, pairs joined."""
        counts = hashed.hashing(self.buckets, self.ngrams, self.weighting).transform(texts)
        x = hashed.weighted(counts, self.idf)
        return np.asarray(x @ self.weight + self.bias, dtype=np.float32)

    def with_temperature(self, temperature: float) -> NgramGraph:
        """Return the graph with its logits divided by a temperature.

        The temperature is folded into the linear model.
        """
        cold = np.float32(temperature)
        return replace(self, weight=self.weight / cold, bias=self.bias / cold)


@dataclass(frozen=True, slots=True, eq=False)
class BagGraph:
    """A deep averaging network over n-grams; numpy arrays, float32 but for the table."""

    kind: ClassVar[str] = "bag"
    vocabulary: FrequentVocabulary | HashedVocabulary
    table: Table
    """(V, d)."""
    dense: Mapping[str, NDArray[np.float32]]
    """hidden.weight (d, d), hidden.bias, head.weight (C, d) or of pairs (C, 4d), head.bias (C,)."""
    pair: bool

    @property
    def classes(self) -> int:
        """Return the width of the logits."""
        return len(self.dense["head.bias"])

    def logits(self, rows: Rows, tokeniser: Tokeniser | None = None) -> Logits:
        """Return logits (n, C) of rows; the tokeniser is not used."""
        bags = [self.vocabulary.bags(rows.text)]
        if self.pair:
            bags.append(self.vocabulary.bags(rows.pair or [""] * len(rows)))
        return self.answer(bags)

    def summary(self) -> Mapping[str, Any]:
        """Return the fields of an exported folder's manifest that describe the computation."""
        return {"ngrams": self.vocabulary.ngrams, "buckets": self.vocabulary.rows}

    def with_knobs(self, knobs: Mapping[str, Any]) -> None:
        """Return None: the trained state cuts and rounds each table."""

    def answer(self, bags: Sequence[NgramIds]) -> Logits:
        """Return logits (n, C) of the texts' bags and, of pairs, of the second texts'."""
        vectors = [
            dan_numpy.means(self.table.values, self.table.scale, b.ids, b.offsets) for b in bags
        ]
        return np.asarray(dan_numpy.dense(self.dense, vectors), np.float32)

    def with_temperature(self, temperature: float) -> BagGraph:
        """Return the graph with its logits divided by a temperature, folded into the head."""
        cold = {k: v / np.float32(temperature) for k, v in self.dense.items() if k[:4] == "head"}
        return replace(self, dense={**self.dense, **cold})
