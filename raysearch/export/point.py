"""A point of a run becomes a folder: graph, temperature, files, card, scores of an int8 twin."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.config.catalog import find_rung
from raysearch.config.task import Task
from raysearch.data.rows import Logits
from raysearch.encoders.tokens import Tokeniser
from raysearch.export.card import Facts, card
from raysearch.export.manifest import Manifest
from raysearch.export.model import Format, Model
from raysearch.export.predictor import Predictor
from raysearch.export.prompt import question
from raysearch.export.write import Parity, as_logits, choose, write
from raysearch.objectives import OBJECTIVES, View
from raysearch.outputs.calibration import ece, softmax, temperature
from raysearch.record import OperatingPoint, TrialRecord, point_id
from raysearch.training.graph import Graph
from raysearch.trial.trained import TrainedModel

COSTS = {
    "labels": "labels used",
    "train_flops_full": "training [FLOP]",
    "infer_flops": "inference [FLOP a text]",
    "params": "parameters",
    "bytes": "size of the weights [bytes]",
    "latency_ms": "latency [ms]",
}
"""Objectives that a card lists where they are known, and what it calls them."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    parity: Parity
    temperature: float
    calibration: tuple[int, float, float] | None
    """(validation rows, ECE before, ECE after)."""
    events: tuple[dict[str, Any], ...] = ()
    """`score` events of an int8 twin, for the run's records."""
    scores: Mapping[str, tuple[float, float]] | None = None
    """Main score by split of an int8 twin: (float, int8); float is NaN where it has none."""


def base_of(record: TrialRecord, point: OperatingPoint) -> OperatingPoint:
    """Return the float point that an int8 twin was made from; another point itself."""
    knobs = {k: v for k, v in point.knobs.items() if k != "int8"}
    name = point_id([record.id], point.step, knobs)
    return next((p for p in record.points if p.point_id == name), replace(point, knobs=knobs))


def export_point(
    run: TrainedModel,
    record: TrialRecord,
    point: OperatingPoint,
    format_name: str | None,
    target: Path,
    *,
    command: str,
    int8: bool = False,
    force: bool = False,
    data_licence: str = "",
    confirmed: str = "",
) -> Exported:
    """Write a trained point as a folder in a format.

    The temperature is fitted on the trial's own validation rows, which are counted as labels
    already, and folded into the head.

    Args:
        run: the trial; restored or trained again where it is not yet.
        record: the trial's record.
        point: which of its points; an int8 twin is written in int8.
        format_name: name of a format; None: the first that can hold it.
        target: the folder to make.
        command: what writes the folder again, for the card.
        int8: write the point's int8 twin.
        force: replace what stands at the target.
        data_licence: of the task's data, where known.
        confirmed: what fresh draws scored, in a sentence for the card.

    Raises:
        InputError: the format cannot hold the point, or the target cannot be written.
        ParityError: the files do not compute what was trained.
    """
    int8 = int8 or bool(point.knobs.get("int8"))
    base = base_of(record, point)
    graph = run.graph(base)
    fmt = choose(format_name, graph, int8=int8)
    tokeniser = run.tokeniser()
    cold, calibration = _calibrate(run, base, graph, tokeniser)
    knobs = {**base.knobs, "int8": True} if int8 else dict(base.knobs)
    name = point_id([record.id], base.step, knobs)
    manifest = _manifest(run, graph, fmt, tokeniser, int8, cold, name)
    fast = None if tokeniser is None else tokeniser.fast
    prompt = question(run) if manifest.template else None
    model = Model(graph.with_temperature(cold), manifest, fast, prompt)
    events: list[dict[str, Any]] = []
    twin: dict[str, tuple[float, float]] = {}

    def finish(predictor: Predictor, parity: Parity) -> str:
        shown, notes = base, [f"Compared with the trained model: {parity.sentence()}."]
        if int8:
            shown = replace(base, point_id=name, knobs=knobs, bytes=predictor.bytes)
            shown = replace(shown, scores={}, rows={}, measured={})
            events.extend(run.score_elsewhere(shown, as_logits(predictor, cold)))
            scores = {e["split"]: e["scores"] for e in events}
            shown = replace(shown, scores=scores, rows={e["split"]: e["rows"] for e in events})
            for split, judged in scores.items():
                float_score = base.scores.get(split, {}).get(record.score, float("nan"))
                twin[split] = (float_score, judged[record.score])
                notes.append(
                    f"{record.score} on {split}: {float_score:.4f} in float32, "
                    f"{judged[record.score]:.4f} in int8."
                )
        if record.config.precision != "fp32":
            notes.append("Trained and scored in bfloat16; these files compute in float32.")
        facts = _facts(run, record, shown, model, fmt, command, calibration)
        return card(replace(facts, notes=notes, data_licence=data_licence, confirmed=confirmed))

    rows = run.data.splits["validation"] if len(run.validation) else run.data.splits["train"]
    parity = write(fmt, model, target, rows, tokeniser, finish, force=force)
    return Exported(parity, cold, calibration, tuple(events), twin or None)


