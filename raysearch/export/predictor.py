"""Exported folders at work: one face over all formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raysearch.errors import InputError
from raysearch.export.manifest import Manifest

if TYPE_CHECKING:
    from raysearch.export.layout import Layout

REFUSED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt")
"""Endings of pickles: such a file is never opened, and named where it is all there is."""


class Predictor(ABC):
    """Texts in, probabilities out; tokenising and computing apart, so that both can be timed."""

    def __init__(self, manifest: Manifest, bytes: int) -> None:
        self.manifest = manifest
        self.bytes = bytes
        """Size of the weights [bytes]."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return class names in the order of the columns; empty for a number."""
        return self.manifest.labels

    @abstractmethod
    def prepare(self, texts: list[str], pairs: list[str] | None = None) -> Any:
        """Return texts, and the second texts of a pair task, as the model reads them."""

    @abstractmethod
    def infer(self, prepared: Any) -> NDArray[np.float32]:
        """Return logits (n, C) of what `prepare` made, calibrated, in the order of the texts."""

    def change_rule(self, threshold: str | None, criterion: str | None, name: str) -> None:
        """Change by which rule texts take a short way, for models that have one.

        Args:
            threshold: what a sure text reaches; None: the folder's.
            criterion: what is compared with it; None: the folder's.
            name: what a person calls the model.

        Raises:
            InputError: the model has no such rule, or takes no such value.
        """
        option = "--threshold" if threshold is not None else "--criterion"
        raise InputError(f"{name}: takes no {option}: all its texts go the same way")

    def summary(self) -> str:
        """Return how the texts so far were answered, in words; empty for most models."""
        return ""

    def probabilities(
        self, texts: list[str], pairs: list[str] | None = None
    ) -> NDArray[np.float64]:
        """Return probabilities (n, C) in the order of `labels`; for a number the number (n, 1).

        Raises:
            InputError: pairs are missing or not asked for.
        """
        if self.manifest.pair != (pairs is not None):
            need = "reads pairs of texts" if self.manifest.pair else "reads one text, not a pair"
            raise InputError(f"{self.manifest.task}: the model {need}")
        if pairs is not None and len(pairs) != len(texts):
            raise InputError(f"{len(texts)} texts against {len(pairs)} second texts")
        if not texts:
            return np.empty((0, self.manifest.classes))
        return probabilities(self.infer(self.prepare(texts, pairs)), self.manifest.regression)


def probabilities(logits: NDArray[np.float32], regression: bool) -> NDArray[np.float64]:
    """Return the softmax of logits (n, C); a number stays as it is.

    >>> probabilities(np.array([[0.0, 0.0]], np.float32), False).tolist()
    [[0.5, 0.5]]
    """
    z = np.asarray(logits, np.float64)
    if regression:
        return z
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def whole(texts: list[str]) -> list[str]:
    r"""Return texts with a "?" for half of a surrogate pair, which no tokeniser takes.

    >>> whole(["a", "b\ud800"])
    ['a', 'b?']
    """
    return [t.encode("utf-8", "replace").decode() for t in texts]


def part(folder: Path, name: str) -> Path:
    """Return a file of an exported folder; InputError when it is absent, pickles named."""
    path = folder / name
    if path.is_file():
        return path
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in REFUSED)
    hint = f"; {pickles[0]} is a pickle and is never read" if pickles else ""
    raise InputError(f"{folder.name}: no {name} in it{hint}")


def open_layout(folder: Path, manifest: Manifest) -> Layout:
    """Return how a prompted model's folder lays texts out, read by this project's own code.

    Raises:
        InputError: a file is not there, does not load, or does not fit raysearch.json.
    """
    from raysearch.export.layout import FILE, Layout

    for name in (FILE, "tokenizer.json"):
        part(folder, name)
    try:
        layout = Layout(folder)
    except Exception as e:  # the only class of tokenizers' errors
        name = FILE if isinstance(e, ValueError | LookupError | TypeError) else "tokenizer.json"
        raise broken(folder, name, e) from e
    if layout.pair != manifest.pair or len(layout.words) != manifest.classes:
        raise InputError(f"{folder.name}/{FILE}: does not fit raysearch.json")
    return layout


def broken(folder: Path, name: str, error: Exception) -> InputError:
    """Return the one line for a file of an exported folder that does not load."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    reason = first.replace(f"{folder}/", "")[:200]
    return InputError(f"{folder.name}/{name}: does not load: {reason}")
