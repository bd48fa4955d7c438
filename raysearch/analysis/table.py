"""Records as a table: one row per operating point, and one empty-point row for a trial without."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from raysearch.config.trial import TrialConfig, canonical
from raysearch.errors import InputError, RecordError
from raysearch.ledger import ANSWERS, OWN, TRAINING
from raysearch.objectives import OBJECTIVES, View
from raysearch.record import OperatingPoint, TrialRecord

TEXTS = (
    "id",
    "point_id",
    "task",
    "method",
    "model",
    "phase",
    "status",
    "point",
    "hyper",
    "error",
    "precision",
    "device",
    "score_name",
    "inherited",
    "procedure",
    "teacher",
)
TEACHER = "teacher"
"""Role of the input whose model has a column of its own, as in the files of every version."""
COUNTS = (
    "labels_train",
    "data_seed",
    "init_seed",
    "step",
    "validation_rows",
    "test_rows",
    "labels_validation",
)


def columns() -> list[str]:
    """Return the table's columns in order; one for each objective that is known now."""
    return [
        "id",
        "point_id",
        "task",
        "method",
        "model",
        "labels_train",
        "data_seed",
        "init_seed",
        "phase",
        "status",
        "point",
        "hyper",
        "score_validation",
        "score_test",
        "error",
        *OBJECTIVES,
        "step",
        "validation_rows",
        "test_rows",
        "precision",
        "device",
        "score_name",
        "labels_validation",
        "seconds",
        "inherited",
        "procedure",
        "teacher",
    ]


def to_table(
    records: Iterable[TrialRecord],
    *,
    shared_by: int = 1,
    prices: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Lay records out as a table, in their order.

    `point` and `hyper` are canonical JSON texts. An objective has its own unit (see
    raysearch.objectives) and is NaN where it was not measured. Beyond the objectives:
    `score_name` is the task's main score, `labels_validation` the validation budget [rows],
    `seconds` the trial's own wall-clock time [s], and `inherited` a JSON text
    {payer: {method, flops, answers, seconds, train, validation, seed}} of the bills taken over, of
    whose flops `answers` has, by phase, what answering a set of texts took; `procedure` is the
    method with its teacher's (`distill from prompt`), `teacher` the teacher's model.

    Args:
        records: trial records; not changed.
        shared_by: how many students share an inherited bill (for `train_flops_shared`).
        prices: cpu_hour, gpu_hour, label [dollars] (for `dollars`).

    Returns:
        Texts as `string`, counts as `Int64`, numbers as `float64`.

    Raises:
        InputError: a score of which less is better; every frontier takes more to be better.
    """
    rows: list[dict[str, Any]] = []
    for record in records:
        if not record.maximise:
            raise InputError(
                f"trial {record.id}: score '{record.score}' is better when smaller; "
                "the analyzer reads scores that are better when larger: negate it in the task"
            )
        shared = _of_trial(record)
        for point in record.points or (OperatingPoint(point_id="", step=record.step),):
            rows.append(shared | _of_point(record, point, shared_by, prices or {}))
    return _typed(pd.DataFrame.from_records(rows, columns=columns()))


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write the table whole or not at all: a file beside it takes its name when complete.

    Raises:
        RecordError: the folder or the disk refuses.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        table.to_parquet(part, engine="pyarrow", index=False)
        os.replace(part, path)
    except OSError as e:
        raise RecordError(f"{path}: cannot be written: {e.strerror or e}") from e
    finally:
        part.unlink(missing_ok=True)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table back with the types of `to_table`; an objective unknown then is NaN.

    Raises:
        RecordError: no such file, or not a table of ours.
    """
    try:
        table = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise RecordError(f"{path}: cannot be read as a parquet table: {reason}") from e
    later = (*OBJECTIVES, "procedure", "teacher")
    missing = [c for c in columns() if c not in table.columns and c not in later]
    if missing:
        raise RecordError(f"{path}: not a table of points: no column '{missing[0]}'")
    if "procedure" not in table.columns:  # before there were teachers
        table["procedure"] = table["method"]
    return _typed(table.reindex(columns=columns()))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    kinds = {c: "string" if c in TEXTS else "Int64" if c in COUNTS else "float64" for c in table}
    return table.astype(kinds)


def _of_trial(record: TrialRecord) -> dict[str, Any]:
    config = record.config
    return {
        "id": record.id,
        "task": config.task,
        "method": config.method,
        "model": config.rung,
        "labels_train": config.data.train,
        "data_seed": config.data.seed,
        "init_seed": config.init_seed,
        "phase": record.phase,
        "status": record.status,
        "hyper": canonical(dict(record.hyper)),
        "error": record.error,
        "precision": config.precision,
        "device": record.made_by.get("device"),
        "score_name": record.score,
        "labels_validation": config.data.validation,
        "seconds": sum(c.seconds for c in record.bill if c.payer == OWN),
        "inherited": canonical(_inherited(record)),
        "procedure": config.method_chain,
        "teacher": config.upstream[TEACHER].rung if TEACHER in config.upstream else None,
    }


def _of_point(
    record: TrialRecord, point: OperatingPoint, shared_by: int, prices: Mapping[str, float]
) -> dict[str, Any]:
    view = View(record, point, shared_by, prices)
    out: dict[str, Any] = {
        "point_id": point.point_id or None,
        "point": canonical(dict(point.knobs)) if point.point_id else None,
        "step": point.step,
        "score_validation": _finite(point.scores.get("validation", {}).get(record.score)),
        "score_test": _finite(point.scores.get("test", {}).get(record.score)),
        "validation_rows": point.rows.get("validation"),
        "test_rows": point.rows.get("test"),
    }
    return out | {name: _finite(o.of(view)) for name, o in OBJECTIVES.items()}


def _finite(value: float | None) -> float | None:
    """Return a finite value as it is; None where it is absent or not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def _inherited(record: TrialRecord) -> dict[str, dict[str, Any]]:
    givers = {c.id: c for c in _inputs(record.config)} if record.config.inputs else {}
    out: dict[str, dict[str, Any]] = {}
    for charge in record.bill:
        if charge.payer == OWN:
            continue
        if charge.payer not in out:
            out[charge.payer] = {"method": "inherited", "flops": 0, "answers": {}, "seconds": 0.0}
            if charge.payer in givers:
                giver = givers[charge.payer]
                data = giver.data
                out[charge.payer] |= {"method": giver.method, "seed": data.seed}
                out[charge.payer] |= {"train": data.train, "validation": data.validation}
        out[charge.payer]["seconds"] += charge.seconds
        if charge.phase in TRAINING:
            out[charge.payer]["flops"] += charge.flops
        if charge.phase in ANSWERS:
            out[charge.payer]["answers"][charge.phase] = charge.flops
    return out


def _inputs(config: TrialConfig) -> Iterator[TrialConfig]:
    for value in config.upstream.values():
        yield value
        yield from _inputs(value)
