"""One ONNX file, token ids in, logits out: encoder and head, or label words, for onnxruntime."""

from __future__ import annotations

import contextlib
import copy
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raysearch.export.manifest import Manifest
from raysearch.export.model import Format, Model
from raysearch.export.onnx_predictor import OnnxPredictor, need, weights_file
from raysearch.export.predictor import probabilities

if TYPE_CHECKING:
    from torch import Tensor, nn

    from raysearch.encoders.graphs import ClozeGraph, EncoderGraph
    from raysearch.training.graph import Graph

OPSET = 17
LIMIT = 2**31 - 2**20
"""Bytes of weights that one protobuf file can hold."""


def _check_graph(graph: Graph) -> str:
    encoder: nn.Module | None = getattr(graph, "encoder", None)
    size = 0 if encoder is None else 4 * sum(p.numel() for p in encoder.parameters())
    if size >= LIMIT:
        return f"{size / 1e9:.1f} GB of weights are more than one ONNX file holds"
    return ""


def _write(model: Model, folder: Path) -> None:
    """Write the graph as model.onnx or, quantised, model.int8.onnx, and tokenizer.json."""
    need("onnx")
    target = folder / weights_file(model.manifest)
    if model.manifest.int8:
        with tempfile.TemporaryDirectory(dir=folder) as home:
            plain = Path(home) / "model.onnx"
            _export(model, plain)
            _quantise(plain, target)
    else:
        _export(model, target)
    if model.question is not None:
        from raysearch.export.prompt import write_prompt

        write_prompt(folder, model.tokeniser, model.manifest, model.question)
        return
    write_tokeniser(model, folder)


def write_tokeniser(model: Model, folder: Path) -> None:
    """Write tokenizer.json, which cuts and pads."""
    backend = copy.deepcopy(model.tokeniser).backend_tokenizer
    backend.enable_truncation(model.manifest.max_length)
    pad = model.tokeniser.pad_token_id or 0
    backend.enable_padding(pad_id=pad, pad_token=model.tokeniser.pad_token or "[PAD]")
    backend.save(str(folder / "tokenizer.json"))


def _export(model: Model, path: Path) -> None:
    """Trace encoder and head with free batch and length."""
    import torch
    from torch import nn

    from raysearch.encoders.graphs import ClozeGraph, EncoderGraph

    graph = model.graph
    assert isinstance(graph, EncoderGraph | ClozeGraph)
    head = _head(graph)
    body: Any = copy.deepcopy(graph.encoder.body).cpu().eval()
    body.set_attn_implementation("eager")
    types = int(getattr(body.config, "type_vocab_size", 0)) > 1

    class Whole(nn.Module):
        """What the file computes."""

        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
            if types and segments is None:
                segments = torch.zeros_like(ids)  # a pattern is one segment
            extra = {} if segments is None else {"token_type_ids": segments}
            hidden = self.body(input_ids=ids, attention_mask=mask, **extra).last_hidden_state
            return head(hidden, ids, mask)

    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (
        types and graph.kind == "encoder"
    )
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    inputs = (torch.full((2, 8), 5), mask, torch.zeros_like(mask))[: len(names)]
    free = {name: {0: "batch", 1: "length"} for name in names} | {"logits": {0: "batch"}}
    trace(Whole(), inputs, path, names, ["logits"], free)


def trace(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    names: list[str],
    outputs: list[str],
    free: Mapping[str, Mapping[int, str]],
) -> None:
    """Write what a module computes as one ONNX file.

    Args:
        module: what is traced.
        inputs: an example of each input.
        path: the file.
        names: of the inputs.
        outputs: names of what comes out.
        free: of inputs and outputs the axes whose size is free, by name.
    """
    import torch

    # NOTE: the exporter on torch.export takes 12 s where tracing takes 2, for the same graph.
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            module.eval(),
            inputs,
            str(path),
            input_names=names,
            output_names=outputs,
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )


def _head(graph: EncoderGraph | ClozeGraph) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return a map from hidden states (B, S, H), token ids and mask (B, S) to logits (B, C)."""
    from raysearch.encoders.graphs import EncoderGraph
    from raysearch.encoders.tokens import Batch

    if isinstance(graph, EncoderGraph):
        plain = graph.head
        return lambda hidden, ids, mask: plain(hidden, Batch(ids, mask, None, full=False))
    cloze = replace(graph, transform=copy.deepcopy(graph.transform).cpu().requires_grad_(False))

    def answer(hidden: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        # at_mask counts rows by len(), which tracing would take for a constant
        place = (ids == cloze.mask).int().argmax(dim=1).view(-1, 1, 1)
        return cloze.answer(hidden.gather(1, place.expand(-1, 1, hidden.shape[2])).squeeze(1))

    return answer


def _quantise(plain: Path, target: Path) -> None:
    """Quantise weights and word table in 8 bits, activations as they come."""
    quantization = need("onnxruntime.quantization")
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
    """Silence the warnings and the root logger, which exporter and quantiser write to."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)


def _stock(
    folder: Path, manifest: Manifest, texts: list[str], pairs: list[str] | None
) -> NDArray[np.float64]:
    """Return probabilities as the model card's few lines give them."""
    runtime, tokenizers = need("onnxruntime"), need("tokenizers")
    session = runtime.InferenceSession(folder / weights_file(manifest))
    if manifest.template:
        from raysearch.export.layout import Layout

        layout, out = Layout(folder), []
        for i in range(0, len(texts), 16):
            made = layout(texts[i : i + 16], None if pairs is None else pairs[i : i + 16])
            out.append(session.run(None, {k: np.array(v) for k, v in made.items()})[0])
        return probabilities(np.concatenate(out), manifest.regression)
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
    given = '["a text"], ["a second text"]' if manifest.pair else '["a text"]'
    one = '("a text", "a second text")' if manifest.pair else '"a text"'
    answer = "session.run(None, ids)[0]"
    if not manifest.regression:
        answer = f"z = {answer}; np.exp(z) / np.exp(z).sum(1, keepdims=True)"
    if manifest.template:
        return "\n".join(
            [
                "```python",
                "import numpy as np, onnxruntime",
                "from layout import Layout  # needs the package tokenizers",
                "",
                f'session = onnxruntime.InferenceSession("{weights_file(manifest)}")',
                'layout = Layout(".")  # puts texts into the pattern, cuts and pads',
                f"ids = {{k: np.array(v) for k, v in layout({given}).items()}}",
                answer,
                "```",
                "",
                "`prompt.json` holds the pattern, as text and as tokens, and the label words.",
            ]
        )
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
            f'session = onnxruntime.InferenceSession("{weights_file(manifest)}")',
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
    rank=3,
    kinds=("encoder", "cloze"),
    write=_write,
    open=OnnxPredictor,
    stock=_stock,
    use=_use,
    check_graph=_check_graph,
    int8=True,
)
