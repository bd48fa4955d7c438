"""The protocols of a method (a description) and of a learner (which trains and predicts)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from raysearch.config.ladder import ModelSize
from raysearch.config.task import Task
from raysearch.data.rows import Logits, Rows
from raysearch.ledger import Ledger
from raysearch.outputs.points import PointWords, RawOutputs, plain_words
from raysearch.storage.store import State

if TYPE_CHECKING:
    import torch

    from raysearch.encoders.cloze import MaskedHead
    from raysearch.encoders.models import Encoder
    from raysearch.encoders.tokens import Tokeniser
    from raysearch.training.graph import Graph


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prompt:
    """Cloze patterns and label words of a task, for methods that prompt."""

    templates: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    """By class name, in the order of the class ids."""


@runtime_checkable
class LogitsSource(Protocol):
    """A trained model whose outputs another learns from; they are charged before they are read."""

    def logits(self, rows: Rows) -> Logits:
        """Return its logits (n, classes) for rows of the trial's own, in their order."""


@dataclass(frozen=True, slots=True)
class TextPool:
    """Texts without labels: the task's own, a corpus, or what a stage has written."""

    rows: Rows


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder of weights that the rung's body starts from instead of its own."""

    folder: Path


GIVES = ("logits", "texts", "checkpoint", "prompt")
"""Kinds of things that one trial may take from another, or from the task."""


@dataclass(frozen=True, slots=True)
class Input:
    """Something that a method takes from elsewhere."""

    role: str
    """What it is to the method, as `teacher` or `pool`: the key in a configuration's inputs."""
    gives: str
    """One of `GIVES`."""
    optional: bool = False
    wanted: Callable[[Any], bool] = lambda knobs: True
    """(knobs) -> whether a trial with these takes it at all."""


def _cpu() -> torch.device:
    import torch  # not needed by callers that only read rows

    return torch.device("cpu")


@dataclass(slots=True)
class Context:
    """All that a learner gets.

    It has no access to the task's name, a path, Ray or the test split.
    """

    rung: ModelSize
    classes: int
    """Width of the logits; 1 for regression."""
    regression: bool
    train: Rows
    validation: Rows
    ledger: Ledger
    rng: np.random.Generator
    torch_rng: torch.Generator
    """A CPU generator seeded from the trial's init seed."""
    max_length: int
    """Longest input [tokens]."""
    horizon: int = 0
    """Length of the schedule [optimiser steps]."""
    precision: str = "fp32"
    device: torch.device = field(default_factory=_cpu)
    inputs: Mapping[str, LogitsSource | TextPool | Checkpoint | Prompt] = field(
        default_factory=dict
    )
    """What the method's `inputs` declare, by role."""
    calibration: Rows | None = None
    """Labelled rows that are not in `train`, as many as the method's `calibration` requires."""
    open_encoder: Callable[[], Encoder] | None = None
    """Builds the rung's encoder with its weights, or those of a checkpoint among the inputs
    (float32, eval mode, on `device`)."""
    open_tokeniser: Callable[[], Tokeniser] | None = None
    open_head: Callable[[Sequence[Sequence[int]]], MaskedHead] | None = None
    """Builds the rung's masked-LM head for label words' token ids, by class."""

    def logits_source(self, role: str) -> LogitsSource:
        """Return the model of a role; TypeError where there is none."""
        value = self.inputs.get(role)
        if not isinstance(value, LogitsSource):
            raise TypeError(f"the trial has no model that gives logits as its {role}")
        return value

    def texts(self, role: str) -> Rows:
        """Return the texts of a role; TypeError where there are none."""
        return self._input(role, TextPool).rows

    def prompt(self) -> Prompt:
        """Return the task's templates and words; TypeError where the trial takes none."""
        prompts = [value for value in self.inputs.values() if isinstance(value, Prompt)]
        if not prompts:
            raise TypeError("the trial takes no template and label words")
        return prompts[0]

    def _input(self, role: str, kind: type[T]) -> T:
        value = self.inputs.get(role)
        if not isinstance(value, kind):
            raise TypeError(f"the trial has no {kind.__name__} as its {role}")
        return value

    def encoder(self) -> Encoder:
        """Return the rung's encoder with its pretrained weights, fresh."""
        if self.open_encoder is None:
            raise TypeError(f"rung {self.rung.name} has no encoder")
        return self.open_encoder()

    def tokeniser(self) -> Tokeniser:
        """Return the rung's tokeniser, over the Store's memory-mapped token ids."""
        if self.open_tokeniser is None:
            raise TypeError(f"rung {self.rung.name} has no tokeniser")
        return self.open_tokeniser()


@runtime_checkable
class HasRawOutputs(Protocol):
    """A learner whose points all follow from one pass over the rows."""

    def raw(self, rows: Rows, *, phase: str) -> RawOutputs:
        """Return the raw outputs in the order of the rows, charged to `phase`."""


