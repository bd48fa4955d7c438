"""Records of what trials scored and what they truly cost: all that the analysis reads.

One JSON object a line, four kinds of event:

- ``trial``: a trial has ended (config, status, points, bill, error, made_by);
- ``score``: an operating point was scored on a further split;
- ``measure``: an operating point was timed alone on the device;
- ``outside``: a system from outside gave its predictions of the test rows.

Imports neither torch nor Ray, so that a folder of records opens anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raysearch.config.trial import TrialConfig, digest
from raysearch.ledger import ANSWERS, Charge, Ledger

SCHEMA = 1
EVENTS = ("trial", "score", "measure", "outside")
STATUSES = ("DONE", "STOPPED", "FAILED", "INFEASIBLE")
"""DONE: ran to its end. STOPPED: ended before. FAILED: broke. INFEASIBLE: cannot run here."""


def point_id(trial_ids: Iterable[str], step: int, knobs: Mapping[str, Any]) -> str:
    """Return the id of an operating point.

    It is that of a trained state at a step, with its knob set.
    """
    return digest({"trials": list(trial_ids), "step": step, "knobs": dict(knobs)})


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a user can actually run: a trained state with its knobs, its scores and its costs."""

    point_id: str
    step: int
    knobs: Mapping[str, Any] = field(default_factory=dict)
    """Inference-time knobs (exit threshold, depth, int8); empty for a plain model."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By split, then by score name: {"validation": {"accuracy": 0.8}}."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """By split: how many rows the scores are computed on."""
    infer_flops: float | None = None
    """Expected FLOPs per text at the evaluation lengths [FLOP]."""
    params: int | None = None
    params_trained: int | None = None
    bytes: int | None = None
    """Stored size of the model [bytes]."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """latency_ms, tokenise_ms, throughput, peak_memory: only what was measured alone."""
    exits: Sequence[float] = field(default_factory=list)
    """Share of the validation rows that leave at each exit; empty for a model without exits."""
    label: str = ""
    """Its own knobs in the method's words, as `leaves at confidence 0.85`; empty for a plain model
    and in records of versions that wrote none: `raysearch.outputs.described` reads both."""
    curve: str = ""
    """The sweep of one trained model that it belongs to; empty for a point alone."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, absent values left out."""
        out: dict[str, Any] = {"point_id": self.point_id, "step": self.step}
        for name in ("knobs", "scores", "rows", "measured"):
            if getattr(self, name):
                out[name] = dict(getattr(self, name))
        if self.exits:
            out["exits"] = list(self.exits)
        for name in ("label", "curve"):
            if getattr(self, name):
                out[name] = getattr(self, name)
        for name in ("infer_flops", "params", "params_trained", "bytes"):
            if getattr(self, name) is not None:
                out[name] = getattr(self, name)
        return out


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """The record of one trial."""

    id: str
    config: TrialConfig
    status: str
    hyper: Mapping[str, Any] = field(default_factory=dict)
    """All knobs of the method as they were, defaults included."""
    phase: str = "search"
    """Phase of the study: search or confirm."""
    step: int = 0
    points: tuple[OperatingPoint, ...] = ()
    bill: tuple[Charge, ...] = ()
    labels_used: int = 0
    """Distinct labelled examples: training, selection and calibration, own and inherited."""
    unlabelled_used: int = 0
    synthetic_used: int = 0
    score: str = ""
    """Name of the task's main score."""
    maximise: bool = True
    error: str | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)
    """Versions, device, host, precision, concurrency at the time, and when."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Facts of the method about its trained state; empty for most."""

    @property
    def answered_by(self) -> tuple[TrialConfig, ...]:
        """Return the inputs whose outputs the trial was trained on: its bill names them."""
        payers = {c.payer for c in self.bill if c.phase in ANSWERS}
        return tuple(c for c in self.config.upstream.values() if c.id in payers)

    def to_json(self) -> dict[str, Any]:
        """Return one event of records.jsonl as plain JSON."""
        book = Ledger()
        for c in self.bill:
            book.inherit([c], c.payer)
        out: dict[str, Any] = {
            "schema": SCHEMA,
            "event": "trial",
            "id": self.id,
            "config": self.config.to_json(),
            "hyper": dict(self.hyper),
            "phase": self.phase,
            "status": self.status,
            "step": self.step,
            "score": self.score,
            "maximise": self.maximise,
            "points": [p.to_json() for p in self.points],
            "bill": book.to_json(),
            "labels_used": self.labels_used,
            "unlabelled_used": self.unlabelled_used,
            "synthetic_used": self.synthetic_used,
            "made_by": dict(self.made_by),
        }
        if self.facts:
            out["facts"] = dict(self.facts)
        if self.error is not None:
            out["error"] = self.error
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrialRecord:
        """Read one `trial` event."""
        return cls(
            id=value["id"],
            config=TrialConfig.from_json(value["config"]),
            status=value["status"],
            hyper=value.get("hyper", {}),
            phase=value.get("phase", "search"),
            step=value.get("step", 0),
            points=tuple(OperatingPoint(**p) for p in value.get("points", ())),
            bill=tuple(Ledger.from_json(list(value.get("bill", ()))).bill()),
            labels_used=value.get("labels_used", 0),
            unlabelled_used=value.get("unlabelled_used", 0),
            synthetic_used=value.get("synthetic_used", 0),
            score=value.get("score", ""),
            maximise=value.get("maximise", True),
            error=value.get("error"),
            made_by=value.get("made_by", {}),
            facts=value.get("facts", {}),
        )


