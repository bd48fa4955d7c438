"""A toy stage: texts made by shuffling the words of the training texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.data.rows import Rows
from raysearch.data.texts import write_texts
from raysearch.training.protocol import Context, Method, Shape


@dataclass(frozen=True, slots=True)
class Knobs:
    texts: int = 40


class Writer:
    """Shuffle one text a step."""

    def __init__(self, ctx: Context, knobs: Knobs) -> None:
        self._ctx, self._knobs = ctx, knobs
        self._texts: list[str] = []

    def step(self) -> bool:
        rows = self._ctx.train.text
        words = rows[len(self._texts) % len(rows)].split()
        self._ctx.rng.shuffle(words)
        self._texts.append(" ".join(words))
        self._ctx.ledger.charge("generate", flops=100, texts=1, tokens=len(words))
        return len(self._texts) < self._knobs.texts

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        return []

    def write(self, folder: Path) -> Mapping[str, Any]:
        return {"texts": write_texts(folder, self._texts), "selection": -float(self._knobs.texts)}

    def state(self) -> dict[str, Any]:
        return {"texts": self._texts}

    def restore(self, state: dict[str, Any]) -> None:
        self._texts = list(state["texts"])


def price(knobs: Knobs, shape: Shape) -> Mapping[str, float]:
    return {"generate": 100.0 * knobs.texts}


STAGE = Method(
    name="toy_writer",
    tldr="shuffles words",
    source="this test",
    families=("ngram",),
    knobs=Knobs,
    learner=Writer,
    horizon=lambda knobs, rows: 0,
    price=price,
    gives="texts",
)
