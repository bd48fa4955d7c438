"""The point that a report is about, with the logits it is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raysearch.analysis.confirmation import fresh_draws, stored_logits
from raysearch.analysis.replicates import matching_point
from raysearch.analysis.run import Run
from raysearch.errors import InputError
from raysearch.record import OperatingPoint, TrialRecord

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Draw:
    """One training of the point's configuration, as it answered the test rows."""

    draw: int
    """0: the search's own trial."""
    ids: npt.NDArray[np.int64]
    """Row numbers (n,)."""
    logits: Floats
    """(n, C), or (n, 1) for regression."""
    label: Any
    """Class ids (n,) or numbers (n,)."""
    seen_logits: Floats | None
    """Logits of the draw's own validation rows (v, C); None where they were not kept."""
    seen_label: Any


@dataclass(frozen=True, slots=True)
class Subject:
    """A point of the search and the draws it is judged by."""

    record: TrialRecord
    point: OperatingPoint
    draws: tuple[Draw, ...]
    confirmed: bool
    """Whether the draws are fresh ones; False: the search's own trial, chosen for its luck."""
    folds: int
    """Cross-fitting folds of the draws; 0: all were judged on one test split."""
    names: tuple[str, ...]
    """Label names by class id; empty for regression."""

    @property
    def regression(self) -> bool:
        """Return whether numbers are predicted."""
        return bool(np.issubdtype(self.draws[0].label.dtype, np.floating))


def subject(run: Run, point_id: str, drawn: Sequence[int] | None = None) -> Subject:
    """Read the stored logits of a point: of its confirming draws, else of its own trial.

    Args:
        run: a run; not changed.
        point_id: of the search.
        drawn: the draws that are meant; None for all it has.

    Raises:
        InputError: the point is no finished one's, was not scored on test, or its logits are gone.
    """
    replicated = fresh_draws(run).get(point_id)
    try:
        if replicated is not None:
            record, point, fresh = replicated
            draws = []
            for number in sorted(fresh) if drawn is None else drawn:
                like = matching_point(fresh[number], point)
                assert like is not None
                draws.append(_draw(run, number, like.point_id))
            folds = next(iter(fresh.values())).config.data.folds
            return Subject(record, point, tuple(draws), True, folds, _names(run, draws))
        record, point = _own(run, point_id)
        draws = [_draw(run, 0, point_id)]
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e).splitlines()[0]
        raise InputError(
            f"{run.folder}: the logits of point '{point_id}' are not in the run's store ({reason})"
        ) from e
    return Subject(record, point, tuple(draws), False, 0, _names(run, draws))


def _own(run: Run, point_id: str) -> tuple[TrialRecord, OperatingPoint]:
    for record in run.records:
        for point in record.points:
            if point.point_id != point_id:
                continue
            if "test" not in point.scores:
                raise InputError(
                    f"{run.folder}: point '{point_id}' was not scored on test; the best of each "
                    f"method, model and label budget were: `raysearch report {run.folder}` takes "
                    "the best of them"
                )
            return record, point
    raise InputError(f"{run.folder}: no point '{point_id}'")


def _draw(run: Run, number: int, point_id: str) -> Draw:
    logits, ids, label = stored_logits(run.folder, point_id, "test")
    order = np.argsort(ids, kind="stable")
    seen: tuple[Any, Any] = (None, None)
    try:
        kept, _, truth = stored_logits(run.folder, point_id, "validation")
        seen = (kept.astype(np.float64), truth)
    except (OSError, ValueError):
        pass  # no temperature is fitted then, and the report says so
    return Draw(number, ids[order], logits[order].astype(np.float64), label[order], *seen)


def _names(run: Run, draws: list[Draw]) -> tuple[str, ...]:
    """Label names as study.yaml has them; class ids where it has none."""
    first = draws[0]
    if np.issubdtype(first.label.dtype, np.floating):
        return ()
    classes = first.logits.shape[1]
    task = run.study.get("task_as_run")
    named = task.get("label_names") if isinstance(task, dict) else None
    if isinstance(named, list) and len(named) == classes:
        return tuple(str(n) for n in named)
    return tuple(str(i) for i in range(classes))
