"""An exported ONNX file at work: onnxruntime on the CPU and the `tokenizers` package, no torch."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.engine.batches import evaluation_batches
from raysearch.errors import InputError
from raysearch.export.manifest import Manifest
from raysearch.export.predictor import Predictor, broken, part, whole


def need(name: str) -> Any:
    """Import a package of the extra; InputError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise InputError(f"{name} is not installed: pip install 'raysearch[onnx]'") from e


def weights_file(manifest: Manifest) -> str:
    """The one file of weights in a folder."""
    return "model.int8.onnx" if manifest.int8 else "model.onnx"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokenised texts: one encoding of `tokenizers` each, and their lengths (n,)."""

    encodings: list[Any]
    lengths: NDArray[np.int64]


class OnnxPredictor(Predictor):
    """onnxruntime on the CPU and the `tokenizers` package; torch is not loaded."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int = 0) -> None:
        runtime, tokenizers = need("onnxruntime"), need("tokenizers")
        path = part(folder, weights_file(manifest))
        super().__init__(manifest, path.stat().st_size)
        try:
            self._tokeniser = tokenizers.Tokenizer.from_file(str(part(folder, "tokenizer.json")))
        except InputError:
            raise
        except Exception as e:  # the package's only error class
            raise broken(folder, "tokenizer.json", e) from e
        self._pad = int((self._tokeniser.padding or {}).get("pad_id", 0))
        self._tokeniser.no_padding()
        self._tokeniser.enable_truncation(manifest.max_length)
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
        """Token ids, cut at the model's longest input."""
        given: list[Any] = whole(texts)
        if pairs is not None:
            given = list(zip(given, whole(pairs), strict=True))
        found = self._tokeniser.encode_batch_fast(given)
        return Tokens(found, np.array([len(e.ids) for e in found], np.int64))

    def infer(self, prepared: Tokens) -> NDArray[np.float32]:
        """Logits (n, C); batches of like lengths."""
        out = np.empty((len(prepared.encodings), self.manifest.classes), np.float32)
        for index in evaluation_batches(prepared.lengths):
            width = max(1, int(prepared.lengths[index].max()))
            fed = {name: np.zeros((len(index), width), np.int64) for name in self._names}
            fed["input_ids"][:] = self._pad
            for row, i in enumerate(index):
                found, n = prepared.encodings[i], prepared.lengths[i]
                fed["input_ids"][row, :n] = found.ids
                fed["attention_mask"][row, :n] = 1
                if "token_type_ids" in fed:
                    fed["token_type_ids"][row, :n] = found.type_ids
            out[index] = self._session.run(None, fed)[0]
        return out
