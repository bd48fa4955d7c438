"""The catalogs: tasks, rungs, search spaces and studies by name. Data only."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from raysearch import scores
from raysearch.config.ladder import FAMILIES, ModelSize
from raysearch.config.places import shipped
from raysearch.config.space import MethodSpace, load_method_space
from raysearch.config.strict import Strict, load_yaml, parse
from raysearch.config.study import Study, load_study
from raysearch.config.task import Task
from raysearch.errors import unknown

SPLITS = ("train", "validation", "test", "unlabelled")
"""The splits a task may name."""

_HERE = Path(__file__).resolve().parent

Words = Annotated[tuple[str, ...], Field(min_length=1)]


def find_task(name: str) -> Task:
    """Return the task of that name; InputError with the nearest name otherwise."""
    known = tasks()
    if name not in known:
        raise unknown("tasks.yaml", "task", name, known)
    return known[name]


def find_rung(name: str) -> ModelSize:
    """Return the rung of that name; InputError with the nearest name otherwise."""
    known = ladder()
    if name not in known:
        raise unknown("ladder.yaml", "rung", name, known)
    return known[name]


def find_study(name_or_path: str) -> Study:
    """Return a shipped study by name, or the study in a .yaml file."""
    if name_or_path.endswith((".yaml", ".yml")):
        return load_study(Path(name_or_path))
    known = studies()
    if name_or_path not in known:
        raise unknown("search_spaces/studies", "study", name_or_path, known)
    return load_study(known[name_or_path])


def tasks() -> dict[str, Task]:
    """Return every task of tasks.yaml by name, in the order of the file."""
    return dict(_tasks(_HERE / "tasks.yaml"))


def ladder() -> dict[str, ModelSize]:
    """Return every rung of ladder.yaml by name, cheap to dear within a family."""
    return dict(_ladder(_HERE / "ladder.yaml"))


def method_spaces() -> dict[str, MethodSpace]:
    """Return every method's search space by the method's name."""
    return dict(_spaces(shipped("search_spaces")))


def baseline_methods() -> dict[str, str]:
    """Return the methods that every other is compared with, and what pages call them."""
    return {name: s.baseline for name, s in method_spaces().items() if s.baseline}


def studies() -> dict[str, Path]:
    """Return the files of the shipped studies by name."""
    return {p.stem: p for p in sorted((shipped("search_spaces") / "studies").glob("*.yaml"))}


def task_to_json(task: Task) -> dict[str, Any]:
    """Return plain JSON with the fields at their default left out."""
    out: dict[str, Any] = {}
    for f in dataclasses.fields(Task):
        value = getattr(task, f.name)
        if f.default_factory is not dataclasses.MISSING:
            default: Any = f.default_factory()
        else:
            default = f.default
        if value != default:
            out[f.name] = _plain(value)
    return out


def task_from_json(value: Mapping[str, Any]) -> Task:
    """Read what `task_to_json` wrote; InputError for an unknown or missing field."""
    return _task(parse(_TaskFile, value, "task"))


class _Entry(Strict):
    """One entry of tasks.yaml; the fields are those of Task."""

    source: str = ""
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    group: str | None = None
    label_names: tuple[str, ...] = ()
    splits: dict[str, str] = {}
    score: str = scores.DEFAULT
    folder: str = ""
    templates: tuple[str, ...] = ()
    words: dict[str, Words] = {}
    max_length: Annotated[int, Field(ge=8, le=8192)] = 128
    seed: int = 0
    citation: str = ""
    ladder: str = "default"

    @model_validator(mode="after")
    def _whole(self) -> _Entry:
        if self.score not in scores.main_scores():
            known = ", ".join(scores.main_scores())
            raise ValueError(f"score: no score '{self.score}'. Known: {known}")
        number = scores.get(self.score).kind == scores.NUMBERS
        if number and self.label_names:
            raise ValueError(f"label_names: a regression task (score {self.score}) has none")
        if not number and len(set(self.label_names)) < 2:
            raise ValueError("label_names: must name at least two classes, each once")
        if why := scores.unsuitable_reason(self.score, len(self.label_names)):
            raise ValueError(f"score: {why}")
        if len(set(self.label_names)) != len(self.label_names):
            raise ValueError("label_names: lists a name twice")
        for name in self.splits:
            if name not in SPLITS:
                raise ValueError(f"splits: no split '{name}'. Known: {', '.join(SPLITS)}")
        wanted = {"mask", "text"} | ({"pair"} if self.text_pair else set())
        for template in self.templates:
            if sorted(_fields(template)) != sorted(wanted):
                raise ValueError(f"templates: must hold each of {sorted(wanted)} once: {template}")
        if self.words and set(self.words) != set(self.label_names):
            raise ValueError("words: must name every class of label_names and no other")
        return self


class _TaskFile(_Entry):
    """A task with its name, as it is sent to a worker."""

    name: str


NEEDED = {
    "ngram": ("buckets",),
    "dan": ("buckets", "hidden", "params"),
    "encoder": ("layers", "hidden", "intermediate", "vocabulary", "params"),
}
"""Keys that a rung of each family must have."""


class _Step(Strict):
    """One entry of ladder.yaml; the fields are those of Rung."""

    family: str
    source: str = ""
    folder: str = ""
    depth: Annotated[int, Field(gt=0)] | None = None
    buckets: Annotated[int, Field(ge=0)] = 0
    layers: Annotated[int, Field(ge=0)] = 0
    hidden: Annotated[int, Field(ge=0)] = 0
    intermediate: Annotated[int, Field(ge=0)] = 0
    vocabulary: Annotated[int, Field(ge=0)] = 0
    positions: Annotated[int, Field(ge=0)] = 512
    params: Annotated[int, Field(ge=0)] = 0
    licence: str = ""
    pretrained_on: str = ""
    ladders: Annotated[tuple[str, ...], Field(min_length=1)] = ("default",)

    @model_validator(mode="after")
    def _whole(self) -> _Step:
        if self.family not in FAMILIES:
            raise ValueError(f"family: no family '{self.family}'. Known: {', '.join(FAMILIES)}")
        for name in NEEDED[self.family]:
            if not getattr(self, name):
                raise ValueError(f"{name}: a rung of family {self.family} must say it")
        if self.family == "encoder" and not (self.source or self.folder):
            raise ValueError("source: an encoder needs a source or a folder")
        return self


@cache
def _tasks(path: Path) -> dict[str, Task]:
    entries = load_yaml(path)
    out = {}
    for name, value in entries.items():
        where = f"{path.name}: {name}"
        entry = parse(_Entry, value, where)
        out[str(name)] = _task(_TaskFile(name=str(name), **entry.model_dump()))
    return out


@cache
def _ladder(path: Path) -> dict[str, ModelSize]:
    out = {}
    for name, value in load_yaml(path).items():
        where = f"{path.name}: {name}"
        step = parse(_Step, value, where)
        out[str(name)] = ModelSize(name=str(name), **step.model_dump())
    return out


@cache
def _spaces(folder: Path) -> dict[str, MethodSpace]:
    return {p.stem: load_method_space(p) for p in sorted(folder.glob("*.yaml"))}


def _task(entry: _TaskFile) -> Task:
    return Task(**entry.model_dump())


def _fields(template: str) -> list[str]:
    try:
        parsed = [p for p in string.Formatter().parse(template) if p[1] is not None]
    except ValueError:
        return []
    return (
        [] if any(spec or turned for _, _, spec, turned in parsed) else [str(p[1]) for p in parsed]
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
