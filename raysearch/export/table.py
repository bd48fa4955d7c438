"""A table of n-grams and its two layers as one file, and one Python file that needs numpy alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.engine import dan_numpy
from raysearch.export.manifest import Manifest
from raysearch.export.model import Format, Model
from raysearch.export.native import use
from raysearch.export.own_code import run_own, write_own
from raysearch.export.predictor import Predictor, broken, part

WEIGHTS, CODE = "model.safetensors", "model.py"


def _write(model: Model, folder: Path) -> None:
    """Table, vocabulary and layers as safetensors, and the predictor's own source beside them."""
    from safetensors.numpy import save_file

    from raysearch.engine.graph import BagGraph

    graph = model.graph
    assert isinstance(graph, BagGraph)
    tensors: dict[str, NDArray[Any]] = {**graph.dense, "table": graph.table.values}
    if graph.table.scale is not None:
        tensors["scale"] = graph.table.scale
    for name, value in graph.vocabulary.state().items():
        tensors[name] = value.numpy()
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, folder / WEIGHTS)
    write_own(dan_numpy, folder / CODE)


class TablePredictor(Predictor):
    """The table and our own copy of its code: what lies in the folder is never run."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        path = part(folder, WEIGHTS)
        super().__init__(manifest, path.stat().st_size)
        try:
            self._model = dan_numpy.Model(folder)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as e:
            raise broken(folder, path.name, e) from e

    def prepare(self, texts: list[str], pairs: list[str] | None = None) -> Any:
        """Bags of n-grams."""
        return self._model.features(texts, pairs)

    def infer(self, prepared: Any) -> NDArray[np.float32]:
        """Logits (n, C)."""
        return np.asarray(self._model.logits(prepared), np.float32)


def _stock(
    folder: Path, manifest: Manifest, texts: list[str], pairs: list[str] | None
) -> NDArray[np.float64]:
    """Probabilities by the folder's own model.py, which has just been written."""
    return np.asarray(run_own(folder / CODE).Model(folder).probabilities(texts, pairs))


FORMAT = Format(
    name="table",
    tldr="a table of n-grams for numpy alone",
    kinds=("bag",),
    write=_write,
    open=TablePredictor,
    stock=_stock,
    use=use,
)
