"""A study: what to search, how long, and how to judge. Data only; `study.yaml` is one as run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from raysearch.config.option import Option
from raysearch.config.option_values import read_price, read_total, read_whole
from raysearch.config.strict import Strict, Value, load_yaml, parse

SEARCHERS = ("tpe", "random", "nsga2", "grid")
PRECISIONS = ("auto", "fp32", "bf16")
LARGEST = "largest"
"""Stands for a model's name: the largest that takes part."""

LABELS = (32, 100, 320, 1000)
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


Price = Annotated[float, Field(ge=0)]


class Prices(Strict):
    """Dollars."""

    cpu_hour: Annotated[
        Price | None,
        Option(
            "Dollars of an hour of the CPU.",
            "X",
            section="prices",
            name="price_per_cpu_hour",
            parse=read_price,
        ),
    ] = None
    gpu_hour: Annotated[
        Price | None,
        Option(
            "Dollars of an hour of one GPU.",
            "X",
            section="prices",
            name="price_per_gpu_hour",
            parse=read_price,
        ),
    ] = None
    label: Annotated[
        Price | None,
        Option(
            "Dollars of one label.",
            "X",
            section="prices",
            name="price_per_label",
            parse=read_price,
        ),
    ] = None


class GridCell(Strict):
    """One line of a crossing: a method at a fixed recipe."""

    method: str
    hyper: dict[str, Value] = {}
    """Knobs that differ from the method's first knob set."""
    model: str | tuple[str, ...] | None = None
    """A model's name, a list of them, or `largest` of those that take part. None: every model; of
    an input, which has one, the largest. Where the study names no models, those named here take
    part whatever ladder they stand in."""
    inputs: dict[str, GridCell] = {}
    """What makes its inputs, by role; in YAML and JSON each stands under its role: `teacher:`."""

    @model_validator(mode="before")
    @classmethod
    def _roles(cls, value: object) -> object:
        """Gather the inputs, which are under their roles."""
        if not isinstance(value, Mapping):
            return value
        own = {k: v for k, v in value.items() if k in cls.model_fields}
        roles = {k: v for k, v in value.items() if k not in own}
        if not all(isinstance(v, Mapping | GridCell) for v in roles.values()):
            return value  # the unknown key is refused by name
        return {**own, "inputs": {**own.get("inputs", {}), **roles}}

    @model_serializer(mode="wrap")
    def _under_roles(self, plain: SerializerFunctionWrapHandler) -> dict[str, object]:
        out = plain(self)
        return {**{k: v for k, v in out.items() if k != "inputs"}, **out.get("inputs", {})}

    @property
    def named(self) -> tuple[str, ...]:
        """Return the models that the procedure names.

        >>> GridCell(method="dan", model="dan-10k").named, GridCell(method="dan").named
        (('dan-10k',), ())
        """
        several = (self.model,) if isinstance(self.model, str) else self.model or ()
        return tuple(name for name in several if name != LARGEST)

    @field_validator("model", mode="before")
    @classmethod
    def _model(cls, value: object) -> object:
        if value is None or isinstance(value, str):
            return value
        names = value if isinstance(value, list | tuple) else ()
        whole = names and all(isinstance(n, str) and n != LARGEST for n in names)
        if not whole or len(set(names)) != len(names):
            raise ValueError(f"must be a model's name, a list of distinct names, or {LARGEST}")
        return tuple(names)

    @field_validator("inputs")
    @classmethod
    def _one_model(cls, value: dict[str, GridCell]) -> dict[str, GridCell]:
        for role, line in value.items():
            if isinstance(line.model, tuple):
                raise ValueError(f"{role}.model: an input has one model, not a list")
        return value


