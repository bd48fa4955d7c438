"""The ledger: append-only charges, by phase and payer, made where the cost arises."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

PHASES = (
    "adapt",
    "generate",
    "teacher",
    "label",
    "train",
    "calibrate",
    "validate",
    "test",
    "measure",
)
"""Every phase a charge may name, in the order a trial goes through them."""

TRAINING = ("adapt", "generate", "teacher", "label", "train", "calibrate", "validate")
"""The phases that `train_flops` counts: in-trial validation is in, test and measuring are not."""

ANSWERS = ("teacher", "label")
"""What a teacher answers for its students: labelled rows, and texts without a label."""

OWN = "own"
"""The payer of what a trial does itself; an inherited bill keeps its teacher's id."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one phase of one payer has cost so far."""

    phase: str
    payer: str
    flops: int = 0
    """Executed floating-point operations, multiply + add = 2 [FLOP]."""
    seconds: float = 0.0
    """Wall-clock time inside the phase [s]."""
    texts: int = 0
    """Texts pushed through a model or a featuriser."""
    tokens: int = 0
    """Executed tokens, padding included."""
    labels: int = 0
    """Labelled examples bought."""


class Ledger:
    """Charges add up per (phase, payer); nothing is ever taken back.

    >>> book = Ledger()
    >>> book.charge("train", flops=6, texts=1)
    >>> book.charge("train", flops=4)
    >>> book.flops("train")
    10
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], dict[str, float]] = {}

    def charge(
        self,
        phase: str,
        *,
        payer: str = OWN,
        flops: int = 0,
        seconds: float = 0.0,
        texts: int = 0,
        tokens: int = 0,
        labels: int = 0,
    ) -> None:
        """Add one charge; raise ValueError for an unknown phase or a negative amount."""
        if phase not in PHASES:
            raise ValueError(f"ledger: no phase '{phase}'. Known: {', '.join(PHASES)}")
        amounts = {
            "flops": flops,
            "seconds": seconds,
            "texts": texts,
            "tokens": tokens,
            "labels": labels,
        }
        if min(amounts.values()) < 0:
            raise ValueError(f"ledger: a charge cannot be negative: {phase} {amounts}")
        total = self._sums.setdefault((phase, payer), dict.fromkeys(amounts, 0))
        for name, amount in amounts.items():
            total[name] += amount

    @contextmanager
    def timed(self, phase: str, payer: str = OWN) -> Iterator[None]:
        """Charge the seconds the block takes to `phase`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.charge(phase, payer=payer, seconds=time.perf_counter() - start)

    def inherit(self, other: Iterator[Charge] | list[Charge], payer: str) -> None:
        """Add another trial's bill under that trial's name."""
        for c in other:
            self.charge(
                c.phase,
                payer=payer if c.payer == OWN else c.payer,
                flops=c.flops,
                seconds=c.seconds,
                texts=c.texts,
                tokens=c.tokens,
                labels=c.labels,
            )

    def flops(self, *phases: str, payer: str | None = None) -> int:
        """Sum the FLOPs charged to these phases (all when none is named)."""
        return int(
            sum(
                sums["flops"]
                for (phase, who), sums in self._sums.items()
                if (not phases or phase in phases) and (payer is None or who == payer)
            )
        )

    def bill(self) -> list[Charge]:
        """Return all charges so far, one per (phase, payer), in the order of PHASES."""
        order = sorted(self._sums, key=lambda key: (PHASES.index(key[0]), key[1]))
        return [
            Charge(
                phase,
                payer,
                int(s["flops"]),
                float(s["seconds"]),
                int(s["texts"]),
                int(s["tokens"]),
                int(s["labels"]),
            )
            for (phase, payer) in order
            for s in [self._sums[phase, payer]]
        ]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the bill as plain JSON, zero amounts left out."""
        return [
            {k: v for k, v in asdict(c).items() if k in ("phase", "payer") or v}
            for c in self.bill()
        ]

    def restore(self, rows: list[Mapping[str, Any]]) -> None:
        """Restore a saved bill, in place of what was charged since this ledger was made."""
        self._sums = Ledger.from_json(rows)._sums

    @classmethod
    def from_json(cls, rows: list[Mapping[str, Any]]) -> Ledger:
        """Rebuild the ledger from `to_json`."""
        book = cls()
        for row in rows:
            book.charge(**row)
        return book
