"""One ONNX file, token ids in, logits out: encoder, pooling and head for onnxruntime."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raysearch.engine.batches import evaluation_batches
from raysearch.errors import InputError
from raysearch.export.manifest import Manifest
from raysearch.export.model import Format, Model
from raysearch.export.predictor import Predictor, broken, part, probabilities, whole

if TYPE_CHECKING:
    from raysearch.engine.graph import Graph

OPSET = 17
LIMIT = 2**31 - 2**20
"""Bytes of weights that one protobuf file can hold."""


def _need(name: str) -> Any:
    """Import a package of the extra; InputError where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise InputError(f"{name} is not installed: pip install 'raysearch[onnx]'") from e


def _file(manifest: Manifest) -> str:
    return "model.int8.onnx" if manifest.int8 else "model.onnx"


def _refuses(graph: Graph) -> str:
    from raysearch.engine.graph import EncoderGraph

    if isinstance(graph, EncoderGraph):
        held = 4 * sum(p.numel() for p in graph.encoder.parameters())
        if held >= LIMIT:
            return f"{held / 1e9:.1f} GB of weights are more than one ONNX file holds"
    return ""


def _write(model: Model, folder: Path) -> None:
    """The graph as model.onnx or, quantised, model.int8.onnx, and tokenizer.json."""
    _need("onnx")
    target = folder / _file(model.manifest)
    if model.manifest.int8:
        with tempfile.TemporaryDirectory(dir=folder) as home:
            plain = Path(home) / "model.onnx"
            _export(model, plain)
            _quantise(plain, target)
    else:
        _export(model, target)
    backend = copy.deepcopy(model.tokeniser).backend_tokenizer
    backend.enable_truncation(model.manifest.max_length)
    pad = model.tokeniser.pad_token_id or 0
    backend.enable_padding(pad_id=pad, pad_token=model.tokeniser.pad_token or "[PAD]")
    backend.save(str(folder / "tokenizer.json"))


def _export(model: Model, path: Path) -> None:
    """Trace encoder, pooling and head with free batch and length."""
    import torch
    from torch import Tensor, nn

    from raysearch.engine.graph import EncoderGraph
    from raysearch.engine.tokens import Batch

    graph = model.graph
    assert isinstance(graph, EncoderGraph)
    head = graph.head
    body: Any = copy.deepcopy(graph.encoder.body).cpu().eval()
    body.set_attn_implementation("eager")
    types = int(getattr(body.config, "type_vocab_size", 0)) > 1

    class Whole(nn.Module):
        """What the file computes."""

        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
            extra = {} if segments is None else {"token_type_ids": segments}
            hidden = self.body(input_ids=ids, attention_mask=mask, **extra).last_hidden_state
            return head(hidden, Batch(ids, mask, None, full=False))

    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * types
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    inputs = (torch.full((2, 8), 5), mask, torch.zeros_like(mask))[: len(names)]
    free = {name: {0: "batch", 1: "length"} for name in names} | {"logits": {0: "batch"}}
    # NOTE: the exporter on torch.export takes 12 s where tracing takes 2, for the same graph.
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            Whole().eval(),
            inputs,
            str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )


def _quantise(plain: Path, target: Path) -> None:
    """Weights and word table in 8 bits, activations quantised as they come."""
    quantization = _need("onnxruntime.quantization")
    with _quiet():
        quantization.quantize_dynamic(
            plain,
            target,
            per_channel=True,
            # NOTE: unsigned: CPUs without VNNI add products of signed weights in 16 bits, which
            # overflow. Measured on a fine-tuned minilm-6 without VNNI: 0.8144 of 0.8188 accuracy
            # kept, against 0.8089 with signed weights of 7 bits, the other way around it.
            weight_type=quantization.QuantType.QUInt8,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporter and quantiser talk through warnings and the root logger."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokenised texts: one encoding of `tokenizers` each, and their lengths (n,)."""

    encodings: list[Any]
    lengths: NDArray[np.int64]


class OnnxPredictor(Predictor):
    """onnxruntime on the CPU and the `tokenizers` package; torch is not loaded."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int = 0) -> None:
        runtime, tokenizers = _need("onnxruntime"), _need("tokenizers")
        path = part(folder, _file(manifest))
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


def _stock(
    folder: Path, manifest: Manifest, texts: list[str], pairs: list[str] | None
) -> NDArray[np.float64]:
    """Probabilities as the model card's few lines give them."""
    runtime, tokenizers = _need("onnxruntime"), _need("tokenizers")
    session = runtime.InferenceSession(folder / _file(manifest))
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    names = [i.name for i in session.get_inputs()]
    given: list[Any] = texts if pairs is None else list(zip(texts, pairs, strict=True))
    out = []
    for i in range(0, len(texts), 16):
        batch = tokenizer.encode_batch(given[i : i + 16])
        ids = {
            "input_ids": np.array([e.ids for e in batch], np.int64),
            "attention_mask": np.array([e.attention_mask for e in batch], np.int64),
            "token_type_ids": np.array([e.type_ids for e in batch], np.int64),
        }
        out.append(session.run(None, {name: ids[name] for name in names})[0])
    return probabilities(np.concatenate(out), manifest.regression)


def _use(manifest: Manifest) -> str:
    one = '("a text", "a second text")' if manifest.pair else '"a text"'
    answer = "session.run(None, ids)[0]"
    if not manifest.regression:
        answer = f"z = {answer}; np.exp(z) / np.exp(z).sum(1, keepdims=True)"
    segments = [
        '    "token_type_ids": [e.type_ids for e in batch],',
        "}",
        "names = {i.name for i in session.get_inputs()}",
        "ids = {k: np.array(v, np.int64) for k, v in ids.items() if k in names}",
    ]
    return "\n".join(
        [
            "```python",
            "import numpy as np, onnxruntime, tokenizers",
            "",
            f'session = onnxruntime.InferenceSession("{_file(manifest)}")',
            'tokenizer = tokenizers.Tokenizer.from_file("tokenizer.json")  # cuts and pads',
            f"batch = tokenizer.encode_batch([{one}])",
            "ids = {",
            '    "input_ids": [e.ids for e in batch],',
            '    "attention_mask": [e.attention_mask for e in batch],',
            *segments,
            answer,
            "```",
        ]
    )


FORMAT = Format(
    name="onnx",
    tldr="one ONNX file for onnxruntime, int8 if wanted",
    kinds=("encoder",),
    write=_write,
    open=OnnxPredictor,
    stock=_stock,
    use=_use,
    refuses=_refuses,
    int8=True,
)
