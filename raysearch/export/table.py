"""A table of n-grams and its two layers as one file, and one Python file that needs numpy alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.export.model import Format, Model
from raysearch.export.own_code import CODE, WEIGHTS, OwnPredictor, stock, use, write_own
from raysearch.ngrams import dan_numpy


def _write(model: Model, folder: Path) -> None:
    """Write table, vocabulary and layers as safetensors, and the predictor's own source."""
    from safetensors.numpy import save_file

    from raysearch.ngrams.graphs import BagGraph

    graph = model.graph
    assert isinstance(graph, BagGraph)
    tensors: dict[str, NDArray[Any]] = {**graph.dense, "table": graph.table.values}
    if graph.table.scale is not None:
        tensors["scale"] = graph.table.scale
    for name, value in graph.vocabulary.state().items():
        tensors[name] = value.numpy()
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, folder / WEIGHTS)
    write_own(dan_numpy, folder / CODE)


FORMAT = Format(
    name="table",
    tldr="a table of n-grams for numpy alone",
    rank=2,
    kinds=("bag",),
    write=_write,
    open=partial(OwnPredictor, dan_numpy),
    stock=stock,
    use=use,
    packages=("numpy", "safetensors"),
)
