"""Search spaces: which methods, sizes, label budgets and knobs a study may try. Data only.

`search_spaces/<method>.yaml` holds one method's knobs; keys follow Ray Tune's names, with Tune's
meaning: `randint` and `lograndint` leave their upper end out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationInfo, field_validator, model_validator

from raysearch.config.strict import Strict, Value, load_yaml, parse
from raysearch.config.trial import Scalar
from raysearch.errors import InputError, no_name

NONE = "none"
"""Candidate of a role that means: without that input."""

KINDS = ("choice", "uniform", "loguniform", "randint", "lograndint")


@dataclass(frozen=True, slots=True)
class Domain:
    """The values one knob may take."""

    kind: str
    options: tuple[Scalar, ...] = ()
    """The values of a choice."""
    low: float = 0.0
    high: float = 0.0
    """Upper end; not taken itself by randint and lograndint."""

    def holds(self, value: Scalar) -> bool:
        """Return True if `value` is in the domain."""
        if self.kind == "choice":
            return value in self.options
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.kind in ("randint", "lograndint"):
            return float(value).is_integer() and self.low <= value < self.high
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class MethodSpace:
    """One method's knobs, and the knob set its first trials use."""

    method: str
    knobs: Mapping[str, Domain] = field(default_factory=dict)
    default_config: Mapping[str, Scalar] = field(default_factory=dict)
    """A cheap and sensible knob set; the study's first trials of this method run it."""
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By role: the methods or stages that may make this input, the usual one first; `none` stands
    for going without."""
    baseline: str = ""
    """What pages call it where every other is compared with it; empty for most methods."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The joint space: method, then its model sizes and its knobs; labels are an axis of all."""

    methods: Mapping[str, MethodSpace]
    rungs: Mapping[str, tuple[str, ...]]
    """By method: the model sizes it may use, cheap to dear."""
    labels: tuple[int, ...]
    """The label budgets [rows]: a grid axis, stratified by the searcher."""
    upstream: Mapping[str, MethodSpace] = field(default_factory=dict)
    """Methods and stages that may make an input of another, in the study or not, by name."""
    upstream_rungs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By such a name: the model sizes it may use, cheap to dear."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a searcher proposes; the trial's other fields follow from it and the study."""

    method: str
    rung: str
    labels: int
    hyper: Mapping[str, Scalar] = field(default_factory=dict)
    inputs: Mapping[str, Proposal] = field(default_factory=dict)
    """What other trials make for this one, whole, by role."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Proposal:
        """Read what `to_json` wrote; TypeError for an unknown key."""
        roles = {k: v for k, v in value.items() if k != "hyper" and isinstance(v, Mapping)}
        own = {k: v for k, v in value.items() if k not in roles}
        return cls(**own, inputs={role: cls.from_json(v) for role, v in roles.items()})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; each input is under its role."""
        out: dict[str, Any] = {"method": self.method, "rung": self.rung, "labels": self.labels}
        out["hyper"] = dict(self.hyper)
        return out | {role: self.inputs[role].to_json() for role in sorted(self.inputs)}


class DomainFile(Strict):
    """The values of one knob, under the name of Tune's function: `{loguniform: [1e-5, 1e-3]}`."""

    noun: ClassVar[str] = "kind"

    choice: tuple[Scalar, ...] | None = None
    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    randint: tuple[float, float] | None = None
    lograndint: tuple[float, float] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or len(value) != 1:
            raise ValueError(f"must be one of {', '.join(KINDS)}, like {{choice: [1, 2]}}")
        return value

    @field_validator("choice", mode="plain")
    @classmethod
    def _choice(cls, value: Any) -> tuple[Scalar, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError("takes a list")
        if any(not isinstance(v, bool | int | float | str) for v in value):
            raise ValueError("takes numbers, words and booleans")
        if len(set(map(repr, value))) != len(value):
            raise ValueError("lists a value twice")
        return tuple(value)

    @field_validator(*KINDS[1:], mode="plain")
    @classmethod
    def _range(cls, value: Any, info: ValidationInfo) -> tuple[float, float]:
        kind = str(info.field_name)
        numbers = isinstance(value, list) and [type(v) for v in value if type(v) in (int, float)]
        if not numbers or len(value) != 2 or len(numbers) != 2:
            raise ValueError("takes [low, high]")
        low, high = value
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("must be finite")
        if not low < high:
            raise ValueError("is reversed or empty: low must be below high")
        if kind.startswith("log") and low <= 0:
            raise ValueError("a log range must start above 0")
        if kind.endswith("randint") and not (float(low).is_integer() and float(high).is_integer()):
            raise ValueError("takes whole numbers")
        return low, high

    def domain(self) -> Domain:
        """Return the domain of this entry."""
        (kind,) = self.model_fields_set
        if kind == "choice":
            return Domain(kind, options=self.choice or ())
        low, high = getattr(self, kind)
        return Domain(kind, low=low, high=high)


class MethodSpaceFile(Strict):
    """One `search_spaces/<method>.yaml`."""

    method: str
    knobs: dict[str, DomainFile] = {}
    first: dict[str, Value] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    baseline: str = ""

    @field_validator("knobs", "first", "inputs", mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        """Return an empty mapping for a key without a value."""
        return {} if value is None else value

    @model_validator(mode="after")
    def _whole(self) -> MethodSpaceFile:
        for knob, chosen in self.first.items():
            if knob not in self.knobs:
                raise ValueError(f"first: {no_name('knob', knob, self.knobs)}")
            if not self.knobs[knob].domain().holds(chosen):
                raise ValueError(f"first.{knob}: {chosen!r} lies outside the knob's range")
        missing = [k for k in self.knobs if k not in self.first]
        if missing:
            raise ValueError(f"first lacks '{missing[0]}': it must name every knob")
        return self


def domain(value: Any, where: str) -> Domain:
    """Read `{loguniform: [1e-5, 1e-3]}`; InputError for unknown kinds and impossible ranges."""
    return parse(DomainFile, value, where).domain()


def load_method_space(path: Path) -> MethodSpace:
    """Read one `search_spaces/<method>.yaml`; its name must be the file's name."""
    file = parse(MethodSpaceFile, load_yaml(path), path.name)
    if file.method != path.stem:
        raise InputError(
            f"{path.name}: method is {file.method!r}, must be the file's name '{path.stem}'"
        )
    knobs = {name: knob.domain() for name, knob in file.knobs.items()}
    return MethodSpace(file.method, knobs, file.first, file.inputs, file.baseline)
