"""Confirmed runs without a training: a task's real rows, and logits drawn at random for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.config.study import Study
from raysearch.config.task import Task
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.data.crossfit import crossfit, folds_of
from raysearch.data.evaluate import scores
from raysearch.data.rows import Rows
from raysearch.data.task_data import TaskData
from raysearch.record import OperatingPoint, TrialRecord, point_id
from raysearch.run.study_file import StudyManifest, write_study_manifest
from tests.support import tiny


@dataclass(frozen=True, slots=True)
class Recipe:
    """One choice of the run, and how good its answers are."""

    method: str = "ngram_linear"
    rung: str = "hash-16"
    labels: int = 32
    """0: a zero-shot model, without validation rows or draws."""
    right: float = 0.8
    """Chance of a right answer; for regression 1 - the noise."""
    flops: float = 100.0
    tested: bool = True


RECIPES = (
    Recipe(right=0.9),
    Recipe(labels=16, right=0.7),
    Recipe("embed_linear", "random-1", right=0.6, flops=1e6),
    Recipe("embed_linear", "random-2", right=0.5, flops=2e6, tested=False),
)
"""The first is the best, the last was not scored on test."""


def write_run(
    folder: Path,
    task: Task,
    *,
    recipes: Sequence[Recipe] = RECIPES,
    draws: int = 3,
    seed: int = 0,
) -> TaskData:
    """Write study.yaml, records.jsonl and the Store's logits; return the task's data.

    A task without a test split is cross-fitted, in as many folds as the house would take.
    """
    data = tiny.load(task)
    rng = np.random.default_rng(seed)
    folds = folds_of(data)
    rows = {name: len(part) for name, part in data.splits.items()}
    study = Study(name="quick", task=task.name, draws=draws)
    write_study_manifest(folder, StudyManifest(study, task, data.digest, rows))
    records = []
    for recipe in recipes:
        config = TrialConfig(
            task.name,
            data.digest,
            recipe.method,
            recipe.rung,
            DataBudget(recipe.labels, recipe.labels),
        )
        records.append(_record(folder, data, config, recipe, "search", rng))
        for d in range(1, max(draws, folds if draws else 0) + 1):
            if recipe.tested and recipe.labels:
                folded = crossfit(data, folds, d) if folds else data
                drawn = config.with_seed(d, folds)
                records.append(_record(folder, folded, drawn, recipe, "confirm", rng))
    text = "".join(json.dumps(r.to_json()) + "\n" for r in records)
    (folder / "records.jsonl").write_text(text)
    return data


def _record(
    folder: Path,
    data: TaskData,
    config: TrialConfig,
    recipe: Recipe,
    phase: str,
    rng: np.random.Generator,
) -> TrialRecord:
    name = point_id([config.id], 1, {})
    point = OperatingPoint(name, 1, infer_flops=recipe.flops, params=10, bytes=40)
    judged: dict[str, dict[str, float]] = {}
    rows = {"validation": data.splits["validation"]} if recipe.labels else {}
    if recipe.tested:
        rows["test"] = data.splits["test"]
    for split, part in rows.items():
        logits = answers(part, recipe.right, max(1, data.task.classes), rng)
        judged[split] = scores(logits, part.label)
        _keep(folder, f"{name}-{split}", {"logits": logits, "ids": part.ids, "labels": part.label})
    point = replace(point, scores=judged, rows={k: len(v) for k, v in rows.items()})
    return TrialRecord(
        config.id,
        config,
        "DONE",
        phase=phase,
        points=(point,),
        labels_used=2 * recipe.labels,
        score=data.task.score,
        made_by={"raysearch": "0", "device": "cpu"},
    )


def answers(rows: Rows, right: float, classes: int, rng: np.random.Generator) -> Any:
    """Logits (n, C) that are right so often; numbers (n, 1) with so little noise."""
    if np.issubdtype(rows.label.dtype, np.floating):
        noise = rng.normal(0, 1 - right, len(rows))
        return (rows.label + noise).astype(np.float32)[:, None]
    predicted = np.where(
        rng.random(len(rows)) < right, rows.label, rng.integers(classes, size=len(rows))
    )
    logits = rng.normal(0, 0.3, (len(rows), classes))
    logits[np.arange(len(rows)), predicted] += 2
    return logits.astype(np.float32)


def _keep(folder: Path, key: str, arrays: dict[str, Any]) -> None:
    entry = folder / "store" / "logits" / key
    entry.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(entry / f"{name}.npy", array)
    (entry / "manifest.json").write_text("{}")


def own_csv(path: Path, rows: int = 120) -> Path:
    """A file of two classes without a test split, some texts twice under both labels."""
    rng = np.random.default_rng(5)
    lines = []
    for i in range(rows):
        lines.append(f"{tiny.text_of(tiny.SIGNAL[i % 2], rng, 20)} {i},{'np'[i % 2]}")
    lines += ["said twice,n", "Said  twice,p"]
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    return path
