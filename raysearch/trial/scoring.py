"""Predict and score operating points on a split; the logits are kept in the Store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.data.evaluate import scores
from raysearch.data.rows import Logits, Rows
from raysearch.ledger import Ledger
from raysearch.outputs.points import RawOutputs
from raysearch.outputs.stored import read_logits, write_logits, write_raw
from raysearch.storage.store import Store
from raysearch.training.protocol import HasRawOutputs, Learner


def predict_logits(learner: Learner, knobs: Mapping[str, Any], rows: Rows) -> Logits:
    """Return logits (n, C) of a point on rows, as `Scorer.score` scores them; nothing is kept.

    What is computed is charged to `test`.

    Raises:
        FloatingPointError: a prediction is not a finite number.
    """
    if isinstance(learner, HasRawOutputs):
        logits = learner.raw(rows, phase="test").derive(knobs)
    else:
        logits = learner.predict(rows, knobs, phase="test")
    if not np.isfinite(logits).all():
        raise FloatingPointError("a prediction is not a finite number")
    return logits


class Scorer:
    """Score each point of one trial on a split once, charge for it, and keep its logits."""

    def __init__(self, trial: str, splits: str, store: Store, ledger: Ledger) -> None:
        self._trial = trial
        self._splits = splits
        """Digest of the task's splits."""
        self._store = store
        self._ledger = ledger
        self._raw: dict[str, RawOutputs] = {}
        """By split: one pass for all points."""

    def score(
        self, learner: Learner, point: str, knobs: Mapping[str, Any], split: str, rows: Rows
    ) -> dict[str, float]:
        """Return the scores of a point on these rows of a split.

        Raises:
            FloatingPointError: a prediction is not a finite number.
        """
        phase = "validate" if split == "validation" else "test"
        with self._ledger.timed(phase):
            if isinstance(learner, HasRawOutputs):
                raw = self._raw_outputs(learner, split, rows, phase)
                logits = raw.derive(knobs)
                follows = {raw.kind: f"{self._trial}-{split}", "knobs": dict(knobs)}
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
        """Return the scores of logits (n, C), which are kept with the labels they stand for.

        Args:
            point: id of the point.
            split: name of the split.
            rows: its rows (n), with labels.
            logits: what the point predicts.
            follows: kept in their stead: the entry of raw outputs by its kind, and the knobs.
        """
        label = rows.label
        assert label is not None
        out = scores(logits, label)

        def fill(folder: Path) -> dict[str, Any]:
            if follows:
                return dict(follows)
            write_logits(folder, logits, rows.ids, label)
            return {"split": split, "splits": self._splits}

        self._store.build("logits", f"{point}-{split}", fill)
        return out

    def shares(self, knobs: Mapping[str, Any], split: str) -> list[float]:
        """Return the share of a scored split's rows that each stage of the model answers.

        Empty for a model without stages.
        """
        raw = self._raw.get(split)
        return [] if raw is None else raw.shares(knobs)

    def kept(self, point: str, rows: Rows) -> Logits | None:
        """Return kept logits of a point on these validation rows, in their order; None without."""
        entry = self._store.entry("logits", f"{point}-validation")
        if entry is None:
            return None
        try:
            logits, ids, _ = read_logits(entry)
        except (OSError, ValueError):  # what it follows from is gone: predicted again
            return None
        return np.asarray(logits, np.float32) if np.array_equal(ids, rows.ids) else None

    def _raw_outputs(
        self, learner: HasRawOutputs, split: str, rows: Rows, phase: str
    ) -> RawOutputs:
        """Return raw outputs on a split; they are computed and kept once."""
        if split not in self._raw:
            raw = learner.raw(rows, phase=phase)
            if not raw.finite():
                raise FloatingPointError("a prediction is not a finite number")
            label = rows.label
            assert label is not None

            def fill(folder: Path) -> dict[str, Any]:
                write_raw(folder, raw, rows.ids, label)
                return {"split": split, "splits": self._splits}

            self._store.build(raw.kind, f"{self._trial}-{split}", fill)
            self._raw[split] = raw
        return self._raw[split]
