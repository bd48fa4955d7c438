"""Code of ours beside a model: its source is copied into the folder, and run from there once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.export.manifest import Manifest
from raysearch.export.predictor import Predictor, broken, part

WEIGHTS, CODE = "model.safetensors", "model.py"


def write_own(module: ModuleType, path: Path) -> None:
    """Write a module's source as a file of an exported folder."""
    assert module.__file__ is not None
    path.write_text(Path(module.__file__).read_text(encoding="utf-8"), encoding="utf-8")


def run_own(path: Path) -> Any:
    """Load the file that `write_own` has just written; never one that was found."""
    made = importlib.util.spec_from_file_location("exported_model", path)
    assert made is not None and made.loader is not None
    module = ModuleType("exported_model")
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        made.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = keep
    return module


class OwnPredictor(Predictor):
    """Weights, and our own copy of the code beside them: what lies in the folder is never run.

    Args:
        module: our copy; its `Model(folder)` has `features` and `logits`.
        folder: an exported one.
        manifest: its raysearch.json.
    """

    def __init__(self, module: Any, folder: Path, manifest: Manifest) -> None:
        path = part(folder, WEIGHTS)
        super().__init__(manifest, path.stat().st_size)
        try:
            self._model = module.Model(folder)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as e:
            raise broken(folder, path.name, e) from e

    def prepare(self, texts: list[str], pairs: list[str] | None = None) -> Any:
        """Return what the code makes of texts."""
        return self._model.features(texts, pairs)

    def infer(self, prepared: Any) -> NDArray[np.float32]:
        """Return logits (n, C)."""
        return np.asarray(self._model.logits(prepared), np.float32)


def stock(
    folder: Path, manifest: Manifest, texts: list[str], pairs: list[str] | None
) -> NDArray[np.float64]:
    """Return probabilities by the folder's own model.py, which has just been written."""
    return np.asarray(run_own(folder / CODE).Model(folder).probabilities(texts, pairs))


def use(manifest: Manifest) -> str:
    """Return how the folder is used, where numpy is all it needs."""
    return usage(manifest, "numpy alone")


def usage(manifest: Manifest, needs: str, *commands: str) -> str:
    """Return how the folder's model.py is used: a shell's lines and Python's."""
    second, lines = "", "one text a line"
    if manifest.pair:
        second, lines = ', ["a second text"]', "two texts a line with a tab between"
    return "\n".join(
        [
            "```sh",
            f"python model.py < texts.txt    # {lines}; needs {needs}",
            *commands,
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
