"""Set a system from outside beside a run's points, by its predictions of the test rows."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.analysis import Run, read_run
from raysearch.analysis.confirmation import Confirmation, confirmation
from raysearch.analysis.external import (
    KIND,
    PairedComparison,
    missing_rows_reason,
    paired_comparisons,
    rows_interval,
)
from raysearch.config.trial import digest
from raysearch.data.external import (
    Predictions,
    judged_rows,
    read_predictions,
    score,
    write_template,
)
from raysearch.data.task_data import TaskData
from raysearch.errors import InputError
from raysearch.record import Outside
from raysearch.run.folder import RunFolder, locked
from raysearch.run.records import RecordWriter
from raysearch.storage.store import Store
from raysearch.workflow.open_run import open_data
from raysearch.workflow.sync import push_to_storage

LONGEST = 80
"""Characters of a name."""
COSTS = ("labels", "ms", "dollars_per_1k")
"""Costs that a person may state of a system."""


@dataclass(frozen=True, slots=True)
class Added:
    """A system that stands beside a run's points now."""

    run: Run
    """As its records are with the system."""
    system: Outside
    predictions: Predictions
    made: Confirmation
    """Of the run's confirming draws."""
    against: list[PairedComparison]
    """The system minus each confirmed point."""
    why: str
    """Why it is compared with none; empty where it is."""
    replaced: bool
    """A system of this name stood there before."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        value = self.system.to_json()
        value = {k: v for k, v in value.items() if k not in ("schema", "event")}
        keys = ("point_id", "difference", "low", "high", "verdict")
        pairs = [{k: getattr(a, k) for k in keys} for a in self.against]
        read = self.predictions
        more = {"replaced": self.replaced, "read_as": read.read_as, "shared": read.shared}
        return {**value, **more, "against": pairs, **({"why": self.why} if self.why else {})}


@dataclass(frozen=True, slots=True)
class Template:
    """A file of rows that are to be predicted."""

    file: Path
    texts: int
    rows: int
    data: TaskData


def add_system(
    run: Path,
    name: str | None,
    path: Path | None,
    costs: Mapping[str, float | int | None],
    data_dir: Path | None = None,
) -> Added:
    """Score a system's predictions, keep them with the run, and compare it with what is confirmed.

    Args:
        run: the run's folder.
        name: what the system is called; short and printable.
        path: table with text (and text_pair) or hash, and prediction.
        costs: by `COSTS`; None where a cost is not known.
        data_dir: folder of data sets; None: where the run found them.

    Raises:
        InputError: a name, a cost, the run's data or the predictions cannot be used.
    """
    name = checked_name(name)
    if path is None:
        raise InputError("--predictions: name a file, or --template FILE to write what it must say")
    known = {key: checked_cost(key, costs[key]) for key in COSTS}
    before = read_run(run)
    data = open_data(run, data_dir)
    rows = judged_rows(data, crossfitted=_crossfitted(before))
    predictions = read_predictions(path, rows, data.task)
    label: Any = rows.label
    system = Outside(
        name,
        _key(name, data.digest, predictions),
        {"test": score(predictions, rows, data.task)},
        len(rows),
        data.task.score,
        rows_interval(predictions.values, label, data.task.score, data.task.classes),
        **known,
    )
    replaced = _store(run, before, system, predictions)
    push_to_storage(run)
    after = read_run(run)
    made = confirmation(after)
    pairs = paired_comparisons(after, made, outside=(system,))
    return Added(
        after, system, predictions, made, pairs, missing_rows_reason(after, made, system), replaced
    )


def write_rows(run: Path, file: Path, data_dir: Path | None = None) -> Template:
    """Write the rows that a system has to predict, texts and all, without their labels.

    Raises:
        InputError: no run, or its data cannot be read.
    """
    crossfitted = _crossfitted(read_run(run))
    data = open_data(run, data_dir)
    rows = judged_rows(data, crossfitted=crossfitted)
    return Template(file, write_template(file, rows), len(rows), data)


def _crossfitted(run: Run) -> bool:
    return any(r.phase == "confirm" and r.config.data.folds for r in run.records)


def checked_name(given: str | None) -> str:
    """Return a name fit to stand on a page.

    Raises:
        InputError: it is empty, long, or not printable.
    """
    name = unicodedata.normalize("NFC", (given or "").strip())
    if not name:
        raise InputError("--name: name the system, as gpt-x")
    if len(name) > LONGEST:
        raise InputError(f"--name: has {len(name)} characters, may have {LONGEST}")
    bad = next((c for c in name if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")), None)
    if bad is not None:
        raise InputError(f"--name: holds the character U+{ord(bad):04X}, must be printable")
    return name


def checked_cost(key: str, value: float | None) -> Any:
    """Return a cost as given; None where none was, never 0."""
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise InputError(f"--{key.replace('_', '-')}: is {value:g}, must be a number, 0 or above")
    return value


def _key(name: str, splits: str, predictions: Predictions) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "system"
    rows = [predictions.ids.tolist(), predictions.values.tolist()]
    return f"{slug}-{digest({'name': name, 'splits': splits, 'rows': rows})}"


def _store(run: Path, before: Run, added: Outside, predictions: Predictions) -> bool:
    """Keep predictions and event, the folder locked; return whether the name stood there before."""
    folder = RunFolder(run)
    store = Store(folder.store)

    def fill(at: Path) -> dict[str, Any]:
        np.save(at / "ids.npy", predictions.ids)
        np.save(at / "predictions.npy", predictions.values)
        return {"name": added.name, "rows": added.rows}

    with locked(folder):
        store.build(KIND, added.key, fill)
        writer = RecordWriter(folder.records)
        try:
            writer.append(added.to_json())
        finally:
            writer.close()
        old = [o for o in before.outside if o.name == added.name]
        for other in old:
            if other.key != added.key:
                store.drop(KIND, other.key)
    return bool(old)