class Study(Strict):
    """The plan of one search. What is None is fitted to the task and the machine.

    A field with an `Option` can be set on the command line and over HTTP too.
    """

    name: str
    tldr: str = ""
    task: str = ""
    """Filled in when the study runs."""
    methods: Annotated[
        tuple[str, ...] | None, Option("Only these methods; +X adds to a run's.", "A,B")
    ] = None
    """None: every method that has a space and fits the task."""
    models: Annotated[
        tuple[str, ...] | None, Option("Only these model sizes (ls models).", "A,B")
    ] = None
    """None: every rung of the task's ladder that fits the machine."""
    labels: Annotated[tuple[Count, ...], Option("Label budgets, as 32,100,1000.", "N,N")] = LABELS
    """Label budgets [rows]: a grid axis, stratified by the searcher."""
    trials: Annotated[
        Count,
        Option(
            "Trials in all; +N adds to a run's.",
            "N|+N",
            parse=read_total,
            body=Annotated[int, Field(gt=0, le=100_000)],
        ),
    ] = 24
    """Trials to run, parked and extended ones included."""
    draws: Annotated[
        int,
        Field(ge=0),
        Option(
            "Confirm the best on K fresh draws; 0: do not.",
            "K",
            body=Annotated[int, Field(ge=0, le=100)],
        ),
    ] = 5
    """Fresh draws of data and initialisation that each candidate is confirmed on after the search;
    0: none. Below 3 there is no interval."""
    procedures: tuple[GridCell, ...] = ()
    """A grid study: each of these with every model and label budget, on `draws` draws each, instead
    of a search. An input has the label budget of the trial that takes it."""
    pool: Annotated[
        str | None,
        Option("Texts for students; else the task's own unlabelled.", "NAME|FILE", section="data"),
    ] = None
    """Texts that teachers answer for their students: a corpus's name or a file; None: the task's
    unlabelled split, or its unused training texts."""
    pool_lines: Annotated[
        bool, Option("Each line of the pool's texts is a text.", section="data")
    ] = False
    """Whether each line of the pool's texts is a text: an encyclopedia's articles as paragraphs."""
    searcher: Annotated[str, Option("tpe, random, nsga2 or grid.", "NAME")] = "tpe"
    seed: Annotated[
        int,
        Option(
            "Seed of the search and of own data's splits.",
            "N",
            body=Annotated[int, Field(ge=0, lt=2**31)],
        ),
    ] = 0
    stratify: tuple[Literal["methods", "models"], ...] = ("methods", "models")
    """Axes that get equal shares of the trials, as label budgets always do; `models` cannot stand
    without `methods`. Empty: after the first third of the trials the searcher is free."""
    objectives: tuple[str, ...] = ("score", "train_flops_full", "infer_flops")
    precision: Annotated[
        str, Option("What matrix products run in.", "auto|fp32|bf16", section="machine")
    ] = "auto"
    concurrency: Annotated[
        Count | None,
        Option(
            "Trials at once.",
            "N",
            section="machine",
            body=Annotated[int, Field(gt=0, le=10_000)],
        ),
    ] = None
    """Trials at once; None: fitted to the machine."""
    hours: Annotated[
        Positive | None, Option("Stop after this wall time.", "H", section="limits")
    ] = None
    gpu_hours: Annotated[
        Positive | None, Option("Stop after this GPU time.", "H", section="limits")
    ] = None
    flops: Annotated[
        Positive | None, Option("Stop after this many FLOPs.", "X", section="limits")
    ] = None
    dollars: Annotated[
        Positive | None, Option("Stop at this cost (needs prices).", "X", section="limits")
    ] = None
    shared_by: Annotated[
        Count,
        Option(
            "Students that share a teacher's bill.  [the study's: 8]",
            "K",
            section="sharing",
            name="share_teacher",
            parse=read_whole,
        ),
    ] = 8
    """Students that share an inherited bill in `train_flops_shared`."""
    prices: Prices = Prices()
    """A price that is not given leaves the costs it feeds absent."""
    trial_minutes: Positive | None = None
    """A rung whose dearest trial is predicted to take longer does not fit the machine [min]."""

    @model_validator(mode="after")
    def _lines(self) -> Study:
        if self.pool_lines and self.pool is None:
            raise ValueError("pool_lines: there is no pool; name one")
        return self

    @field_validator("searcher")
    @classmethod
    def _searcher(cls, value: str) -> str:
        if value not in SEARCHERS:
            raise ValueError(f"no searcher '{value}'. Known: {', '.join(SEARCHERS)}")
        return value

    @field_validator("objectives")
    @classmethod
    def _objectives(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value) or not value:
            raise ValueError("objectives must be a list of distinct names")
        return value

    @field_validator("stratify")
    @classmethod
    def _stratify(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "models" in value and "methods" not in value:
            raise ValueError("models cannot be stratified without methods")
        return value

    @model_validator(mode="after")
    def _grid(self) -> Study:
        if self.procedures and self.searcher != "grid":
            raise ValueError("procedures: are for searcher grid alone")
        return self

    @field_validator("precision")
    @classmethod
    def _precision(cls, value: str) -> str:
        if value not in PRECISIONS:
            raise ValueError(f"no precision '{value}'. Known: {', '.join(PRECISIONS)}")
        return value

    @field_validator("labels")
    @classmethod
    def _labels(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("label budgets must be a list of distinct numbers")
        return tuple(sorted(value))


def load_study(path: Path) -> Study:
    """Read a study file; InputError names the file, the key and what may stand there."""
    return parse(Study, load_yaml(path), path.name)