def _calibrate(
    run: TrainedModel, point: OperatingPoint, graph: Graph, tokeniser: Tokeniser | None
) -> tuple[float, tuple[int, float, float] | None]:
    """Return (temperature, (rows, ECE before, ECE after)) on the trial's own validation rows."""
    rows = run.validation
    if run.data.task.regression or not len(rows):
        return 1.0, None
    assert rows.label is not None
    label = rows.label.astype(np.int64)
    logits: Logits | None = run.kept_logits(point.point_id)
    if logits is None:
        logits = graph.logits(rows, tokeniser)
    cold = temperature(logits, label)
    before, after = (ece(softmax(logits / np.float32(t)), label) for t in (1.0, cold))
    return cold, (len(rows), before, after)


def _manifest(
    run: TrainedModel,
    graph: Graph,
    fmt: Format,
    tokeniser: Tokeniser | None,
    int8: bool,
    cold: float,
    point: str,
) -> Manifest:
    task: Task = run.data.task
    plain = Manifest(
        fmt.name,
        task.name,
        task.score,
        labels=() if task.regression else task.label_names,
        regression=task.regression,
        pair=task.text_pair is not None,
        text=task.text,
        text_pair=task.text_pair or "",
        int8=int8,
        temperature=cold,
        trial=run.config.id,
        point=point,
        splits=run.config.splits,
        weights=run.config.weights,
    )
    if tokeniser is not None:
        limit, layers = tokeniser.limit, find_rung(run.config.rung).layers
        plain = replace(plain, max_length=limit, layers=layers)
    return replace(plain, **graph.summary())


def _facts(
    run: TrainedModel,
    record: TrialRecord,
    point: OperatingPoint,
    model: Model,
    fmt: Format,
    command: str,
    calibration: tuple[int, float, float] | None,
) -> Facts:
    task, config, rung = run.data.task, record.config, find_rung(record.config.rung)
    view = View(record, point)
    costs = {
        title: value
        for name, title in COSTS.items()
        if (value := OBJECTIVES[name].of(view)) is not None
    }
    kind, _, place = task.source.partition(":")
    origin, _, hub = rung.source.partition(":")
    return Facts(
        format=fmt.name,
        task=task.name,
        source=f"{kind}:{Path(place).name}" if kind == "file" else task.source,
        splits=config.splits,
        rows={
            "train": config.data.train,
            "validation": config.data.validation,
            "test": len(run.data.splits["test"]),
            "labels used in all": record.labels_used,
        },
        score=record.score,
        method=config.method,
        model=config.rung,
        command=command,
        use=fmt.use(model.manifest),
        labels=model.manifest.labels,
        scores=point.scores,
        scored=point.rows,
        costs=costs,
        knobs={**record.hyper, **point.knobs},
        pattern=model.manifest.template,
        words="" if model.question is None else model.question.sentence(),
        base=hub.partition("@")[0] if origin == "hf" else "",
        licence=rung.licence,
        pretrained_on=rung.pretrained_on,
        temperature=model.manifest.temperature,
        calibration=calibration,
        versions=_versions(record.made_by, fmt.packages),
    )


def _versions(made_by: Mapping[str, Any], packages: Sequence[str]) -> dict[str, str]:
    """Return what the trial ran with, and what the files were written with."""
    names = ["raysearch", "python", "torch", "transformers"]
    out = {name: str(made_by[name]) for name in names if name in made_by}
    for name in packages:
        try:
            out[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out
