"""Hashed n-grams as one table and one Python file that needs numpy alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from raysearch.export import ngram_numpy
from raysearch.export.model import Format, Model
from raysearch.export.own_code import CODE, WEIGHTS, OwnPredictor, stock, use, write_own


def _write(model: Model, folder: Path) -> None:
    """Write the weights as safetensors, and the predictor's own source beside them."""
    from safetensors.numpy import save_file

    from raysearch.ngrams.graphs import NgramGraph

    graph = model.graph
    assert isinstance(graph, NgramGraph)
    tensors = {"weight": graph.weight, "bias": graph.bias}
    if graph.idf is not None:
        tensors["idf"] = graph.idf
    save_file(
        {k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, folder / WEIGHTS
    )
    write_own(ngram_numpy, folder / CODE)


FORMAT = Format(
    name="native",
    tldr="hashed n-grams for numpy alone",
    rank=1,
    kinds=("ngram",),
    write=_write,
    open=partial(OwnPredictor, ngram_numpy),
    stock=stock,
    use=use,
    packages=("numpy", "safetensors"),
)
