"""An exported ONNX file at work: onnxruntime on the CPU and the `tokenizers` package, no torch."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from raysearch.encoders.batches import evaluation_batches
from raysearch.errors import InputError
from raysearch.export.manifest import Manifest
from raysearch.export.predictor import Predictor, broken, open_layout, part, whole


def need(name: str) -> Any:
    """Import a package of the extra; InputError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise InputError(f"{name} is not installed: pip install 'raysearch[onnx]'") from e


def weights_file(manifest: Manifest) -> str:
    """Return the one file of weights in a folder."""
    return "model.int8.onnx" if manifest.int8 else "model.onnx"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokenised texts: ids and segment ids of each (None: all 0), and their lengths (n,)."""

    ids: list[list[int]]
    types: list[list[int]] | None
    lengths: NDArray[np.int64]


Read: TypeAlias = Callable[[list[str], list[str] | None], Tokens]


def _plain(folder: Path, manifest: Manifest) -> tuple[int, Read]:
    """Return the id that pads, and the tokeniser's own map from texts to tokens."""
    try:
        backend = need("tokenizers").Tokenizer.from_file(str(part(folder, "tokenizer.json")))
    except InputError:
        raise
    except Exception as e:  # the package's only error class
        raise broken(folder, "tokenizer.json", e) from e
    pad = int((backend.padding or {}).get("pad_id", 0))
    backend.no_padding()
    backend.enable_truncation(manifest.max_length)

    def read(texts: list[str], pairs: list[str] | None) -> Tokens:
        given: list[Any] = texts if pairs is None else list(zip(texts, pairs, strict=True))
        encoded = backend.encode_batch_fast(given)
        ids = [e.ids for e in encoded]
        return Tokens(ids, [e.type_ids for e in encoded], np.array([len(i) for i in ids], np.int64))

    return pad, read


def _prompted(folder: Path, manifest: Manifest) -> tuple[int, Read]:
    """Return the same with the texts inside the folder's pattern."""
    layout = open_layout(folder, manifest)

    def read(texts: list[str], pairs: list[str] | None) -> Tokens:
        ids = layout.rows(texts, pairs)
        return Tokens(ids, None, np.array([len(i) for i in ids], np.int64))

    return layout.pad, read


class OnnxPredictor(Predictor):
    """onnxruntime on the CPU and the `tokenizers` package; torch is not loaded."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int = 0) -> None:
        runtime = need("onnxruntime")
        path = part(folder, weights_file(manifest))
        super().__init__(manifest, path.stat().st_size)
        opened = _prompted if manifest.template else _plain
        self._pad, self._read = opened(folder, manifest)
        options = runtime.SessionOptions()
        # NOTE: threads that spin while they wait slow other libraries' threads of the process
        # down: torch took 51 ms a text beside such a session, 14 ms without.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
        try:
            self._session = runtime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # onnxruntime's errors share no base class
            raise broken(folder, path.name, e) from e
        self._names = [i.name for i in self._session.get_inputs()]
        shapes = [o.shape for o in self._session.get_outputs()]
        known = {"input_ids", "attention_mask", "token_type_ids"}
        if not set(self._names) <= known or len(shapes) != 1 or len(shapes[0]) != 2:
            raise InputError(f"{folder.name}/{path.name}: is no model that raysearch exported")
        if isinstance(shapes[0][1], int) and shapes[0][1] != manifest.classes:
            raise InputError(f"{folder.name}/{path.name}: does not fit raysearch.json")

    def prepare(self, texts: list[str], pairs: list[str] | None = None) -> Tokens:
        """Return token ids, cut at the model's longest input."""
        return self._read(whole(texts), None if pairs is None else whole(pairs))

    def infer(self, prepared: Tokens) -> NDArray[np.float32]:
        """Return logits (n, C); batches of like lengths."""
        out = np.empty((len(prepared.ids), self.manifest.classes), np.float32)
        for index in evaluation_batches(prepared.lengths):
            width = max(1, int(prepared.lengths[index].max()))
            fed = {name: np.zeros((len(index), width), np.int64) for name in self._names}
            fed["input_ids"][:] = self._pad
            for row, i in enumerate(index):
                n = prepared.lengths[i]
                fed["input_ids"][row, :n] = prepared.ids[i]
                fed["attention_mask"][row, :n] = 1
                if "token_type_ids" in fed and prepared.types is not None:
                    fed["token_type_ids"][row, :n] = prepared.types[i]
            out[index] = self._session.run(None, fed)[0]
        return out
