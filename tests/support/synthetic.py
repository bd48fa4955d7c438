"""Plausible records without torch: seeded, shaped like a real study, written like a real run.

Methods with a name of their own here behave alike from seed to seed (see `PROFILES`); any other
name is treated as a fine-tuning method. ``distill`` inherits a teacher's bill and ``early_exit``
has three operating points a trial, so that both cases can be asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.ledger import OWN, Charge, Ledger
from raysearch.record import OperatingPoint, Outside, TrialRecord, point_id, score_event

LABELS = (32, 100, 320, 1000)
METHODS = ("ngram_linear", "embed_linear", "finetune")
VALIDATION_SPLIT = 256
TEST_ROWS = 872
MAJORITY = 0.509
TOKENS = 64


@dataclass(frozen=True, slots=True)
class Size:
    """One rung: what it costs and where its score ends up."""

    params: int
    forward: float
    """FLOPs for one text of 64 tokens."""
    ceiling: float
    """Score with unlimited labels."""


SIZES: Mapping[str, Size] = {
    "ngram_2e16": Size(131_074, 2.6e2, 0.80),
    "ngram_2e18": Size(524_290, 2.9e2, 0.82),
    "bert_tiny": Size(4_386_178, 5.453e7, 0.832),
    "bert_mini": Size(11_171_074, 4.194e8, 0.859),
    "bert_small": Size(28_764_674, 1.644e9, 0.897),
    "bert_medium": Size(41_374_210, 3.288e9, 0.896),
}

MODELS: Mapping[str, Sequence[str]] = {
    "ngram_linear": ("ngram_2e16", "ngram_2e18"),
    "embed_linear": ("bert_tiny", "bert_small"),
    "finetune": ("bert_tiny", "bert_mini", "bert_small"),
    "distill": ("bert_tiny", "bert_mini"),
    "early_exit": ("bert_small", "bert_medium"),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """How a method learns: the score with n labels is `ceiling * head - drop * n ** -0.4`."""

    head: float
    drop: float


PROFILES: Mapping[str, Profile] = {
    "ngram_linear": Profile(0.96, 0.80),
    "embed_linear": Profile(0.97, 0.55),
    "finetune": Profile(1.00, 1.30),
    "distill": Profile(1.01, 0.90),
    "early_exit": Profile(1.00, 1.30),
}

TEACHER = TrialConfig(
    task="sst2",
    splits="5f1d0c0ffee15bad",
    method="finetune",
    rung="bert_medium",
    data=DataBudget(train=1000, validation=VALIDATION_SPLIT),
)
TEACHER_BILL = (
    Charge("train", OWN, int(3 * 3.288e9 * 3000), 210.0, 3000, 3000 * TOKENS, 1000),
    Charge("validate", OWN, int(3.288e9 * 768), 9.0, 768, 768 * TOKENS, VALIDATION_SPLIT),
)


def records(
    n_trials: int,
    seed: int = 0,
    methods: Sequence[str] = METHODS,
    models: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    labels: Sequence[int] = LABELS,
    *,
    task: str = "sst2",
    score: str = "accuracy",
    confirm: int = 0,
) -> list[TrialRecord]:
    """Make `n_trials` search records (and `confirm` fresh draws of each cell's winner).

    The same arguments give the same records. About one trial in twelve did not end as DONE. The
    best point of each (method, model, labels) cell has a test score; the others have none.
    `score` "pearson" makes scores that may be negative.
    """
    rng = np.random.default_rng(seed)
    made = [_record(i, rng, methods, models, labels, task, score) for i in range(n_trials)]
    made = _score_winners(made, rng, score)
    fresh = []
    for record in [r for r in made if any("test" in p.scores for p in r.points)]:
        for draw in range(1, confirm + 1):
            fresh.append(_confirmed(record, draw, rng, score))
    return made + fresh


def zero_shots(rungs: Mapping[str, float], **measured: float) -> list[TrialRecord]:
    """Make a zero-shot trial of each rung that is right on this share of the test rows."""
    out = []
    for rung, right in rungs.items():
        size = SIZES[rung]
        config = TrialConfig("sst2", "5f1d0c0ffee15bad", "zero_shot", rung, DataBudget(0))
        point = OperatingPoint(
            point_id([config.id], 0, {}),
            0,
            scores={"test": {"accuracy": right}},
            rows={"test": TEST_ROWS},
            infer_flops=size.forward,
            params=size.params,
            params_trained=0,
            bytes=4 * size.params,
            measured=measured,
        )
        bill = (Charge("train", OWN, 0, 2e-5),)  # the clock around an empty step
        made_by = {"raysearch": "0", "device": "cpu"}
        record = TrialRecord(config.id, config, "DONE", points=(point,), bill=bill, made_by=made_by)
        out.append(replace(record, score="accuracy"))
    return out


def write_run(folder: Path, records: Sequence[TrialRecord], **study: Any) -> Path:
    """Write records.jsonl and study.yaml as a run leaves them; test scores become `score` events.

    Further keywords are written into study.yaml. Returns the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for record in records:
        late = [p for p in record.points if "test" in p.scores]
        bare = replace(record, points=tuple(_without_test(p) for p in record.points))
        lines.append(json.dumps(bare.to_json(), allow_nan=False))
        lines += [
            json.dumps(score_event(record.id, p.point_id, "test", p.rows["test"], p.scores["test"]))
            for p in late
        ]
        fresh = record.phase == "confirm" or not record.labels_used
        if fresh and record.status == "DONE":
            keep_logits(folder, record)
    (folder / "records.jsonl").write_text("".join(line + "\n" for line in lines))
    tasks = {r.config.task for r in records} or {"sst2"}
    written = {
        "task": sorted(tasks)[0],
        "score": records[0].score if records else "accuracy",
        "methods": sorted({r.config.method for r in records}),
        "labels": sorted({r.config.data.train for r in records}),
        "trials": len(records),
        "seed": 0,
        "reference": {"score": MAJORITY, "train_flops_full": 1e15, "infer_flops": 1e10},
        **study,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    return folder


def _record(
    number: int,
    rng: np.random.Generator,
    methods: Sequence[str],
    models: Mapping[str, Sequence[str]] | Sequence[str] | None,
    labels: Sequence[int],
    task: str,
    score: str,
) -> TrialRecord:
    method = methods[int(rng.integers(len(methods)))]
    rungs = _rungs(method, models)
    rung = rungs[int(rng.integers(len(rungs)))]
    size = SIZES.get(rung, SIZES["bert_mini"])
    n = int(labels[int(rng.integers(len(labels)))])
    validation = min(n, VALIDATION_SPLIT)
    hyper = _hyper(method, rng)
    config = TrialConfig(
        task=task,
        splits="5f1d0c0ffee15bad",
        method=method,
        rung=rung,
        data=DataBudget(train=n, validation=validation, seed=number % 3),
        hyper=hyper,
        init_seed=number,
        inputs={"teacher": replace(TEACHER, task=task)} if method == "distill" else {},
    )
    luck = float(rng.random())
    status = "DONE" if luck > 0.08 else ("STOPPED", "FAILED", "INFEASIBLE")[number % 3]
    error = {
        "FAILED": "loss is not finite at step 40",
        "INFEASIBLE": f"{rung}: 5,000,000,000 bytes needed, 4,000,000,000 free",
    }.get(status)
    epochs = int(hyper.get("epochs", 1))
    part = {"DONE": 1.0, "STOPPED": 0.5, "FAILED": 0.1, "INFEASIBLE": 0.0}[status]
    step = int(part * epochs * max(1, n // 16))
    points: tuple[OperatingPoint, ...] = ()
    if status in ("DONE", "STOPPED"):
        points = _points(config, size, step, epochs, part, rng, score)
    return TrialRecord(
        id=config.id,
        config=config,
        status=status,
        hyper=hyper,
        step=step,
        points=points,
        bill=_bill(config, size, epochs, part),
        labels_used=n + validation + (0 if method != "distill" else max(0, 1000 - n)),
        unlabelled_used=2000 if method == "distill" else 0,
        score=score,
        error=error,
        made_by={"raysearch": "0", "device": "cpu", "precision": "fp32", "concurrency": 2},
    )


def _rungs(
    method: str, models: Mapping[str, Sequence[str]] | Sequence[str] | None
) -> Sequence[str]:
    if models is None:
        return MODELS.get(method, MODELS["finetune"])
    return models[method] if isinstance(models, Mapping) else models


def _hyper(method: str, rng: np.random.Generator) -> dict[str, Any]:
    if method == "ngram_linear":
        return {"c": _round(10 ** rng.uniform(-2, 2)), "ngrams": int(rng.integers(1, 4))}
    if method == "embed_linear":
        return {"c": _round(10 ** rng.uniform(-2, 2)), "pool": ("mean", "first")[rng.integers(2)]}
    knobs: dict[str, Any] = {
        "lr": _round(10 ** rng.uniform(-5, -3.5)),
        "batch": int((8, 16, 32)[rng.integers(3)]),
        "epochs": int(rng.integers(1, 9)),
    }
    if method == "distill":
        knobs["temperature"] = float((1, 2, 4)[rng.integers(3)])
    return knobs


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def _truth(config: TrialConfig, size: Size, part: float) -> float:
    profile = PROFILES.get(config.method, PROFILES["finetune"])
    n = config.data.train
    value = size.ceiling * profile.head - profile.drop * n**-0.4
    lr = config.hyper.get("lr")
    if lr is not None:
        value -= 0.04 * (math.log10(float(lr)) + 4.0) ** 2
    c = config.hyper.get("c")
    if c is not None:
        value -= 0.01 * math.log10(float(c)) ** 2
    return max(MAJORITY - 0.02, MAJORITY + (value - MAJORITY) * (0.5 + 0.5 * part))


def _observed(truth: float, rows: int, rng: np.random.Generator, score: str) -> float:
    """A score as a finite split shows it: k / rows, or a correlation in [-1, 1]."""
    if score == "pearson":
        return float(np.clip(4 * (truth - 0.6) + rng.normal(0, rows**-0.5), -1, 1))
    return int(rng.binomial(rows, min(max(truth, 0.0), 1.0))) / rows


def _points(
    config: TrialConfig,
    size: Size,
    step: int,
    epochs: int,
    part: float,
    rng: np.random.Generator,
    score: str,
) -> tuple[OperatingPoint, ...]:
    knob_sets: list[dict[str, Any]] = [{}]
    if config.method == "early_exit":
        knob_sets = [{"threshold": t} for t in (0.6, 0.8, 0.95)]
    linear = config.method.endswith("_linear")
    trained = 2 * 512 + 2 if config.method == "embed_linear" else size.params
    points = []
    for k, knobs in enumerate(knob_sets):
        share = (k + 1) / len(knob_sets)
        truth = _truth(config, size, part) - 0.02 * (1 - share)
        value = _observed(truth, config.data.validation, rng, score)
        points.append(
            OperatingPoint(
                point_id=point_id([config.id], step, knobs),
                step=step,
                knobs=knobs,
                scores={"validation": {score: value}},
                rows={"validation": config.data.validation},
                infer_flops=size.forward * (0.4 + 0.6 * share),
                params=size.params,
                params_trained=trained,
                bytes=4 * size.params,
                measured={}
                if linear or config.init_seed % 2
                else {"latency_ms": 1 + 3 * share, "tokenise_ms": 0.1, "throughput": 900 / share},
            )
        )
    return tuple(points)


def _bill(config: TrialConfig, size: Size, epochs: int, part: float) -> tuple[Charge, ...]:
    n, validation = config.data.train, config.data.validation
    seen = int(n * epochs * part)
    looks = int(validation * epochs * part)
    if part == 0.0:
        return ()
    backward = 1 if config.method == "embed_linear" else 3
    book = Ledger()
    book.charge(
        "train",
        flops=int(backward * size.forward * seen) + 2 * 40 * n,
        seconds=round(2.0 + 3e-10 * size.forward * seen, 3),
        texts=seen,
        tokens=seen * TOKENS,
        labels=n,
    )
    book.charge(
        "validate",
        flops=int(size.forward * looks),
        seconds=0.2,
        texts=looks,
        tokens=looks * TOKENS,
        labels=validation,
    )
    for teacher in config.inputs.values():
        book.inherit(list(TEACHER_BILL), teacher.id)
    return tuple(book.bill())


def _score_winners(
    made: list[TrialRecord], rng: np.random.Generator, score: str
) -> list[TrialRecord]:
    """Give the best DONE point of each (method, model, labels) cell a test score."""
    best: dict[tuple[str, str, int], tuple[float, float, int, str, str]] = {}
    for r in made:
        if r.status != "DONE":
            continue
        for p in r.points:
            cell = (r.config.method, r.config.rung, r.config.data.train)
            value = p.scores["validation"][score]
            flops = sum(c.flops for c in r.bill)
            key = (-value, float(p.infer_flops or 0.0), flops, r.id, p.point_id)
            best[cell] = min(best.get(cell, key), key)
    chosen = {key[-1] for key in best.values()}
    return [_with_test(r, chosen, rng, score) for r in made]


def _with_test(
    record: TrialRecord, chosen: set[str], rng: np.random.Generator, score: str
) -> TrialRecord:
    if not any(p.point_id in chosen for p in record.points):
        return record
    size = SIZES.get(record.config.rung, SIZES["bert_mini"])
    value = _observed(_truth(record.config, size, 1.0), TEST_ROWS, rng, score)
    points = tuple(
        replace(p, scores={**p.scores, "test": {score: value}}, rows={**p.rows, "test": TEST_ROWS})
        if p.point_id in chosen
        else p
        for p in record.points
    )
    return replace(record, points=points)


def _confirmed(record: TrialRecord, draw: int, rng: np.random.Generator, score: str) -> TrialRecord:
    """The same configuration on a fresh draw of data and initialisation, scored on test."""
    old = record.config
    config = old.with_seed(100 + draw)  # the search uses up small seeds here
    size = SIZES.get(old.rung, SIZES["bert_mini"])
    points = _points(config, size, record.step, 1, 1.0, rng, score)
    fresh = replace(record, id=config.id, config=config, phase="confirm", points=points)
    return _with_test(fresh, {p.point_id for p in points}, rng, score)


def keep_logits(folder: Path, record: TrialRecord) -> None:
    """Write logits of a draw's points into the Store, so that they score what the record says.

    All draws share how hard each row is, as draws of one task do.
    """
    hard = np.random.default_rng(7)
    labels, hardness = hard.integers(0, 2, TEST_ROWS), hard.random(TEST_ROWS)
    for point in record.points:
        if "test" not in point.scores:
            continue
        rng = np.random.default_rng(int(point.point_id[:8], 16))
        value = point.scores["test"][record.score]
        if record.score == "pearson":
            labels_ = hardness.astype(np.float32)
            noise = rng.normal(size=TEST_ROWS)
            x = (hardness - hardness.mean()) / hardness.std()
            noise -= noise.mean() + x * (noise @ x) / TEST_ROWS
            logits = (value * x + math.sqrt(1 - value**2) * noise / noise.std())[:, None]
        else:
            right = np.zeros(TEST_ROWS, dtype=np.bool_)
            luck = 0.6 * hardness + 0.4 * rng.random(TEST_ROWS)
            right[np.argsort(luck)[: round(value * TEST_ROWS)]] = True
            predicted = np.where(right, labels, 1 - labels)
            logits, labels_ = np.stack([1.0 - predicted, predicted * 1.0], axis=1), labels
        entry = folder / "store" / "logits" / f"{point.point_id}-test"
        entry.mkdir(parents=True, exist_ok=True)
        np.save(entry / "logits.npy", logits.astype(np.float32))
        np.save(entry / "ids.npy", np.arange(TEST_ROWS))
        np.save(entry / "labels.npy", labels_)
        (entry / "manifest.json").write_text("{}")


def add_outside(folder: Path, name: str, right: float, **facts: Any) -> None:
    """Set an outside system beside a written run, right on the easiest rows of the test split."""
    hard = np.random.default_rng(7)
    labels, hardness = hard.integers(0, 2, TEST_ROWS), hard.random(TEST_ROWS)
    predicted = np.where(
        np.argsort(np.argsort(hardness)) < round(right * TEST_ROWS), labels, 1 - labels
    )
    key = f"outside-{len(name)}"
    entry = folder / "store" / "outside" / key
    entry.mkdir(parents=True)
    np.save(entry / "ids.npy", np.arange(TEST_ROWS))
    np.save(entry / "predictions.npy", predicted)
    (entry / "manifest.json").write_text("{}")
    scores = {"test": {"accuracy": float((predicted == labels).mean())}}
    event = Outside(name, key, scores, TEST_ROWS, "accuracy", **facts).to_json()
    with (folder / "records.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")


def _without_test(point: OperatingPoint) -> OperatingPoint:
    return replace(
        point,
        scores={k: v for k, v in point.scores.items() if k != "test"},
        rows={k: v for k, v in point.rows.items() if k != "test"},
    )
