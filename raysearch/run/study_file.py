"""`study.yaml` in a run's folder: the study as it ran, with the state of things at its start."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from raysearch.config.catalog import task_from_json, task_to_json
from raysearch.config.strict import Strict, load_yaml, parse
from raysearch.config.study import Study
from raysearch.config.task import Task
from raysearch.errors import InputError, RecordError
from raysearch.run.folder import RunFolder


class _Recorded(Strict):
    """Keys of the file beside those of Study."""

    task_as_run: dict[str, Any]
    splits: str
    rows: dict[str, int] = {}
    left_out: dict[str, str] = {}
    baselines: dict[str, int | float] = {}
    reference: dict[str, int | float] = {}
    notes: tuple[str, ...] = ()
    folders: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class StudyManifest:
    """A study, its task, and what was there when it began."""

    study: Study
    task: Task
    splits: str
    """Digest of the task's splits."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows of each split after dropping duplicates."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why a method, model or budget does not take part, by name."""
    baselines: Mapping[str, float] = field(default_factory=dict)
    reference: Mapping[str, float] = field(default_factory=dict)
    """The hypervolume's reference point, predicted before the first trial."""
    notes: tuple[str, ...] = ()
    """Remarks of the loader on the data."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """data and models: where they were; command-line options come first."""

    def with_study(self, study: Study) -> StudyManifest:
        """Return the same with another study."""
        return replace(self, study=study)


def write_study_manifest(out: Path, run: StudyManifest) -> None:
    """Write the file, whole or not at all."""
    value: dict[str, Any] = run.study.model_dump(mode="json", exclude_none=True)
    value |= {
        "task": run.task.name,
        "task_as_run": task_to_json(run.task),
        "splits": run.splits,
        "rows": dict(run.rows),
        "left_out": dict(run.left_out),
        "baselines": dict(run.baselines),
        "reference": dict(run.reference),
        "notes": list(run.notes),
        "folders": dict(run.folders),
    }
    path = RunFolder(out).study
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        draft.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), "utf-8")
        os.replace(draft, path)
    except OSError as e:
        raise RecordError(f"{path}: cannot be written: {e.strerror}") from e


def read_study_manifest(out: Path) -> StudyManifest:
    """Read a run's study.yaml; InputError when the folder holds none or it is not whole."""
    path = RunFolder(out).study
    if not path.is_file():
        raise InputError(
            f"{out}: holds no run (no {path.name}); `raysearch frontier --out {out}` makes one"
        )
    value = read_study_file(out)
    recorded = {k: v for k in _Recorded.model_fields if (v := value.pop(k, None)) is not None}
    study = parse(Study, value, path.name)
    values = parse(_Recorded, recorded, path.name)
    kept = {name: getattr(values, name) for name in _Recorded.model_fields if name != "task_as_run"}
    return StudyManifest(study, task_from_json(values.task_as_run), **kept)


def read_study_file(out: Path) -> dict[str, Any]:
    """Return the keys of a run's study.yaml, unchecked; empty where there is none.

    Raises:
        InputError: it cannot be read, or is no mapping.
    """
    path = RunFolder(out).study
    return load_yaml(path, where=str(path), empty=True) if path.exists() else {}
