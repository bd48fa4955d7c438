"""Predict and score operating points on a split; cache the logits in the Store."""

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
    """Return logits (n, C) of a point on rows, without caching; charged to `test`.

    They are what `Judge.score` would score.

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
    """Scores one trial's points: each once on a split, charged, its logits cached."""

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
        """Return the scores of a point on these rows of a split.

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
        """Return the scores of logits (n, C); store the logits with their labels.

        Or store, in place of the logits, what they are derived from: the name of an entry `exits`,
        and the knobs.
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
        """Return the share of a scored split's rows that exit at each exit.

        Empty without exits.
        """
        exits = self._exits.get(split)
        if exits is None:
            return []
        return exit_rules.shares(exit_rules.left_at(exits, knobs), exits.logits.shape[1])

    def kept(self, point: str, rows: Rows) -> Logits | None:
        """Return kept logits of a point on these validation rows, in their order.

        None if there are none.
        """
        entry = self._store.entry("logits", f"{point}-validation")
        if entry is None:
            return None
        try:
            logits, ids, _ = exit_rules.read_logits(entry)
        except (OSError, ValueError):  # the outputs it is derived from are gone: predicted again
            return None
        return np.asarray(logits, np.float32) if np.array_equal(ids, rows.ids) else None

    def _said(self, learner: Exiting, split: str, rows: Rows, phase: str) -> Exits:
        """Return every exit's outputs on a split: one pass for all points."""
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