@dataclass(frozen=True, slots=True)
class Outside:
    """The scores of another system: predictions of the run's test rows, made elsewhere."""

    name: str
    """What its user calls it; inert text."""
    key: str
    """Of its predictions in the Store (kind `outside`)."""
    scores: Mapping[str, Mapping[str, float]]
    """By split (test alone), then by score name."""
    rows: int
    score: str = ""
    """Name of the task's main score."""
    interval: tuple[float, float] | None = None
    """95 % interval of the main score, over the test rows alone."""
    labels: int | None = None
    """Labelled examples it has used; None where unknown, 0 where none."""
    ms: float | None = None
    """Time per text [ms], as given by its user."""
    dollars_per_1k: float | None = None
    """Price of 1,000 texts [dollars], as given by its user."""
    point: str = ""
    """Of a zero-shot model of the run itself, which stands beside the choice like these: its point,
    whose logits are its predictions. Never in an event."""

    @property
    def value(self) -> float:
        """Return the main score on test."""
        return float(self.scores["test"][self.score])

    def to_json(self) -> dict[str, Any]:
        """Return one event of records.jsonl as plain JSON, absent values left out."""
        out: dict[str, Any] = {
            "schema": SCHEMA,
            "event": "outside",
            "name": self.name,
            "key": self.key,
            "scores": {split: dict(of) for split, of in self.scores.items()},
            "rows": self.rows,
            "score": self.score,
        }
        if self.interval is not None:
            out["interval"] = list(self.interval)
        for name in ("labels", "ms", "dollars_per_1k"):
            if getattr(self, name) is not None:
                out[name] = getattr(self, name)
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outside:
        """Read one `outside` event."""
        ends = value.get("interval")
        out = cls(
            str(value["name"]),
            str(value["key"]),
            value["scores"],
            int(value["rows"]),
            str(value["score"]),
            None if ends is None else (float(ends[0]), float(ends[1])),
            value.get("labels"),
            value.get("ms"),
            value.get("dollars_per_1k"),
        )
        float(out.value)  # an event without its main score is not whole
        return out


def held_gpus(record: TrialRecord) -> float:
    """Return the GPUs that a trial held.

    A part of one where several shared it, 0 on the CPU.
    """
    if not str(record.made_by.get("device", "cpu")).startswith("cuda"):
        return 0.0
    return float(record.made_by.get("gpus", 1.0))


def score_event(
    trial_id: str, point: str, split: str, rows: int, scores: Mapping[str, float]
) -> dict[str, Any]:
    """Return the event for a point's scores on a further split."""
    return {
        "schema": SCHEMA,
        "event": "score",
        "id": trial_id,
        "point_id": point,
        "split": split,
        "rows": rows,
        "scores": dict(scores),
    }


def measure_event(trial_id: str, point: str, measured: Mapping[str, float]) -> dict[str, Any]:
    """Return the event for a point's measured times, taken alone on the device."""
    return {
        "schema": SCHEMA,
        "event": "measure",
        "id": trial_id,
        "point_id": point,
        "measured": dict(measured),
    }
