"""What a trial's points say of a split, and how right they are; kept in the Store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.data.evaluate import scores
from raysearch.data.rows import Logits, Rows
from raysearch.ledger import Ledger
from raysearch.outputs import exit_rules
from raysearch.outputs.exit_rules import Exits
from raysearch.storage.store import Store
from raysearch.training.protocol import Exiting, Learner


def asked(learner: Learner, knobs: Mapping[str, Any], rows: Rows) -> Logits:
    """Logits (n, C) of a point on rows that nothing is kept of; charged to `test`.

    What `Judge.score` would have scored.

    Raises:
        FloatingPointError: a prediction is not a finite number.
    """
    if isinstance(learner, Exiting):
        logits = exit_rules.answers(learner.exits(rows, phase="test"), knobs)
    else:
        logits = learner.predict(rows, knobs, phase="test")
    if not np.isfinite(logits).all():
        raise FloatingPointError("a prediction is not a finite number")
    return logits


class Judge:
    """Of one trial: each point is scored on a split once, paid for, and its logits are kept."""

    def __init__(self, trial: str, splits: str, store: Store, ledger: Ledger) -> None:
        self._trial = trial
        self._splits = splits
        """Digest of the task's splits."""
        self._store = store
        self._ledger = ledger
        self._exits: dict[str, Exits] = {}

    def score(
        self, learner: Learner, point: str, knobs: Mapping[str, Any], split: str, rows: Rows
    ) -> dict[str, float]:
        """Scores of a point on these rows of a split.

        Raises:
            FloatingPointError: a prediction is not a finite number.
        """
        phase = "validate" if split == "validation" else "test"
        with self._ledger.timed(phase):
            if isinstance(learner, Exiting):
                logits = exit_rules.answers(self._said(learner, split, rows, phase), knobs)
                follows = {"exits": f"{self._trial}-{split}", "knobs": dict(knobs)}
            else:
                logits = learner.predict(rows, knobs, phase=phase)
                follows = {}
        return self.keep(point, split, rows, logits, follows)

    def keep(
        self,
        point: str,
        split: str,
        rows: Rows,
        logits: Logits,
        follows: Mapping[str, Any] | None = None,
    ) -> dict[str, float]:
        """Scores of logits (n, C); they are kept with the labels they stand for.

        Or, in their stead, what they follow from: the name of an entry `exits`, and the knobs.
        """
        label = rows.label
        assert label is not None
        out = scores(logits, label)

        def fill(folder: Path) -> dict[str, Any]:
            if follows:
                return dict(follows)
            exit_rules.write_logits(folder, logits, rows.ids, label)
            return {"split": split, "splits": self._splits}

        self._store.build("logits", f"{point}-{split}", fill)
        return out

    def exits_at(self, knobs: Mapping[str, Any], split: str) -> list[float]:
        """The share of a judged split's rows that leave at each exit; empty without exits."""
        exits = self._exits.get(split)
        if exits is None:
            return []
        return exit_rules.shares(exit_rules.left_at(exits, knobs), exits.logits.shape[1])

    def kept(self, point: str, rows: Rows) -> Logits | None:
        """Kept logits of a point on these validation rows, in their order; None without."""
        entry = self._store.entry("logits", f"{point}-validation")
        if entry is None:
            return None
        try:
            logits, ids, _ = exit_rules.read_logits(entry)
        except (OSError, ValueError):  # what it follows from is gone: predicted again
            return None
        return np.asarray(logits, np.float32) if np.array_equal(ids, rows.ids) else None

    def _said(self, learner: Exiting, split: str, rows: Rows, phase: str) -> Exits:
        """What every exit says about a split: one pass for all points."""
        if split not in self._exits:
            exits = learner.exits(rows, phase=phase)
            if not np.isfinite(exits.logits).all():
                raise FloatingPointError("a prediction is not a finite number")
            label = rows.label
            assert label is not None

            def fill(folder: Path) -> dict[str, Any]:
                exit_rules.write_exits(folder, exits, rows.ids, label)
                return {"split": split, "splits": self._splits}

            self._store.build("exits", f"{self._trial}-{split}", fill)
            self._exits[split] = exits
        return self._exits[split]
