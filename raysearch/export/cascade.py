"""Two exported folders in a row: a cheap model answers where it is sure, a larger one elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.errors import InputError
from raysearch.export.predictor import Predictor, probabilities
from raysearch.outputs.exit_rules import always_first, reached, threshold_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """Texts as the first model reads them; the second tokenises only those that reach it."""

    first: Any
    texts: list[str]
    pairs: list[str] | None


class Cascade(Predictor):
    """The first answers where its largest probability reaches the threshold, else the second.

    Args:
        first: the cheap model, as `names[0]`.
        second: the larger one, as `names[1]`.
        threshold: from 0 to 1, or `never`; at most 1 / C: the first answers all.
        names: what a person calls the two.

    Raises:
        InputError: they do not answer the same question, or with numbers; no such threshold.
    """

    def __init__(
        self, first: Predictor, second: Predictor, threshold: str | float, names: tuple[str, str]
    ) -> None:
        _same_question(first, second, names)
        super().__init__(first.manifest, first.bytes + second.bytes)
        goal = reached(threshold_of(threshold))
        # rounding must not keep a tie of all classes from the first
        self._goal = 0.0 if always_first(goal, "confidence", len(first.labels)) else goal
        self._first, self._second, self._names = first, second, names
        self._answered = [0, 0]

    def prepare(self, texts: list[str], pairs: list[str] | None = None) -> Prepared:
        """Return texts as the first model reads them."""
        return Prepared(self._first.prepare(texts, pairs), texts, pairs)

    def infer(self, prepared: Prepared) -> NDArray[np.float32]:
        """Return logits (n, C) of whichever model answers."""
        out = np.array(self._first.infer(prepared.first), np.float32)
        sure = probabilities(out, regression=False).max(axis=1) >= self._goal
        on = np.flatnonzero(~sure)
        self._answered[0] += len(out) - len(on)
        self._answered[1] += len(on)
        if len(on):
            texts = [prepared.texts[i] for i in on]
            pairs = None if prepared.pairs is None else [prepared.pairs[i] for i in on]
            out[on] = self._second.infer(self._second.prepare(texts, pairs))
        return out

    def summary(self) -> str:
        """Return how many texts each has answered."""
        parts = zip(self._answered, self._names, strict=True)
        return ", ".join(f"{n:,} answered by {name}" for n, name in parts)


def _same_question(first: Predictor, second: Predictor, names: tuple[str, str]) -> None:
    one, two = names
    for name, predictor in ((one, first), (two, second)):
        if predictor.manifest.regression:
            raise InputError(f"{name}: answers with a number; a cascade asks for probabilities")
    if first.manifest.pair != second.manifest.pair:
        reads = ("one text", "pairs of texts")
        a, b = (reads[p.manifest.pair] for p in (first, second))
        raise InputError(f"{two}: reads {b}, {one} reads {a}")
    must = "; they must be the same in the same order"
    if len(first.labels) != len(second.labels):
        both = f"has {len(second.labels)} labels, {one} has {len(first.labels)}"
        raise InputError(f"{two}: {both}{must}")
    for i, (a, b) in enumerate(zip(first.labels, second.labels, strict=True), 1):
        if a != b:
            raise InputError(f"{two}: label {i} is '{b}', in {one} it is '{a}'{must}")
