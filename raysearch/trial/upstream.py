"""A trial whose results are inputs of others: its bill and its outputs, read from the Store."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from raysearch.config.trial import TrialConfig, digest
from raysearch.data.rows import Logits, Rows
from raysearch.ledger import OWN, TRAINING, Charge, Ledger
from raysearch.storage.store import Store, facts

AMOUNTS = ("flops", "texts", "tokens")


class Run(Protocol):
    """A trial that can be trained again."""

    ledger: Ledger

    def step(self, seconds: float = 1.0) -> bool:
        """Train for about that many seconds [s]; return False when finished."""

    def train(self) -> bool:
        """Restore the trained state, or train again."""

    def answers(self, rows: Rows) -> Logits:
        """Return logits of the trained state on these rows, charged to `label`."""

    def close(self) -> None:
        """Release the model."""


class UpstreamTrial:
    """A trial that makes an input of another.

    A study runs such trials on their own, before those that take the input; only where the Store
    has lost one is it trained again here, inside the trial that takes it.
    """

    def __init__(self, config: TrialConfig, store: Store, open_run: Callable[[], Run]) -> None:
        self.config = config
        self._store = store
        self._open_run = open_run
        self._run: Run | None = None

    def logits(self, rows: Rows) -> Logits:
        """Return the trial's logits (n, classes) for these rows, in their order."""
        answers: Logits = np.load(self._answers(rows) / "logits.npy")
        return answers

    def labelling_cost(self, rows: Rows) -> Charge:
        """Return what labelling these rows has cost, whichever trial paid first.

        The charge carries the teacher's name.
        """
        amounts = facts(self._answers(rows))
        spent = {name: int(amounts[name]) for name in AMOUNTS}
        return Charge("label", self.config.id, seconds=float(amounts["seconds"]), **spent)

    def run_again(self) -> None:
        """Run the trial to its end, so that its results are in the Store."""
        run = self._opened()
        while run.step(60.0):
            pass

    def bill(self) -> list[Charge]:
        """Return what its training has cost, inherited charges included."""
        if self._store.entry("bills", self.config.id) is None:
            self.run_again()
        entry = self._store.entry("bills", self.config.id)
        assert entry is not None
        return [c for c in Ledger.from_json(facts(entry)["bill"]).bill() if c.phase in TRAINING]

    def _answers(self, rows: Rows) -> Path:
        ids = hashlib.sha256(np.ascontiguousarray(rows.ids, np.int64).tobytes()).hexdigest()
        key = digest({"teacher": self.config.id, "split": rows.split, "ids": ids})
        return self._store.build("answers", key, lambda folder: self._answer(folder, rows))

    def _answer(self, folder: Path, rows: Rows) -> dict[str, Any]:
        run = self._opened()
        run.train()
        start, before = time.perf_counter(), run.ledger.bill()
        np.save(folder / "logits.npy", run.answers(rows))
        spent = {
            name: _labelled(run.ledger.bill(), name) - _labelled(before, name) for name in AMOUNTS
        }
        return {"teacher": self.config.id, "seconds": time.perf_counter() - start, **spent}

    def _opened(self) -> Run:
        if self._run is None:
            self._run = self._open_run()
        return self._run

    def close(self) -> None:
        """Release the model."""
        if self._run is not None:
            self._run.close()
        self._run = None


def _labelled(bill: list[Charge], name: str) -> int:
    return sum(int(getattr(c, name)) for c in bill if c.phase == "label" and c.payer == OWN)
