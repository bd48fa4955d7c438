"""A toy stage: texts made by shuffling the words of the training texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.data.rows import Rows
from raysearch.data.texts import write_texts
from raysearch.storage.store import State
from raysearch.training.protocol import Context, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    """What can be chosen about the texts."""

    texts: int = 40
    """Texts that are made."""


class Writer:
    """Shuffle one text a step."""

    def __init__(self, ctx: Context, knobs: Knobs) -> None:
        self._ctx, self._knobs = ctx, knobs
        self._texts: list[str] = []

    def step(self) -> bool:
        """Make one text; return False after the last."""
        rows = self._ctx.train.text
        words = rows[len(self._texts) % len(rows)].split()
        self._ctx.rng.shuffle(words)
        self._texts.append(" ".join(words))
        self._ctx.ledger.charge("generate", flops=100, texts=1, tokens=len(words))
        return len(self._texts) < self._knobs.texts

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        """Return none: a stage cannot be run on a text."""
        return []

    def write(self, folder: Path) -> Mapping[str, Any]:
        """Write the texts; fewer are preferred."""
        return {"texts": write_texts(folder, self._texts), "selection": -float(self._knobs.texts)}

    def state(self) -> State:
        """Return the texts so far, and where the generator stands."""
        return {"texts": self._texts, "rng": self._ctx.rng.bit_generator.state}

    def restore(self, state: State) -> None:
        """Restore `state()`."""
        self._texts = list(state["texts"])
        self._ctx.rng.bit_generator.state = state["rng"]


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    """Return predicted FLOPs by phase."""
    return {"generate": 100.0 * knobs.texts}


STAGE = Method(
    name="toy_writer",
    tldr="shuffles words",
    source="an example",
    families=("ngram",),
    knobs=Knobs,
    learner=Writer,
    horizon=lambda knobs, rows: 0,
    price=price,
    gives="texts",
)
