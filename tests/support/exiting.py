"""A run with early exit without torch: what every exit says is drawn at random and kept.

Beside the trials of early exit stand fine-tuned models of the first k layers. Rows share how hard
they are with every draw and every model; a deeper exit is right where a shallower one is, and
more; logits are too sure of themselves until a temperature is taken off them. Below 60 labels no
rows are held back to fit one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from raysearch.analysis import Run, read_run
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.ledger import Ledger
from raysearch.outputs import exit_rules, stored
from raysearch.outputs.calibration import FEWEST, temperature
from raysearch.outputs.exit_rules import Exits
from raysearch.outputs.point_kinds.exits import read as read_exits
from raysearch.record import OperatingPoint, TrialRecord, point_id
from tests.support.synthetic import keep_logits

LAYERS = 6
LAYER_FLOPS = 1.4e8
EMBEDDING = 1.2e7
TEST, POOL = 872, 256
"""Rows of the test split, and the most of a trial's validation rows."""
Rng = np.random.Generator


def exiting(
    folder: Path,
    *,
    models: Sequence[str] = ("minilm-6",),
    depths: Sequence[int] = (1, 2, 3, 4, 6),
    labels: Sequence[int] = (100, 640),
    tries: int = 2,
    draws: int = 3,
    measured: bool = False,
    exits: str = "all",
    tested: bool = True,
    rename: Callable[[str], str] = str,
    seed: int = 0,
    **study: Any,
) -> Run:
    """Write the run's folder and read it.

    Args:
        folder: written to.
        models: of early exit; of six layers each.
        depths: of the fine-tuned models, minilm-k each; empty for none.
        labels: budgets.
        tries: trials of early exit a model and budget; the best of them is confirmed.
        draws: confirming draws; 0 for none.
        measured: whether the confirmed have been timed.
        exits: the trials' knob.
        tested: whether the best on validation was scored on test.
        rename: what methods and models are called.
        seed: of the luck.
        study: further keys of study.yaml.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    records: list[TrialRecord] = []
    for n in labels:
        for model in models:
            hypers = [{"learning_rate": 1e-4 * (k + 1), "exits": exits} for k in range(tries)]
            tried = [_trial(folder, config_of("early_exit", model, n, rename, h), rng, 0)
                     for h in hypers]  # fmt: skip
            best = max(tried, key=lambda r: max(p.scores["validation"]["accuracy"]
                                                for p in r.points))  # fmt: skip
            if tested or draws:
                tried[tried.index(best)] = best = _tested(folder, best, rng, measured)
            records += tried
            for draw in range(1, draws + 1):
                records.append(_trial(folder, best.config.with_seed(draw), rng, draw))
        for k in depths:
            for draw in range(draws + 1):
                config = config_of("finetune", f"minilm-{k}", n, rename, {}).with_seed(draw)
                records.append(_plain(folder, config, k, rng, measured and draw == 0))
    text = "".join(json.dumps(r.to_json(), allow_nan=False) + "\n" for r in records)
    (folder / "records.jsonl").write_text(text)
    manifest = {"task": "sst2", "score": "accuracy", "reference": {"score": 0.5}, **study}
    (folder / "study.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    return read_run(folder)


def config_of(
    method: str, model: str, labels: int, rename: Callable[[str], str], hyper: dict[str, Any]
) -> TrialConfig:
    data = DataBudget(labels, min(labels, POOL))
    return TrialConfig("sst2", "5f1d0c0ffee15bad", rename(method), rename(model), data, hyper=hyper)


def skill(layers: int, labels: int) -> float:
    """Standard deviations above the hardness of the middle row."""
    return (0.35 + 1.25 * (1 - np.exp(-layers / 2.5))) * (1 - 0.9 * labels**-0.25)


def calibration_rows(labels: int) -> int:
    """Rows that fit the temperatures: a fifth of the labels, at least 30, at most half of them."""
    rows = max(labels // 5, FEWEST)
    return rows if 2 * rows <= labels else 0


def cold_of(depths: Sequence[int], labels: int, luck: float, rng: Rng) -> Any:
    """The temperature (K,) of each exit, 1 where no rows are held back."""
    fitted, truth = exits_of(calibration_rows(labels), depths, labels, luck, rng)
    return np.array([temperature(fitted[:, k], truth) for k in range(len(depths))])


def exits_of(rows: int, depths: Sequence[int], labels: int, luck: float, rng: Rng) -> Any:
    """Logits (n, K, 2) of each exit, and labels (n,)."""
    hard = np.random.default_rng(7 if rows == TEST else 8)
    label, hardness = hard.integers(0, 2, rows), hard.normal(size=rows)
    noise = rng.normal(size=(rows, len(depths)))
    for k in range(1, len(depths)):
        noise[:, k] = 0.8 * noise[:, k - 1] + 0.6 * noise[:, k]
    level = np.array([skill(d, labels) for d in depths]) + luck
    margin = 2.2 * (level - hardness[:, None] + 0.5 * noise)
    sign = 2.0 * label[:, None] - 1
    half = margin * sign / 2 * (1 + 0.2 * np.arange(len(depths)))  # deeper is surer of itself
    return np.stack([-half, half], axis=2).astype(np.float32), label


def _keep(folder: Path, trial: str, split: str, exits: Exits, label: Any) -> None:
    entry = folder / "store" / "exits" / f"{trial}-{split}"
    entry.mkdir(parents=True, exist_ok=True)
    stored.write_raw(entry, exits, np.arange(len(label)), label)
    (entry / "manifest.json").write_text("{}")


def _accuracy(exits: Exits, knobs: dict[str, Any], label: Any) -> dict[str, float]:
    predicted = exit_rules.answers(exits, knobs).argmax(axis=1)
    return {"accuracy": float((predicted == label).mean())}


def _trial(folder: Path, config: TrialConfig, rng: Rng, draw: int) -> TrialRecord:
    """A trial of early exit; of a confirming draw every point is judged on test."""
    n, hyper = config.data.train, config.hyper
    depths = exit_rules.exits_of(str(hyper["exits"]), LAYERS)
    luck = rng.normal(0, 0.04)
    cold = cold_of(depths, n, luck, np.random.default_rng([n, draw]))
    splits = {"validation": config.data.validation} | ({"test": TEST} if draw else {})
    outputs: dict[str, tuple[Exits, Any]] = {}
    for split, rows in splits.items():
        logits, label = exits_of(rows, depths, n, luck, rng)
        outputs[split] = Exits(logits, cold), label
        _keep(folder, config.id, split, *outputs[split])
    tried = exit_rules.grid(2, len(depths))
    validation = outputs["validation"][0]
    shares = [exit_rules.shares(exit_rules.exits_for(validation, k), len(depths)) for k in tried]
    upto = EMBEDDING + LAYER_FLOPS * np.array(depths)
    costs = [float(np.dot(s, upto)) for s in shares]
    if not draw:
        kept = exit_rules.prune_close_points(costs, [str(k["criterion"]) for k in tried], costs[0])
        tried = [tried[i] for i in kept]
        shares, costs = [shares[i] for i in kept], [costs[i] for i in kept]
    points = []
    for knobs, share, cost in zip(tried, shares, costs, strict=True):
        name = point_id([config.id], 40, knobs)
        points.append(
            OperatingPoint(
                name,
                40,
                dict(knobs),
                {split: _accuracy(e, dict(knobs), label) for split, (e, label) in outputs.items()},
                dict(splits),
                exits=share,
                infer_flops=cost,
                params=22_600_000,
                params_trained=22_600_000,
                bytes=90_400_000,
            )
        )
        for split in splits:
            entry = folder / "store" / "logits" / f"{name}-{split}"
            entry.mkdir(parents=True, exist_ok=True)
            facts = {"exits": f"{config.id}-{split}", "knobs": knobs}
            (entry / "manifest.json").write_text(json.dumps(facts))
    return _record(config, tuple(points), draw)


def _tested(folder: Path, record: TrialRecord, rng: Rng, measured: bool) -> TrialRecord:
    """The best point scored on test, and every second point timed."""
    seen = [p.scores["validation"]["accuracy"] for p in record.points]
    depths = exit_rules.exits_of(str(record.config.hyper["exits"]), LAYERS)
    logits, label = exits_of(TEST, depths, record.config.data.train, 0.0, rng)
    kept, _, _ = read_exits(folder / "store" / "exits" / f"{record.id}-validation")
    exits = Exits(logits, kept.temperature)
    _keep(folder, record.id, "test", exits, label)
    points = list(record.points)
    best = seen.index(max(seen))
    judged = {**points[best].scores, "test": _accuracy(exits, dict(points[best].knobs), label)}
    points[best] = replace(points[best], scores=judged, rows={**points[best].rows, "test": TEST})
    for i in range(0, len(points), 2) if measured else ():
        flops = points[i].infer_flops or 0.0
        fast = {"latency_ms": 0.4 + flops / 2e8, "tokenise_ms": 0.1, "throughput": 800.0}
        points[i] = replace(points[i], measured=fast)
    return replace(record, points=tuple(points))


def _plain(folder: Path, config: TrialConfig, layers: int, rng: Rng, measured: bool) -> TrialRecord:
    """A fine-tuned model of the first layers."""
    n, rows = config.data.train, config.data.validation
    luck = rng.normal(0, 0.04)
    judged = {}
    for split, count in (("validation", rows), ("test", TEST)):
        logits, label = exits_of(count, (layers,), n, luck + 0.03, rng)
        judged[split] = {"accuracy": float((logits[:, 0].argmax(axis=1) == label).mean())}
    flops = EMBEDDING + LAYER_FLOPS * layers
    point = OperatingPoint(
        point_id([config.id], 40, {}),
        40,
        scores=judged,
        rows={"validation": rows, "test": TEST},
        infer_flops=flops,
        params=12_000_000 + 1_770_000 * layers,
        bytes=4 * (12_000_000 + 1_770_000 * layers),
        measured={"latency_ms": 0.3 + flops / 2e8, "tokenise_ms": 0.1} if measured else {},
    )
    record = _record(config, (point,), config.data.seed)
    keep_logits(folder, record)
    return record


def _record(config: TrialConfig, points: tuple[OperatingPoint, ...], draw: int) -> TrialRecord:
    n, rows = config.data.train, config.data.validation
    book = Ledger()
    book.charge("train", flops=int(3e9 * n), seconds=30.0, texts=n, tokens=64 * n, labels=n)
    book.charge("validate", flops=int(8e8 * rows), seconds=1.0, labels=rows)
    return TrialRecord(
        config.id,
        config,
        "DONE",
        hyper=dict(config.hyper),
        phase="confirm" if draw else "search",
        step=40,
        points=points,
        bill=tuple(book.bill()),
        labels_used=n + rows,
        score="accuracy",
        made_by={"device": "cpu"},
    )
