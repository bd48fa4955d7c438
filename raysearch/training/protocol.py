"""What a method is (a description) and what is at work (a learner)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from raysearch.config.ladder import Rung
from raysearch.config.task import Task
from raysearch.data.rows import Logits, Rows
from raysearch.ledger import Ledger
from raysearch.storage.store import State

if TYPE_CHECKING:
    import torch

    from raysearch.encoders.cloze import MaskedHead
    from raysearch.encoders.models import Encoder
    from raysearch.encoders.tokens import Tokeniser
    from raysearch.outputs.exit_rules import Exits
    from raysearch.training.graph import Graph


@dataclass(frozen=True, slots=True)
class Prompt:
    """Cloze patterns and label words of a task, for methods that prompt."""

    templates: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    """By class name, in the order of the class ids."""


class Teacher(Protocol):
    """A trained model that another learns from; its bill and its labelling are paid already."""

    def logits(self, rows: Rows) -> Logits:
        """Its logits (n, classes) for rows of the trial's own, in their order."""


def _cpu() -> torch.device:
    import torch  # who only reads rows need not wait for it

    return torch.device("cpu")


@dataclass(slots=True)
class Context:
    """All a learner is given. It never sees the task's name, a path, Ray or the test split."""

    rung: Rung
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
    prompt: Prompt | None = None
    pools: Mapping[str, Rows] = field(default_factory=dict)
    calibration: Rows | None = None
    """Labelled rows that are not in `train`, as many as the method's `calibration` asks for."""
    teacher: Teacher | None = None
    open_encoder: Callable[[], Encoder] | None = None
    """Builds the rung's encoder with its weights (float32, eval mode, on `device`)."""
    open_tokeniser: Callable[[], Tokeniser] | None = None
    open_head: Callable[[Sequence[Sequence[int]]], MaskedHead] | None = None
    """Builds the rung's masked-LM head for label words' token ids, by class."""

    def encoder(self) -> Encoder:
        """The rung's encoder with its pretrained weights, fresh."""
        if self.open_encoder is None:
            raise TypeError(f"rung {self.rung.name} has no encoder")
        return self.open_encoder()

    def tokeniser(self) -> Tokeniser:
        """The rung's tokeniser, over the Store's memory-mapped token ids."""
        if self.open_tokeniser is None:
            raise TypeError(f"rung {self.rung.name} has no tokeniser")
        return self.open_tokeniser()


@runtime_checkable
class Exiting(Protocol):
    """A learner whose points all follow from what every exit says about a text."""

    def exits(self, rows: Rows, *, phase: str) -> Exits:
        """Logits of every exit in the order of the rows, charged to `phase`."""


@runtime_checkable
class Telling(Protocol):
    """A learner that has something to say of its trained state beside scores and costs."""

    def facts(self) -> Mapping[str, Any]:
        """JSON values by name."""


class Learner(Protocol):
    """The thing at work: trains by steps, predicts, and can be saved at any step."""

    def step(self) -> bool:
        """Do one unit of work and charge it; False when nothing is left to do."""

    def points(self) -> Sequence[Mapping[str, Any]]:
        """The knob sets a user could run the trained state with; `[{}]` for a plain model."""

    def predict(self, rows: Rows, knobs: Mapping[str, Any], *, phase: str) -> Logits:
        """Logits (n, classes), in the order of the rows; what is executed is charged to `phase`."""

    def infer_flops(self, rows: Rows, knobs: Mapping[str, Any]) -> NDArray[np.float64]:
        """FLOPs to label each row on its own, without padding (n,)."""

    def size(self, knobs: Mapping[str, Any]) -> tuple[int, int, int]:
        """(parameters deployed, parameters trained, stored bytes)."""

    def graph(self, knobs: Mapping[str, Any]) -> Graph:
        """What the trained state computes with these knobs, in float32 and apart from training."""

    def state(self) -> State:
        """Tensors and JSON values that bring everything back; never a pickle."""

    def restore(self, state: State) -> None:
        """Go on as if nothing had happened."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a price can be predicted from, before anything is loaded."""

    rung: Rung
    task: Task
    n_train: int
    n_validation: int
    lengths: NDArray[np.int64]
    """Lengths of a sample of the task's texts under the rung's tokeniser [tokens]."""
    n_unlabelled: int = 0


@dataclass(frozen=True, slots=True)
class Method:
    """A description of a method; `learner` builds the thing at work."""

    name: str
    tldr: str
    source: str
    """Where it comes from: arXiv id and section, or the library."""
    families: tuple[str, ...]
    """Families of rungs it can train."""
    knobs: type
    """A frozen dataclass: every knob with its default."""
    learner: Callable[[Context, Any], Learner]
    horizon: Callable[[Any, int], int]
    """(knobs, training rows, labelled or not) -> length of the schedule [optimiser steps]."""
    price: Callable[[Any, Shape], Mapping[str, float]]
    """(knobs, shape) -> predicted FLOPs by phase, before the trial."""
    behaviour: int = 1
    regression: bool = True
    """Whether it can predict a number."""
    teacher: bool = False
    """Whether it learns from a teacher: a trial of its own, among the configuration's inputs."""
    labelled: bool = True
    """Whether it uses labels; one that does not is run once, without a validation score."""
    prompts: Callable[[Any], bool] = lambda knobs: False
    """Whether these knobs ask a masked LM by cloze: that takes a verbaliser and a head for it."""
    unlabelled: Callable[[Any], int] = lambda knobs: 0
    """Texts without a label that these knobs ask for."""
    calibration: Callable[[Any, int], int] = lambda knobs, rows: 0
    """(knobs, labelled rows) -> how many of them are held back for calibrating."""
    refuses: Callable[[Any, Rung], str] = lambda knobs, rung: ""
    """Why these knobs cannot train a model of its families; empty where they can."""
    lacks: Callable[[Any, Rung, Sequence[Rows]], str] = lambda knobs, rung, rows: ""
    """Why these rows, labelled ones and the pool, cannot train a model; empty where they may."""
    fitted: Callable[[Any, Task, int], Any] = lambda knobs, task, texts: knobs
    """(knobs, task, texts without a label) -> the knobs of the computation that this makes."""
