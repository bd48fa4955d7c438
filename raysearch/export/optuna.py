"""A study as an Optuna storage, so that optuna-dashboard opens it. Only Optuna, and only here."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from raysearch.config.study import Study
from raysearch.errors import RecordError
from raysearch.objectives import Objective, View, get
from raysearch.record import TrialRecord

STATES = {"DONE": TrialState.COMPLETE, "STOPPED": TrialState.PRUNED}
"""Every other status is a FAIL."""


def export_optuna(records: Iterable[TrialRecord], study: Study, path: Path) -> None:
    """Write a multi-objective Optuna study with one trial per operating point.

    A path that ends in `.log` or `.jsonl` becomes an Optuna journal, any other one a SQLite file.
    Values are the objectives in their own units; a point without one of them is a FAIL, because
    Optuna knows no absent value. What stands at `path` is replaced as a whole.

    Args:
        records: trials of one study; not changed.
        study: gives the name, the objectives and the prices.
        path: the file to write.

    Raises:
        RecordError: the file cannot be written.
    """
    listed = list(records)
    objectives = [get(name) for name in study.objectives]
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        draft.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = _storage(path, draft)
        made = optuna.create_study(
            storage=storage,
            study_name=f"{study.task or 'task'}-{study.name}",
            directions=["maximize" if o.maximise else "minimize" for o in objectives],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ExperimentalWarning: names are only for the eye
            made.set_metric_names(
                [f"{o.name} [{o.unit}]" if o.unit else o.name for o in objectives]
            )
        ranges = _ranges(listed)
        trials = [t for r in listed for t in _trials(r, study, objectives, ranges)]
        made.add_trials(trials)
        if isinstance(storage, RDBStorage):
            storage.engine.dispose()  # SQLite's file must be closed before it is moved
        draft.replace(path)
    except (OSError, optuna.exceptions.StorageInternalError) as e:
        raise RecordError(f"{path}: cannot be written: {e}") from e
    finally:
        draft.unlink(missing_ok=True)
        optuna.logging.set_verbosity(verbosity)


def _storage(path: Path, draft: Path) -> BaseStorage:
    if path.suffix in (".log", ".jsonl"):
        return JournalStorage(JournalFileBackend(str(draft)))
    return RDBStorage(f"sqlite:///{draft.resolve()}")


def _params(record: TrialRecord) -> dict[str, Any]:
    """Return parameters under the names the searcher uses."""
    method = record.config.method
    return {
        "method": method,
        "labels": record.config.data.train,
        f"{method}.model": record.config.rung,
        **{f"{method}.{k}": v for k, v in record.hyper.items()},
    }


def _ranges(records: Iterable[TrialRecord]) -> dict[str, BaseDistribution]:
    """Return a distribution for each parameter, wide enough for every value that occurs.

    The space itself may have changed while the study ran; the records are what is known.
    """
    seen: dict[str, list[Any]] = {}
    for record in records:
        for name, value in _params(record).items():
            seen.setdefault(name, []).append(value)
    return {name: _range(name, values) for name, values in seen.items()}


def _range(name: str, values: list[Any]) -> BaseDistribution:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if name == "labels" or not numbers:
        options = sorted(set(values), key=lambda v: (isinstance(v, str), str(type(v)), v))
        return CategoricalDistribution(options)
    low, high = min(values), max(values)
    log = low > 0 and high >= 50 * low
    if all(isinstance(v, int) for v in values):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _trials(
    record: TrialRecord,
    study: Study,
    objectives: list[Objective],
    ranges: Mapping[str, BaseDistribution],
) -> Iterable[FrozenTrial]:
    """Yield the record's points as trials; one FAIL for a trial without a point."""
    prices = study.prices.model_dump(exclude_none=True)
    params = _params(record)
    told_points: list[tuple[list[float | None], dict[str, Any]]] = []
    for point in record.points:
        view = View(record, point, study.shared_by, prices)
        told_points.append(
            ([o.of(view) for o in objectives], {"point": point.point_id, **point.knobs})
        )
    start = _time(record)
    for values, about in told_points or [([None], {})]:
        whole = [v for v in values if v is not None and math.isfinite(v)]
        state = STATES.get(record.status, TrialState.FAIL)
        if state is TrialState.COMPLETE and len(whole) != len(objectives):
            state = TrialState.FAIL
        facts = {"id": record.id, "status": record.status, "phase": record.phase, **about}
        if record.error is not None:
            facts["error"] = record.error
        yield FrozenTrial(
            number=0,  # the storage counts
            trial_id=0,
            state=state,
            value=None,
            values=whole if state is TrialState.COMPLETE else None,
            datetime_start=start,
            datetime_complete=start + timedelta(seconds=sum(c.seconds for c in record.bill)),
            params=params,
            distributions={name: ranges[name] for name in params},
            user_attrs=facts,
            system_attrs={},
            intermediate_values={},
        )


def _time(record: TrialRecord) -> datetime:
    """Return when the trial started by its record; Optuna expects local time without a zone."""
    for key in ("started", "when", "at"):
        try:
            return (
                datetime.fromisoformat(str(record.made_by[key])).astimezone().replace(tzinfo=None)
            )
        except (KeyError, ValueError):
            continue
    return datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
