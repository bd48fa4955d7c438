"""Open trained points of runs from their Stores and score them on other runs' test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.errors import InputError, RaysearchError
from raysearch.run.folder import RunFolder
from raysearch.workflow.export import open_trial
from raysearch.workflow.listeners import Notify

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.analysis.bootstrap import Judged
    from raysearch.data.rows import Rows
    from raysearch.data.task_data import TaskData
    from raysearch.record import OperatingPoint, TrialRecord
    from raysearch.trial.trained import TrainedModel


@dataclass(frozen=True, slots=True)
class TrainedPoint:
    """One chosen point of a run, and the trained models that stand for it."""

    run: Run
    data: TaskData
    method: str
    """Its name in the matrix."""
    point_id: str
    words: str
    models: tuple[tuple[int, TrialRecord, OperatingPoint], ...]
    """(draw, trial, its point): fresh draws, or the search's own trial alone. Of a crossing the
    search's own trial is one of the draws."""
    own: bool
    """Whether it is the search's own trial alone."""
    confirmed: int
    """Draws there are beside it."""


def models_of(run: Run, data: TaskData, method: str, point_id: str, *, train: bool) -> TrainedPoint:
    """Find the models of a point: of its fresh draws those with weights, else the search's trial.

    Args:
        run: where the point was searched.
        data: its task's.
        method: the point's name in the matrix.
        point_id: the search's point.
        train: count what has no weights too: it will be trained again.

    Raises:
        InputError: an int8 twin, or nothing has weights.
    """
    from raysearch.analysis.confirmation import fresh_draws
    from raysearch.analysis.point_lookup import find, name_of
    from raysearch.analysis.replicates import matching_point
    from raysearch.storage.store import Store

    record, point = find(run, point_id)
    words = name_of(record, point)
    if point.knobs.get("int8"):
        raise InputError(f"{run.folder}: point {point_id} is an int8 twin; name its float point")
    store = Store(RunFolder(run.folder).store)
    fresh = fresh_draws(run).get(point_id, (record, point, {}))[2]
    kept = {
        draw: (draw, r, like)
        for draw, r in sorted(fresh.items())
        if (train or store.entry("weights", r.id))
        and (like := matching_point(r, point)) is not None
    }
    confirmed = sum(r.id != record.id for r in fresh.values())
    if any(r.id != record.id for _, r, _ in kept.values()):
        return TrainedPoint(
            run, data, method, point_id, words, tuple(kept.values()), False, confirmed
        )
    if not train and store.entry("weights", record.id) is None:
        raise InputError(
            f"{run.folder}: the weights of trial {record.id} ({words}) were not kept; "
            "--train trains it again"
        )
    return TrainedPoint(run, data, method, point_id, words, ((0, record, point),), True, confirmed)


def predict_tests(
    source: TrainedPoint,
    targets: Mapping[str, TaskData],
    *,
    data_dir: Path | None,
    models_dir: Path | None,
    notify: Notify,
) -> tuple[dict[str, list[Judged]], dict[str, int]]:
    """Score a point's models on the test rows of every task.

    Args:
        source: the point with its models.
        targets: the tasks' data by name, the source's own among them.
        data_dir: where data sets lie; None: where the run found them.
        models_dir: likewise of checkpoints.
        notify: takes a line for each trial that is trained again.

    Returns:
        By task the draws as the bootstrap takes them, all on the same rows (at home folds have
        their own), and how many test rows are left out, because their text stands among those
        that one of the draws may have learnt from.

    Raises:
        InputError: the data have changed, or no row of a test is left.
        RaysearchError: a model's answer is not a finite number.
    """
    known = _known(source.data)
    judged: dict[str, list[Judged]] = {task: [] for task in targets}
    for draw, record, point in source.models:
        trial, _ = open_trial(source.run.folder, record, data_dir, models_dir)
        try:
            if not trial.restore_weights():
                notify(f"weights were not kept: trains trial {record.id} again")
                trial.train()
            learnt = known | _keys(trial.unlabelled)
            for task, data in targets.items():
                home = data.digest == source.data.digest
                rows = trial.data.splits["test"] if home else _foreign(data, learnt)
                if not len(rows):
                    raise _nothing(source, task)
                judged[task].append(_judged(trial, point, draw, rows, data.task.score))
        finally:
            trial.close()
    for task, data in targets.items():
        if data.digest != source.data.digest:
            judged[task] = _same_rows(judged[task])
            if not len(judged[task][0].ids):
                raise _nothing(source, task)
    return judged, {task: _left_out(draws, targets[task]) for task, draws in judged.items()}


def _nothing(source: TrainedPoint, task: str) -> InputError:
    return InputError(
        f"{source.run.folder}: every test text of '{task}' stands among those that "
        f"{source.words} may have learnt from"
    )


def _same_rows(judged: Sequence[Judged]) -> list[Judged]:
    """Return the draws on the rows that all of them have: pools differ from draw to draw."""
    import numpy as np

    from raysearch.analysis.bootstrap import Judged

    rows = judged[0].ids
    for j in judged[1:]:
        rows = np.intersect1d(rows, j.ids)
    keep = [np.isin(j.ids, rows) for j in judged]
    return [Judged(j.draw, j.ids[k], j.features[k]) for j, k in zip(judged, keep, strict=True)]


def _keys(rows: Rows) -> frozenset[str]:
    from raysearch.data.splits import keys

    return frozenset(keys(rows.text, rows.pair))


def _known(data: TaskData) -> frozenset[str]:
    """Return every text of a task that one of its models may have learnt or been chosen by.

    Where it is cross-fitted a fresh draw learns from rows of the carved test split as well.
    """
    parts = [
        rows for split, rows in data.splits.items() if split != "test" or data.pool is not None
    ]
    return frozenset().union(*map(_keys, parts))


def _foreign(data: TaskData, known: frozenset[str]) -> Rows:
    """Return another task's test rows without those known.

    They have a name of their own: a split of the trial's would be read from its Store.
    """
    from raysearch.data.splits import unseen

    return replace(unseen(data.splits["test"], known), split=f"test of {data.digest}")


def _judged(
    trial: TrainedModel, point: OperatingPoint, draw: int, rows: Rows, score: str
) -> Judged:
    import numpy as np

    from raysearch.analysis.bootstrap import Judged, features

    label: Any = rows.label
    try:
        logits = trial.predict(point, replace(rows, label=None))
    except FloatingPointError as e:
        raise RaysearchError(f"point {point.point_id}: {e}") from e
    order = np.argsort(rows.ids, kind="stable")
    made = features(logits[order].astype(np.float64), label[order], score)
    return Judged(draw, rows.ids[order], made)


def _left_out(judged: Sequence[Judged], data: TaskData) -> int:
    """Count the rows of the test split that no draw has."""
    import numpy as np

    scored = np.unique(np.concatenate([j.ids for j in judged]))
    return int((~np.isin(data.splits["test"].ids, scored)).sum())
