"""The trained state of a trial, opened again: predictions, scores, and the graph to export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raysearch.config.trial import TrialConfig
from raysearch.data.rows import Logits, Rows
from raysearch.data.task_data import TaskData
from raysearch.encoders.tokens import Tokeniser
from raysearch.errors import InputError
from raysearch.record import OperatingPoint, score_event
from raysearch.training.graph import Graph
from raysearch.trial.context import ExecutionContext
from raysearch.trial.run import TrialRun
from raysearch.trial.scoring import predict_logits


class TrainedModel:
    """A trial whose weights are restored, or trained again by its id where they were not kept."""

    def __init__(self, run: TrialRun) -> None:
        self.run = run

    @property
    def config(self) -> TrialConfig:
        """Return the trial's configuration."""
        return self.run.config

    @property
    def place(self) -> ExecutionContext:
        """Return where the trial runs."""
        return self.run.place

    @property
    def data(self) -> TaskData:
        """Return the task's data, as this trial sees them."""
        return self.run.setup.data

    @property
    def validation(self) -> Rows:
        """Return the trial's own validation rows."""
        return self.run.setup.validation

    @property
    def unlabelled(self) -> Rows:
        """Return the texts that the trial learns from without their labels."""
        return self.run.setup.unlabelled

    @property
    def folder(self) -> Path | None:
        """Return the checkpoint of the trial's rung; None for n-grams."""
        return self.run.setup.folder

    def train(self) -> bool:
        """Restore the trained state, or train again.

        Return True if the weights were kept, False if the trial was trained again by its id.
        """
        return self.run.train()

    def restore_weights(self) -> bool:
        """Restore the trial's kept weights; return False if they were not kept."""
        return self.run.restore_weights()

    def predict(self, point: OperatingPoint, rows: Rows) -> Logits:
        """Return logits (n, classes) of a point on rows of any task; nothing is kept.

        Raises:
            FloatingPointError: a prediction is not a finite number.
        """
        assert self.run.learner is not None and not point.knobs.get("int8")
        return predict_logits(self.run.learner, point.knobs, rows)

    def score(self, point: OperatingPoint, split: str) -> dict[str, Any]:
        """Return a `score` event of a finished trial's point on a whole split of the task."""
        if point.knobs.get("int8"):
            raise InputError(f"point {point.point_id}: int8 is scored by `raysearch export --int8`")
        rows = self.run.setup.data.splits[split]
        assert self.run.learner is not None
        judged = self.run.scorer.score(self.run.learner, point.point_id, point.knobs, split, rows)
        return score_event(self.run.config.id, point.point_id, split, len(rows), judged)

    def score_elsewhere(
        self, point: OperatingPoint, predict: Callable[[Rows], Logits]
    ) -> list[dict[str, Any]]:
        """Return `score` events of a further point that another runtime computes (int8).

        On the trial's own validation rows and on test; each event carries the point whole.
        """
        out: list[dict[str, Any]] = []
        rows_of = {
            "validation": self.run.setup.validation,
            "test": self.run.setup.data.splits["test"],
        }
        for split, rows in rows_of.items():
            if not len(rows):
                continue
            judged = self.run.scorer.keep(point.point_id, split, rows, predict(rows))
            event = score_event(self.run.config.id, point.point_id, split, len(rows), judged)
            out.append({**event, "point": point.to_json()})
        return out

    def graph(self, point: OperatingPoint) -> Graph:
        """Return what a point computes, in float32.

        The trial is restored or trained first where it is not. The knob int8 is left out: it is
        the export's, not the learner's.
        """
        if self.run.learner is None or not self.run.done:
            self.run.train()
        assert self.run.learner is not None
        return self.run.learner.graph({k: v for k, v in point.knobs.items() if k != "int8"})

    def tokeniser(self) -> Tokeniser | None:
        """Return the rung's tokeniser, cut at the task's longest input; None for n-grams."""
        return None if self.folder is None else self.run.setup.tokeniser()

    def kept_logits(self, point: str) -> Logits | None:
        """Return logits of a point on `validation`, in its order; None where they were not kept."""
        return self.run.scorer.kept(point, self.run.setup.validation)

    def close(self) -> None:
        """Release the model."""
        self.run.close()


def open_trained(config: TrialConfig, place: ExecutionContext) -> TrainedModel:
    """Return a trial's model, not yet restored.

    Raises:
        InputError: data or weights have changed since the trial was planned.
    """
    return TrainedModel(TrialRun(config, place))


def score_points(
    config: TrialConfig, place: ExecutionContext, points: Sequence[OperatingPoint], split: str
) -> list[dict[str, Any]]:
    """Return `score` events of points of one trial: from kept weights, or by training it again."""
    model = open_trained(config, place)
    try:
        model.train()
        return [model.score(point, split) for point in points]
    finally:
        model.close()
