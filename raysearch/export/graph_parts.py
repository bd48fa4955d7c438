"""Weights of a graph in a folder, and an encoder's checkpoint with trained weights in it."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raysearch.config.catalog import find_rung
from raysearch.costs.timing import Model
from raysearch.data.rows import Logits, Rows
from raysearch.encoders.models import Encoder, open_encoder
from raysearch.encoders.patterns import Pattern
from raysearch.encoders.tokens import Encoded, Tokeniser
from raysearch.storage.store import Store
from raysearch.trial.trained import TrainedModel

WEIGHTS = "graph.safetensors"


def save_parts(folder: Path, parts: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> None:
    """Write modules by name, and further tensors, as one file."""
    named = {f"{n}.{k}": v.cpu() for n, m in parts.items() for k, v in m.state_dict().items()}
    named |= tensors
    save_file({k: v.contiguous().clone() for k, v in named.items()}, folder / WEIGHTS)


def load_tensors(folder: Path) -> dict[str, Tensor]:
    """Read what `save_parts` wrote."""
    tensors: dict[str, Tensor] = load_file(folder / WEIGHTS)
    return tensors


def part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors of one module, under its own names."""
    return {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}


def whose(run: TrainedModel) -> dict[str, Any]:
    """Return what `Opened` must know of a trial's checkpoint, as JSON."""
    rung, tokeniser = find_rung(run.config.rung), run.tokeniser()
    assert tokeniser is not None
    return {
        "rung": rung.name,
        "folder": str(run.place.folder(rung)),
        "limit": tokeniser.limit,
        "bf16": run.config.precision == "bf16",
    }


def load_libraries(checkpoint: Path) -> None:
    """Import what opening a checkpoint imports, and compute nothing."""
    from transformers import AutoModel, AutoTokenizer  # noqa: F401

    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    name = str(config.get("model_type", "")).replace("-", "_")
    with contextlib.suppress(ImportError):
        importlib.import_module(f"transformers.models.{name}.modeling_{name}")


class Opened:
    """A checkpoint opened again: its encoder with trained weights, its tokeniser, its device."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.device = torch.device(facts["device"])
        self.checkpoint = Path(facts["folder"])
        self._rung = find_rung(facts["rung"])
        self._cast = self.device.type == "cuda" and bool(facts["bf16"])
        self._tokeniser = Tokeniser(
            self.checkpoint, Store(folder / "store"), {}, "", int(facts["limit"])
        )

    def encoder(self, tensors: Mapping[str, Tensor]) -> Encoder:
        """Return the encoder with its trained weights."""
        encoder = open_encoder(self._rung, self.checkpoint, self.device)
        encoder.load_state_dict(part(tensors, "encoder."))
        return encoder

    def model(self, logits: Callable[[Encoded], Logits], pattern: Pattern | None = None) -> Model:
        """Return tokenising and computing apart."""

        def prepare(texts: Sequence[str], pairs: Sequence[str] | None) -> Any:
            return self._tokeniser.encode(loose_rows(texts, pairs), pattern)

        def infer(encoded: Any) -> Any:
            with torch.autocast("cuda", torch.bfloat16, enabled=self._cast):
                return logits(encoded)  # copied to the CPU: the GPU has been waited for

        return Model(prepare, infer)


def loose_rows(texts: Sequence[str], pairs: Sequence[str] | None) -> Rows:
    """Return texts that are of no split as rows."""
    return Rows("loose", np.arange(len(texts)), list(texts), None if pairs is None else list(pairs))
