"""Confirmed runs for cascades: models that are unsure where they err, with all their logits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from raysearch.analysis import Run, read_run
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.data.evaluate import scores
from raysearch.ledger import ANSWERS, Charge, Ledger
from raysearch.record import OperatingPoint, TrialRecord, point_id

SPLIT = {"validation": 400, "test": 600}
"""Rows of the task."""


@dataclass(frozen=True, slots=True)
class Part:
    """One configuration of the search, its draws, and how good it is."""

    rung: str
    flops: float | None = 100.0
    skill: float = 0.8
    """How hard a text may be, from 0 to 1, to be answered rightly."""
    method: str = "finetune"
    labels: int = 200
    validation: int | None = None
    """None: as many as labels."""
    draws: int = 3
    teacher: Part | None = None
    texts: int = 1000
    """That a teacher answers."""
    knobs: tuple[Mapping[str, Any], ...] = field(default=({},), hash=False)
    heat: float = 1.0
    """What its logits are multiplied by: overconfident above 1."""

    @property
    def config(self) -> TrialConfig:
        """Of the search's own trial."""
        seen = self.labels if self.validation is None else self.validation
        inputs = {} if self.teacher is None else {"teacher": self.teacher.config}
        data = DataBudget(self.labels, seen)
        return TrialConfig("two", "5f1d0c0ffee15bad", self.method, self.rung, data, inputs=inputs)

    def point(self, draw: int = 0, knobs: int = 0) -> str:
        """Id of its point in a draw."""
        return point_id([self.config.with_seed(draw).id], 1, self.knobs[knobs])

    @property
    def own(self) -> int:
        """Its own training [FLOP]."""
        return int(1000 * (self.flops or 1))


def write(
    folder: Path,
    parts: Sequence[Part],
    *,
    score: str = "accuracy",
    classes: int = 2,
    seed: int = 0,
    **study: Any,
) -> Run:
    """Write the run's folder and read it; the seed is that of all logits on test."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for part in parts:
        for draw in range(part.draws + 1):
            made.append(_record(folder, part, draw, score, classes, seed))
    (folder / "records.jsonl").write_text("".join(json.dumps(r.to_json()) + "\n" for r in made))
    text = yaml.safe_dump({"task": "two", "score": score, **study}, sort_keys=False)
    (folder / "study.yaml").write_text(text)
    return read_run(folder)


def _record(
    folder: Path, part: Part, draw: int, score: str, classes: int, seed: int
) -> TrialRecord:
    config = part.config.with_seed(draw)
    order = np.random.default_rng([7, draw]).permutation(SPLIT["validation"])
    rows = {"validation": order[: config.data.validation], "test": np.arange(SPLIT["test"])}
    points = []
    for at, knobs in enumerate(part.knobs):
        name = part.point(draw, at)
        point = OperatingPoint(name, 1, dict(knobs), infer_flops=part.flops, params=10, bytes=40)
        for split, ids in rows.items():
            logits, label = answers(part, split, ids, draw, classes, seed)
            keep(folder, f"{name}-{split}", {"logits": logits, "ids": ids, "labels": label})
            judged = {**point.scores, split: scores(logits, label)}
            point = replace(point, scores=judged, rows={**point.rows, split: len(ids)})
        points.append(point)
    book = Ledger()
    for charge in bill(part):
        if part.teacher is not None and charge.payer == "teacher":
            charge = replace(charge, payer=part.teacher.config.with_seed(draw).id)
        book.inherit([charge], charge.payer)
    config_labels = config.data.train + config.data.validation
    return TrialRecord(
        config.id,
        config,
        "DONE",
        phase="confirm" if draw else "search",
        step=1,
        points=tuple(points),
        bill=tuple(book.bill()),
        labels_used=config_labels,
        score=score,
        made_by={"device": "cpu"},
    )


def bill(part: Part) -> list[Charge]:
    """Training and validation; a student's teacher with what it answered, as payer `teacher`."""
    own = [
        Charge("train", "own", part.own),
        Charge("validate", "own", 10),
        Charge("test", "own", 7),
    ]
    if part.teacher is None:
        return own
    taken = [replace(c, payer="teacher") for c in bill(part.teacher) if c.phase != "test"]
    each = int(part.teacher.flops or 0)
    assert set(ANSWERS) == {"teacher", "label"}
    taken += [Charge("teacher", "teacher", each * part.labels)] * bool(part.labels)
    return [*own, *taken, Charge("label", "teacher", each * part.texts)]


def answers(
    part: Part, split: str, ids: Any, draw: int, classes: int, seed: int
) -> tuple[Any, Any]:
    """Logits (n, C) and labels (n,): the margin falls with the text's difficulty."""
    task = np.random.default_rng([3, sorted(SPLIT).index(split)])
    label, hard = task.integers(classes, size=SPLIT[split]), task.random(SPLIT[split])
    own = np.random.default_rng([int(part.point(draw)[:8], 16), seed if split == "test" else 0])
    margin = 6 * (part.skill - hard) + own.normal(0, 0.7, SPLIT[split])
    logits = own.normal(0, 0.3, (SPLIT[split], classes))
    logits[np.arange(SPLIT[split]), label] += margin
    return (part.heat * logits[ids]).astype(np.float32), label[ids]


def keep(
    folder: Path, key: str, arrays: dict[str, Any], kind: str = "logits", **facts: Any
) -> None:
    """Write an entry of the Store."""
    entry = folder / "store" / kind / key
    entry.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(entry / f"{name}.npy", array)
    (entry / "manifest.json").write_text(json.dumps(facts))
