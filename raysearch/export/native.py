"""Hashed n-grams as one table and one Python file that needs numpy alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.export import ngram_numpy
from raysearch.export.manifest import Manifest
from raysearch.export.model import Format, Model
from raysearch.export.own_code import run_own, write_own
from raysearch.export.predictor import Predictor, broken, part

WEIGHTS, CODE = "model.safetensors", "model.py"


def _write(model: Model, folder: Path) -> None:
    """The weights as safetensors, and the predictor's own source beside them."""
    from safetensors.numpy import save_file

    from raysearch.engine.graph import NgramGraph

    graph = model.graph
    assert isinstance(graph, NgramGraph)
    tensors = {"weight": graph.weight, "bias": graph.bias}
    if graph.idf is not None:
        tensors["idf"] = graph.idf
    save_file(
        {k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, folder / WEIGHTS
    )
    write_own(ngram_numpy, folder / CODE)


class NgramPredictor(Predictor):
    """The table and our own copy of its code: what lies in the folder is never run."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        path = part(folder, WEIGHTS)
        super().__init__(manifest, path.stat().st_size)
        try:
            self._model = ngram_numpy.Model(folder)
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise broken(folder, path.name, e) from e

    def prepare(self, texts: list[str], pairs: list[str] | None = None) -> Any:
        """Hashed and weighted n-grams."""
        return self._model.features(texts, pairs)

    def infer(self, prepared: Any) -> NDArray[np.float32]:
        """Logits (n, C)."""
        return np.asarray(self._model.logits(prepared), np.float32)


def _stock(
    folder: Path, manifest: Manifest, texts: list[str], pairs: list[str] | None
) -> NDArray[np.float64]:
    """Probabilities by the folder's own model.py, which has just been written."""
    return np.asarray(run_own(folder / CODE).Model(folder).probabilities(texts, pairs))


def use(manifest: Manifest) -> str:
    """How the folder is used."""
    second, said = "", "one text a line"
    if manifest.pair:
        second, said = ', ["a second text"]', "two texts a line with a tab between"
    return "\n".join(
        [
            "```sh",
            f"python model.py < texts.txt    # {said}; needs numpy alone",
            "```",
            "",
            "```python",
            "from model import Model",
            "",
            'model = Model(".")',
            f'model.probabilities(["a text"]{second}), model.labels',
            "```",
        ]
    )


FORMAT = Format(
    name="native",
    tldr="hashed n-grams for numpy alone",
    kinds=("ngram",),
    write=_write,
    open=NgramPredictor,
    stock=_stock,
    use=use,
)
