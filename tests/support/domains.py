"""Small finished runs of different tasks of the same classes, without Ray; and a matrix by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from raysearch.analysis.domains import Cell, Domain, Drop, Matrix, MethodMatrix, Source
from raysearch.config.task import Task
from raysearch.data.own import own_task
from raysearch.record import OperatingPoint, TrialRecord
from raysearch.run.records import RecordWriter
from raysearch.run.study_file import StudyManifest, write_study_manifest
from raysearch.trial.run import TrialRun
from raysearch.trial.trained import TrainedModel
from tests.support import tiny

SPLITS = "5f1d0c0ffee15bad"
"""Of the runs of tests.support.synthetic."""
NGRAM = ("ngram_linear", "hash-16")


def task(home: Path, name: str, seed: int, kind: str = "two", **changes: object) -> Task:
    """A tiny task of its own rows; of the test's labels every fourth or so is wrong."""
    made = tiny.write_task(home / f"data-{name}", kind, test=40, seed=seed)
    path = home / f"data-{name}" / "test.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    wrong = np.random.default_rng(seed).random(len(rows)) < 0.1 + 0.1 * seed
    labels = [row["label"] for row in rows]
    for at in np.flatnonzero(wrong).tolist():
        rows[at]["label"] = labels[(at + 1) % len(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return replace(made, name=name, **changes)


def own(home: Path, name: str, seed: int) -> Task:
    """A task of a file without a test split; every fourth label or so is wrong."""
    rng = np.random.default_rng(seed)
    path = home / f"{name}.csv"
    lines = ["text,label"]
    for i in range(120):
        text = tiny.text_of(tiny.SIGNAL[i % 2], rng, 20)
        lines.append(f"{text} {name} {i},{'np'[i % 2 if rng.random() < 0.75 else 1 - i % 2]}")
    path.write_text("\n".join(lines) + "\n")
    return own_task(str(path))


def learn(of_task: Task, texts: Sequence[str]) -> None:
    """Put texts among the task's training rows."""
    path = Path(of_task.source.removeprefix("file:")) / "train.jsonl"
    with path.open("a") as file:
        for text in texts:
            file.write(json.dumps({"text": text, "label": of_task.label_names[0]}) + "\n")


def train(
    out: Path,
    of_task: Task,
    *trials: tuple[str, str],
    draws: int = 0,
    kept: Sequence[int] | None = None,
    labels: int = 20,
    folds: int = 0,
) -> tuple[TrialRecord, ...]:
    """Train trials (method, model) and fresh draws of each; weights of some draws alone are kept.

    Draw 0 is the search's own trial. With folds the draws are those of a cross-fitting.
    """
    world = tiny.world(of_task, out, labels=(labels,))
    write_study_manifest(out, StudyManifest(world.study, of_task, world.data.digest))
    writer = RecordWriter(out / "records.jsonl")
    records = []
    for method, rung in trials or (NGRAM,):
        config = tiny.configure(world, method, rung, labels)
        for draw in range(draws + 1):
            drawn = config.with_seed(draw, folds) if draw else config
            run = tiny.finish(TrialRun(drawn, world.place, "confirm" if draw else "search"))
            record = run.record()
            if not draw:
                points = tuple(scored(run, p, of_task.score) for p in record.points)
                record = replace(record, points=points)
            writer.append(record.to_json())
            records.append(record)
            if kept is not None and draw not in kept:
                run.setup.store.drop("weights", drawn.id)
    writer.close()
    return tuple(records)


def scored(run: TrialRun, point: OperatingPoint, score: str) -> OperatingPoint:
    """The search's point, scored on test as its winners are."""
    event = TrainedModel(run).score(point, "test")
    return replace(
        point,
        scores={**point.scores, "test": event["scores"]},
        rows={**point.rows, "test": event["rows"]},
    )


def matrix(
    names: Sequence[str] = ("books", "dvd"),
    methods: Sequence[str] = ("dan", "finetune"),
    *,
    draws: int = 3,
    dropped: int = 0,
    splits: str = SPLITS,
) -> Matrix:
    """A matrix of made-up numbers, best on the diagonal; the first run is a synthetic one."""
    domains = tuple(
        Domain(n, f"run-{i}", f"{i:016x}" if i else splits, 100) for i, n in enumerate(names)
    )
    made = []
    for k, method in enumerate(methods):
        cells = tuple(
            Cell(a, b, s := (0.8 if a == b else 0.7) + 0.1 * k, s - 0.05, s + 0.05,
                 100 - (dropped if a != b else 0), dropped if a != b else 0, (s,) * max(1, draws))
            for a in names
            for b in names
        )  # fmt: skip
        sources = tuple(
            Source(n, f"{k}{i}".rjust(16, "0"), f"{method}, m-1, 80 labels", draws, 3)
            for i, n in enumerate(names)
        )
        pairs = len(names) * (len(names) - 1)
        made.append(MethodMatrix(method, sources, cells, Drop(0.1, 0.05, 0.15, pairs)))
    return Matrix("accuracy", domains, tuple(made))
