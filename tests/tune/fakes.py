"""A world without models: configurations, prices and trials that sleep, fail or die on demand."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysearch.config.space import Domain, MethodSpace, Proposal, SearchSpace
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.costs.memory import MemoryEstimate
from raysearch.errors import Infeasible
from raysearch.ledger import Charge
from raysearch.record import OperatingPoint, TrialRecord, point_id, score_event
from raysearch.search.backend import TrialBackend


@dataclass(frozen=True, slots=True)
class FakePlace:
    diary: str = ""
    """File each trial writes a line to when it begins, works and ends."""
    seconds: float = 0.0
    """How long a trial works."""
    threads: int = 1
    concurrency: int = 1
    device: str = "cpu"
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class FakePrice:
    flops: float
    labels: float
    seconds: float


SIZES = {"tiny": 1.0, "small": 10.0, "base": 100.0}


def space(labels: tuple[int, ...] = (32, 100), **methods: Mapping[str, Domain]) -> SearchSpace:
    """Methods by name with their knobs; by default a cheap one and a dear one."""
    given = methods or {
        "lookup": {"k": Domain("randint", low=1, high=50)},
        "finetune": {
            "learning_rate": Domain("loguniform", low=1e-5, high=1e-2),
            "wish": Domain("choice", options=("fine",)),
        },
    }
    first: dict[str, Any] = {"k": 5, "learning_rate": 1e-3, "wish": "fine"}
    return SearchSpace(
        {
            m: MethodSpace(
                m,
                knobs,
                {
                    k: first[k] if k in first and d.holds(first[k]) else _low(d)
                    for k, d in knobs.items()
                },
            )
            for m, knobs in given.items()
        },
        {m: tuple(SIZES) for m in given},
        labels,
    )


def taught_space(
    labels: tuple[int, ...] = (32,),
    *,
    wish: tuple[str, ...] = ("fine",),
    teachers: tuple[str, ...] = ("finetune",),
    rungs: tuple[str, ...] = tuple(SIZES),
    outside: bool = True,
) -> SearchSpace:
    """A cheap method, and `kd`, a student of others; these are in the study too unless `outside`.

    `assist` may be among its teachers: it has a teacher itself, of method `finetune`.
    """
    student = {"alpha": Domain("uniform", low=0, high=1)}
    knobs = {"learning_rate": Domain("loguniform", low=1e-5, high=1e-2)}
    wishes = {"wish": Domain("choice", options=wish)}
    first = {"learning_rate": 1e-3, "wish": wish[0]}
    others = {
        "finetune": MethodSpace("finetune", {**knobs, **wishes}, first),
        "tapt": MethodSpace("tapt", knobs, {"learning_rate": 1e-3}),
        "assist": MethodSpace("assist", student, {"alpha": 0.25}, {"teacher": ("finetune",)}),
    }
    kd = MethodSpace("kd", student, {"alpha": 0.5}, {"teacher": teachers})
    cheap = MethodSpace("lookup", {"k": Domain("randint", low=1, high=500)}, {"k": 5})
    inside = {} if outside else {m: others[m] for m in teachers}
    methods = {"lookup": cheap, "kd": kd, **inside}
    may = {m: others[m] for m in dict.fromkeys((*teachers, "finetune"))}
    return SearchSpace(
        methods, dict.fromkeys(methods, rungs), labels, may, dict.fromkeys(may, rungs)
    )


def _low(domain: Domain) -> Any:
    return domain.options[0] if domain.kind == "choice" else domain.low


@dataclass
class FakeWorld:
    space: SearchSpace
    place: FakePlace = field(default_factory=FakePlace)
    kept: list[set[str]] = field(default_factory=list)
    crossed: tuple[Proposal, ...] = ()
    needs: dict[tuple[str, str], MemoryEstimate] = field(default_factory=dict)

    def configure(self, proposal: Proposal) -> TrialConfig:
        if proposal.hyper.get("wish") == "unfit":
            raise Infeasible("does not fit")
        of = self.space.methods.get(proposal.method) or self.space.upstream[proposal.method]
        assert bool(of.inputs) == ("teacher" in proposal.inputs), proposal
        teacher = proposal.inputs.get("teacher")
        return TrialConfig(
            "fake",
            "digest",
            proposal.method,
            proposal.rung,
            DataBudget(proposal.labels, proposal.labels),
            hyper=proposal.hyper,
            inputs={} if teacher is None else {"teacher": self.configure(teacher)},
        )

    def predicted_cost(self, config: TrialConfig) -> FakePrice:
        return FakePrice(cost(config), config.data.train, 1.0)

    def crossing(self) -> tuple[Proposal, ...]:
        return self.crossed

    def keep(self, ids: Set[str]) -> None:
        self.kept.append(set(ids))

    def demands(self) -> dict[tuple[str, str], MemoryEstimate]:
        return self.needs

    def ship(self) -> FakePlace:
        return self.place

    def fetch(self) -> None:
        pass


def cost(config: TrialConfig) -> float:
    dear = 1.0 if config.method == "lookup" else 50.0
    return 1e6 * dear * SIZES[config.rung] * config.data.train


def quality(config: TrialConfig) -> float:
    """Larger models, more labels and a learning rate near 1e-3 are better."""
    rate = float(config.hyper.get("learning_rate", 3e-5))
    knob = 1.0 - abs(math.log10(rate) + 3) / 4
    return 0.5 + 0.1 * knob + 0.05 * math.log10(SIZES[config.rung] * config.data.train)


class FakeTrial:
    """Behaves as its `wish` knob says."""

    def __init__(self, config: TrialConfig, place: FakePlace, phase: str) -> None:
        self.config, self.place, self.phase = config, place, phase
        self.steps = 0
        self.wish = str(config.hyper.get("wish", "fine"))
        self._note("open")
        if self.wish == "unfit_late":
            raise Infeasible("does not fit this device")

    def _note(self, what: str) -> None:
        if self.place.diary:
            line = {"id": self.config.id, "what": what, "pid": os.getpid(), "at": time.time()}
            line |= {"device": self.place.device, "gpus": self.place.gpus}
            with open(self.place.diary, "a", encoding="utf-8") as f:
                f.write(json.dumps({**line, "step": self.steps}) + "\n")

    def step(self, seconds: float = 1.0) -> bool:
        match self.wish:
            case "raise":
                raise ValueError("a wish came true\nsecond line")
            case "memory":
                raise MemoryError
            case "exit":
                raise SystemExit(3)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "die_later":
                marker = Path(f"{self.place.diary}.{self.config.id}")
                if self.steps == 5 and not marker.exists():
                    marker.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        if self.place.seconds:
            time.sleep(min(0.1, self.place.seconds))
        self.steps += 1
        return self.steps * 0.1 < self.place.seconds

    def progress(self) -> dict[str, float]:
        return {"step": float(self.steps), "score": 0.5}

    def save(self, folder: Path) -> None:
        (folder / "state.json").write_text(json.dumps({"steps": self.steps}))
        self._note("save")

    def load(self, folder: Path) -> None:
        self.steps = int(json.loads((folder / "state.json").read_text())["steps"])
        self._note("load")

    def record(self) -> TrialRecord:
        self._note("done")
        score = quality(self.config)
        if self.wish == "nan":
            return failed(self.config, self.place, self.phase, "FAILED", "loss is NaN", {})
        if self.wish == "nan_score":
            score = math.nan
        point = OperatingPoint(
            point_id([self.config.id], self.steps, {}),
            self.steps,
            scores={"validation": {"accuracy": score}},
            rows={"validation": self.config.data.validation},
            infer_flops=1e3 * SIZES[self.config.rung],
        )
        return TrialRecord(
            self.config.id,
            self.config,
            "DONE",
            hyper=self.config.hyper,
            phase=self.phase,
            step=self.steps,
            points=(point,),
            bill=(Charge("train", "own", flops=int(cost(self.config)), seconds=0.5),),
            labels_used=self.config.data.train,
            score="accuracy",
            made_by={"device": "cpu"},
        )

    def close(self) -> None:
        self._note("close")


def failed(
    config: TrialConfig,
    place: FakePlace,
    phase: str,
    status: str,
    error: str,
    hyper: Mapping[str, Any],
) -> TrialRecord:
    return TrialRecord(
        config.id,
        config,
        status,
        hyper=hyper or config.hyper,
        phase=phase,
        error=error,
        score="accuracy",
    )


def score(
    config: TrialConfig, place: FakePlace, points: Sequence[OperatingPoint], split: str
) -> list[dict[str, Any]]:
    reached = {"accuracy": quality(config) - 0.01}
    return [score_event(config.id, p.point_id, split, 100, reached) for p in points]


KIT = TrialBackend(FakeTrial, failed, score)


def diary(path: Path) -> list[dict[str, Any]]:
    """What the trials noted, in order."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
