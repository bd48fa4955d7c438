"""Runs of choices whose scores are given: what the search saw, and what each fresh draw scored."""

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
from raysearch.ledger import Charge
from raysearch.record import OperatingPoint, TrialRecord, point_id

ROWS = 800
"""Test rows; a score is right on its share of them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One configuration of a search and its confirming draws."""

    name: str
    """Of its rung."""
    validation: float
    """What the search saw, and chose by."""
    test: float | None = None
    """The search's own trial on test; None: not scored."""
    draws: tuple[float | None, ...] = ()
    """On test, draws 1, 2, ...; None: that draw failed."""
    judged: tuple[float, ...] = ()
    """On the draws' own validation rows; empty: as on test."""
    method: str = "finetune"
    labels: int = 32
    flops: float | None = 100.0
    """Inference [FLOP/text]."""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 36.0
    """Of training [s]."""
    measured: Mapping[str, float] = field(default_factory=dict)
    first: int = 1
    """Number of the first draw."""

    @property
    def config(self) -> TrialConfig:
        """Points of one method, rung and budget are one trial's."""
        data = DataBudget(self.labels, self.labels)
        return TrialConfig("told", "0" * 16, self.method, self.name, data)

    @property
    def point(self) -> str:
        """The search's point id."""
        return point_id([self.config.id], 1, self.knobs)


def write_choices(
    folder: Path,
    choices: Sequence[Choice],
    *,
    score: str = "accuracy",
    independent: bool = False,
    device: str = "cpu",
    **study: Any,
) -> Run:
    """Write the run's folder and read it: records.jsonl, study.yaml and logits.

    Rows have a difficulty that all choices and draws share, but for `independent`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trials: dict[str, TrialRecord] = {}
    for choice in choices:
        numbers = [0, *range(choice.first, choice.first + len(choice.draws))]
        for at, draw in enumerate(numbers):
            record = _record(folder, choice, at, draw, score, independent, device)
            if (old := trials.get(record.id)) is not None:
                record = replace(old, points=(*old.points, *record.points))
            trials[record.id] = record
    lines = [json.dumps(r.to_json(), allow_nan=False) + "\n" for r in trials.values()]
    (folder / "records.jsonl").write_text("".join(lines))
    text = yaml.safe_dump({"task": "told", "score": score, **study}, sort_keys=False)
    (folder / "study.yaml").write_text(text)
    return read_run(folder)


def _record(
    folder: Path, choice: Choice, at: int, draw: int, score: str, independent: bool, device: str
) -> TrialRecord:
    config = choice.config.with_seed(draw)
    value = choice.test if draw == 0 else choice.draws[at - 1]
    failed = draw > 0 and value is None
    seen = choice.validation
    if draw and not failed:
        seen = choice.judged[at - 1] if choice.judged else float(value or 0.0)
    scores, rows = {"validation": {score: seen}}, {"validation": choice.labels}
    name = point_id([config.id], 1, choice.knobs)
    if value is not None:
        scores["test"], rows["test"] = {score: value}, ROWS
        if draw:
            keep(folder, name, value, independent)
    point = OperatingPoint(
        name,
        1,
        dict(choice.knobs),
        scores,
        rows,
        infer_flops=choice.flops,
        params=10,
        params_trained=10,
        bytes=40,
        measured=dict(choice.measured) if draw == 0 else {},
    )
    return TrialRecord(
        config.id,
        config,
        "FAILED" if failed else "DONE",
        phase="confirm" if draw else "search",
        points=() if failed else (point,),
        bill=(Charge("train", "own", 1000, choice.seconds),),
        labels_used=2 * choice.labels,
        score=score,
        error="loss is NaN" if failed else None,
        made_by={"device": device},
    )


def keep(folder: Path, point: str, value: float, independent: bool = False) -> None:
    """Write logits of a point on the test rows that are right on this share of them."""
    common = np.random.default_rng(7)
    labels, hard = common.integers(0, 2, ROWS), common.random(ROWS)
    own = np.random.default_rng(int(point[:12], 16)).random(ROWS)
    luck = own if independent else 0.7 * hard + 0.3 * own
    right = np.zeros(ROWS, dtype=np.bool_)
    right[np.argsort(luck)[: round(value * ROWS)]] = True
    predicted = np.where(right, labels, 1 - labels)
    entry = folder / "store" / "logits" / f"{point}-test"
    entry.mkdir(parents=True, exist_ok=True)
    np.save(entry / "logits.npy", np.eye(2, dtype=np.float32)[predicted])
    np.save(entry / "ids.npy", np.arange(ROWS))
    np.save(entry / "labels.npy", labels)
    (entry / "manifest.json").write_text("{}")
