"""TrialConfig: one trial as one value with one id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

Scalar: TypeAlias = bool | int | float | str

ID_LENGTH = 16  # hex digits: 64 bits, about 1e-8 odds of one collision among 1e6 trials


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN.

    >>> canonical({"b": 1.5, "a": [True, None]})
    '{"a":[true,null],"b":1.5}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True
    )


def digest(value: Any) -> str:
    """Return the id of a JSON value: the first 16 hex digits of SHA-256 over its canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True, slots=True)
class DataBudget:
    """How many examples a trial may see; the first n of a larger budget are the smaller one."""

    train: int
    """Labelled training examples [rows]; the requested label budget."""
    validation: int = 0
    """Labelled rows that early stopping and score_validation may see [rows]."""
    unlabelled: int = 0
    """Rows of the unlabelled pool [rows]."""
    seed: int = 0
    """Which interleaved per-class order the prefixes are taken from."""
    folds: int = 0
    """Cross-fitting: seed s > 0 holds out fold (s - 1) % folds as its test; 0: the own splits."""


@dataclass(frozen=True, slots=True)
class ArtifactConfig:
    """An input that no trial makes: a corpus of texts, a cloze question."""

    name: str
    """What kind of thing it is, as `corpus` or `question`: never a path or a user's name for it."""
    digest: str
    """16 hex digits over its contents."""

    def with_seed(self, seed: int, folds: int = 0) -> ArtifactConfig:
        """Return the artifact itself: nothing in it depends on a seed."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; the key `artifact` distinguishes it from a trial."""
        return {"artifact": self.name, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class TrialConfig:
    """Everything that decides what a trial computes, and nothing that does not.

    No path, no host name, no time. The id hashes the canonical JSON with fields at their default
    left out, so that a field added later changes no old id.
    """

    task: str
    """Name of the task, for people; what is hashed of the data is `splits`."""
    splits: str
    """Digest over the texts and labels of all splits after dropping duplicates."""
    method: str
    rung: str
    """Name of the model size in the ladder."""
    data: DataBudget
    weights: str = ""
    """Digest of the rung's starting weights; empty for rungs that have none."""
    hyper: Mapping[str, Scalar] = field(default_factory=dict)
    """The method's knobs that differ from their default."""
    init_seed: int = 0
    precision: str = "fp32"
    """Resolved: fp32 or bf16, never auto."""
    horizon: int = 0
    """Length of the schedule [optimiser steps]; 0 where the method has none."""
    behaviour: int = 1
    """The method's behaviour version: raised when the same knobs mean another computation."""
    inputs: Mapping[str, TrialConfig | ArtifactConfig] = field(default_factory=dict)
    """Teacher, pool, generator, starting checkpoint, whole and recursive, by role."""

    @property
    def id(self) -> str:
        """Return the trial's id: 16 hex digits."""
        return digest(self.to_json())

    @property
    def upstream(self) -> Mapping[str, TrialConfig]:
        """Return the trials that must have run before this one, by role, roles in order."""
        pairs = ((role, self.inputs[role]) for role in sorted(self.inputs))
        return {role: c for role, c in pairs if isinstance(c, TrialConfig)}

    @property
    def method_chain(self) -> str:
        """Return the method and its inputs' methods: `distill from prompt`.

        Several inputs are named by their roles: `student from lm (generator) and finetune
        (teacher)`.
        """
        chains = {role: c.method_chain for role, c in self.upstream.items()}
        if len(chains) > 1:
            return f"{self.method} from " + " and ".join(f"{c} ({r})" for r, c in chains.items())
        return " from ".join([self.method, *chains.values()])

    @property
    def seedless_id(self) -> str:
        """Return an id that all replicates of one configuration share.

        It is the id with every seed at 0.
        """
        return self.with_seed(0).id

    def with_seed(self, seed: int, folds: int = 0) -> TrialConfig:
        """Return the same configuration on another draw of data and initialisation.

        Seed 0 is the search's. Inputs get the same seed, so that a replicate is fresh throughout.
        The schedule's length stays: it follows from the budget alone.
        """
        return replace(
            self,
            data=replace(self.data, seed=seed, folds=folds),
            init_seed=seed,
            inputs={role: c.with_seed(seed, folds) for role, c in self.inputs.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON with the fields at their default left out."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "data":
                kept = {
                    g.name: getattr(value, g.name)
                    for g in fields(value)
                    if g.name == "train" or getattr(value, g.name) != g.default
                }
                out["data"] = kept
            elif f.name == "inputs":
                if value:
                    out["inputs"] = {role: value[role].to_json() for role in sorted(value)}
            elif f.name == "hyper":
                if value:
                    out["hyper"] = {k: value[k] for k in sorted(value)}
            elif value != f.default:
                out[f.name] = value
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrialConfig:
        """Read what `to_json` wrote; KeyError or TypeError for a missing or an unknown key."""
        rest = dict(value)
        data = DataBudget(**rest.pop("data"))
        inputs = {role: _input(v) for role, v in rest.pop("inputs", {}).items()}
        return cls(data=data, inputs=inputs, **rest)


def _input(value: Mapping[str, Any]) -> TrialConfig | ArtifactConfig:
    if "artifact" in value:
        return ArtifactConfig(value["artifact"], value["digest"])
    return TrialConfig.from_json(value)
