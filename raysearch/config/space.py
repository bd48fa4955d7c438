"""Search spaces: which methods, sizes, label budgets and knobs a study may try. Data only.

`search_spaces/<method>.yaml` holds one method's knobs; keys follow Ray Tune's names, with Tune's
meaning: `randint` and `lograndint` leave their upper end out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysearch.config.strict import load_yaml
from raysearch.config.trial import Scalar
from raysearch.errors import InputError, nearest

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
        """Whether `value` lies in the domain."""
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
    first: Mapping[str, Scalar] = field(default_factory=dict)
    """A cheap and sensible knob set; the study's first trials of this method run it."""
    teachers: tuple[str, ...] = ()
    """Methods that may train its teacher, the usual one first; empty where it needs none."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The joint space: method, then its model sizes and its knobs; labels are an axis of all."""

    methods: Mapping[str, MethodSpace]
    rungs: Mapping[str, tuple[str, ...]]
    """By method: the model sizes it may use, cheap to dear."""
    labels: tuple[int, ...]
    """The label budgets [rows]: a grid axis, stratified by the searcher."""
    teachers: Mapping[str, MethodSpace] = field(default_factory=dict)
    """Methods that may train a teacher, in the study or not, by name."""
    teacher_rungs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By such a method: the model sizes it may use, cheap to dear."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a searcher proposes; the trial's other fields follow from it and the study."""

    method: str
    rung: str
    labels: int
    hyper: Mapping[str, Scalar] = field(default_factory=dict)
    teacher: Proposal | None = None
    """The teacher of a method that learns from one, whole."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Proposal:
        """Read what `to_json` wrote; TypeError for an unknown key."""
        teacher = value.get("teacher")
        return cls(**{**value, "teacher": None if teacher is None else cls.from_json(teacher)})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; no teacher is no key."""
        out: dict[str, Any] = {"method": self.method, "rung": self.rung, "labels": self.labels}
        out["hyper"] = dict(self.hyper)
        if self.teacher is not None:
            out["teacher"] = self.teacher.to_json()
        return out


def domain(value: Any, where: str) -> Domain:
    """Read `{loguniform: [1e-5, 1e-3]}`; InputError for unknown kinds and impossible ranges."""
    if not isinstance(value, dict) or len(value) != 1:
        raise InputError(f"{where}: must be one of {', '.join(KINDS)}, like {{choice: [1, 2]}}")
    ((kind, args),) = value.items()
    if kind not in KINDS:
        hint = nearest(str(kind), KINDS)
        guess = f" Did you mean '{hint}'?" if hint else ""
        raise InputError(f"{where}: no kind '{kind}'.{guess} Known: {', '.join(KINDS)}")
    if not isinstance(args, list) or not args:
        raise InputError(f"{where}: {kind} takes a list, not {args!r}")
    if kind == "choice":
        if any(not isinstance(a, bool | int | float | str) for a in args):
            raise InputError(f"{where}: choice takes numbers, words and booleans, not {args!r}")
        if len(set(map(repr, args))) != len(args):
            raise InputError(f"{where}: choice lists a value twice: {args!r}")
        return Domain(kind, options=tuple(args))
    if len(args) != 2 or any(isinstance(a, bool) or not isinstance(a, int | float) for a in args):
        raise InputError(f"{where}: {kind} takes [low, high], not {args!r}")
    low, high = args
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{where}: {kind} must be finite, not {args!r}")
    if not low < high:
        raise InputError(f"{where}: range {args!r} is reversed or empty: low must be below high")
    if kind.startswith("log") and low <= 0:
        raise InputError(f"{where}: a log range must start above 0, not at {low!r}")
    if kind.endswith("randint") and not (float(low).is_integer() and float(high).is_integer()):
        raise InputError(f"{where}: {kind} takes whole numbers, not {args!r}")
    return Domain(kind, low=low, high=high)


def load_method_space(path: Path) -> MethodSpace:
    """Read one `search_spaces/<method>.yaml`; its name must be the file's name."""
    value = load_yaml(path)
    known = ("method", "knobs", "first", "teachers")
    for key in value:
        if key not in known:
            hint = nearest(str(key), known)
            guess = f" Did you mean '{hint}'?" if hint else ""
            raise InputError(f"{path.name}: no key '{key}'.{guess} Known: {', '.join(known)}")
    method = value.get("method")
    if method != path.stem:
        raise InputError(
            f"{path.name}: method is {method!r}, must be the file's name '{path.stem}'"
        )
    raw_knobs, first = value.get("knobs") or {}, value.get("first") or {}
    if not isinstance(raw_knobs, dict) or not isinstance(first, dict):
        raise InputError(f"{path.name}: knobs and first must be mappings")
    knobs = {str(k): domain(v, f"{path.name}: knobs.{k}") for k, v in raw_knobs.items()}
    for knob, chosen in first.items():
        if knob not in knobs:
            hint = nearest(str(knob), knobs)
            guess = f" Did you mean '{hint}'?" if hint else ""
            raise InputError(
                f"{path.name}: first: no knob '{knob}'.{guess} Known: {', '.join(knobs)}"
            )
        if not knobs[knob].holds(chosen):
            raise InputError(f"{path.name}: first.{knob}: {chosen!r} lies outside the knob's range")
    missing = [k for k in knobs if k not in first]
    if missing:
        raise InputError(f"{path.name}: first lacks '{missing[0]}': it must name every knob")
    teachers = value.get("teachers") or []
    if not isinstance(teachers, list) or not all(isinstance(t, str) for t in teachers):
        raise InputError(f"{path.name}: teachers must be a list of methods, not {teachers!r}")
    return MethodSpace(path.stem, knobs, first, tuple(teachers))
