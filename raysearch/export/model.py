"""What is exported (a model) and how (a format): the two types that every format's file uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raysearch.export.manifest import Manifest
from raysearch.export.predictor import Predictor

if TYPE_CHECKING:
    from raysearch.data.rows import Rows
    from raysearch.encoders.tokens import Tokeniser
    from raysearch.export.prompt import Question
    from raysearch.training.graph import Graph


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A trained point, ready to be written."""

    graph: Graph
    """Calibrated: the temperature is folded into its head."""
    manifest: Manifest
    tokeniser: Any = None
    """The fast tokeniser of transformers that the encoder was trained with, else None."""
    question: Question | None = None
    """Of a prompted model."""


@dataclass(frozen=True, slots=True)
class Format:
    """A description of a format; `write` and `open` do the work."""

    name: str
    tldr: str
    kinds: tuple[str, ...]
    """Kinds of graph that it can hold, values of `Graph.kind`."""
    write: Callable[[Model, Path], None]
    """Writes the files into an empty folder, raysearch.json and README.md aside."""
    open: Callable[[Path, Manifest], Predictor]
    """A predictor over a folder."""
    stock: Callable[[Path, Manifest, list[str], list[str] | None], NDArray[np.float64]]
    """(folder, manifest, texts, pairs) -> probabilities (n, C) as strangers' tools give them."""
    use: Callable[[Manifest], str]
    """Markdown for the model card: how to use the folder without raysearch."""
    check_graph: Callable[[Graph], str] = lambda graph: ""
    """Why a graph of these kinds cannot be held all the same; empty where it can."""
    int8: bool = False
    """Whether it has an int8 variant."""
    rank: int = 9
    """Where no format is named, the lowest that can hold the model is taken."""
    packages: tuple[str, ...] = ("onnx", "onnxruntime", "tokenizers")
    """Packages beside torch and transformers whose versions the card lists."""
    checks: Callable[[Model, Rows, Tokeniser | None], list[tuple[Model, Rows]]] = (
        lambda model, rows, tokeniser: [(model, rows)]
    )
    """As which models the folder must answer, its own first, and on which of the rows."""