@runtime_checkable
class HasFacts(Protocol):
    """A learner that reports facts of its trained state beside scores and costs."""

    def facts(self) -> Mapping[str, Any]:
        """Return JSON values by name."""


class Learner(Protocol):
    """The model in training: it trains by steps, predicts, and can be saved at any step."""

    def step(self) -> bool:
        """Run one unit of work and charge it; return False when nothing is left to do."""

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        """Return the knob sets with which a user could run the trained state.

        `[{}]` for a plain model. With a sample of the evaluation's rows, only those that differ
        in their costs on it.
        """

    def predict(self, rows: Rows, knobs: Mapping[str, Any], *, phase: str) -> Logits:
        """Return logits (n, classes), in the order of the rows.

        What is executed is charged to `phase`.
        """

    def infer_flops(self, rows: Rows, knobs: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return the FLOPs to label each row on its own, without padding (n,)."""

    def size(self, knobs: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return (parameters deployed, parameters trained, stored bytes)."""

    def graph(self, knobs: Mapping[str, Any]) -> Graph:
        """Return the trained state's graph with these knobs, in float32."""

    def state(self) -> State:
        """Return tensors and JSON values from which `restore` rebuilds it; never a pickle."""

    def restore(self, state: State) -> None:
        """Restore `state()`, so that training continues as if uninterrupted."""


@runtime_checkable
class Making(Protocol):
    """A learner of a stage: its output is written to a folder that other trials read."""

    def step(self) -> bool:
        """Run one unit of work and charge it; return False when nothing is left to do."""

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        """Return none: a stage cannot be run on a text."""

    def write(self, folder: Path) -> Mapping[str, Any]:
        """Write the files and return facts as JSON; `selection` is their score."""

    def state(self) -> State:
        """Return tensors and JSON values from which `restore` rebuilds it; never a pickle."""

    def restore(self, state: State) -> None:
        """Restore `state()`, so that the work continues as if uninterrupted."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes from which a price is predicted, before anything is loaded."""

    rung: ModelSize
    task: Task
    n_train: int
    n_validation: int
    lengths: NDArray[np.int64]
    """Lengths of a sample of the task's texts under the rung's tokeniser [tokens]."""
    n_unlabelled: int = 0


@dataclass(frozen=True, slots=True)
class Method:
    """A description of a method; `learner` builds its learner."""

    name: str
    tldr: str
    source: str
    """Where it comes from: arXiv id and section, or the library."""
    families: tuple[str, ...]
    """Families of rungs it can train."""
    knobs: type
    """A frozen dataclass: every knob with its default."""
    learner: Callable[[Context, Any], Learner | Making]
    horizon: Callable[[Any, int], int]
    """(knobs, training rows, labelled or not) -> length of the schedule [optimiser steps]."""
    price: Callable[[Any, Shape], Mapping[str, float]]
    """(knobs, shape) -> predicted FLOPs by phase, before the trial."""
    behaviour: int = 1
    regression: bool = True
    """Whether it can predict a number."""
    inputs: tuple[Input, ...] = ()
    """What it takes from other trials, from corpora and from the task."""
    gives: str = "logits"
    """What others may take from a finished trial; anything but `logits` makes it a stage."""
    labelled: bool = True
    """Whether it uses labels; one that does not is run once, without a validation score."""
    unlabelled: Callable[[Any], int] = lambda knobs: 0
    """Unlabelled texts that these knobs need."""
    calibration: Callable[[Any, int], int] = lambda knobs, rows: 0
    """(knobs, labelled rows) -> how many of them are held back for calibrating."""
    check_model: Callable[[Any, ModelSize], str] = lambda knobs, rung: ""
    """Why these knobs cannot train a model of its families; empty where they can."""
    check_data: Callable[[Any, ModelSize, Sequence[Rows]], str] = lambda knobs, rung, rows: ""
    """Why these rows, labelled ones and the pool, cannot train a model; empty where they may."""
    words: Callable[[Mapping[str, Any]], PointWords] = plain_words
    """(a point's knobs) -> its label and its curve, which the records carry."""
    resolve_knobs: Callable[[Any, Task, int], Any] = lambda knobs, task, texts: knobs
    """(knobs, task, texts without a label) -> the knobs of the computation that this makes."""

    def inputs_of(self, knobs: Any, gives: str) -> tuple[str, ...]:
        """Return the roles of one kind that a trial with these knobs takes.

        Raises:
            ValueError: `gives` is no kind of input.
        """
        if gives not in GIVES:
            raise ValueError(f"no kind of input '{gives}'. Known: {', '.join(GIVES)}")
        return tuple(i.role for i in self.inputs if i.gives == gives and i.wanted(knobs))

    def question(self, knobs: Any) -> str:
        """Return the role of the task's template and words; empty where it does not prompt."""
        return next(iter(self.inputs_of(knobs, "prompt")), "")
