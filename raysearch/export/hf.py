"""A folder that stock transformers opens: a sequence classifier, or a masked LM (hf_cloze)."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from raysearch.config.ladder import ModelSize
from raysearch.data.rows import Rows
from raysearch.encoders.graphs import ClozeGraph, EncoderGraph
from raysearch.encoders.models import open_encoder
from raysearch.encoders.tokens import Encoded, Tokeniser
from raysearch.errors import InputError
from raysearch.export import hf_cloze, surgery
from raysearch.export.manifest import Manifest
from raysearch.export.model import Format, Model
from raysearch.export.predictor import Predictor, broken, part, probabilities, whole
from raysearch.storage.checkpoints import quiet_libraries
from raysearch.storage.store import Store

if TYPE_CHECKING:
    from raysearch.training.graph import Graph

HEAD = "head.safetensors"
ROLES = {
    "bert": {
        "value": "attention.self.value.weight",
        "dense": "attention.output.dense.weight",
        "dense_bias": "attention.output.dense.bias",
        "gamma1": "attention.output.LayerNorm.weight",
        "beta1": "attention.output.LayerNorm.bias",
        "gamma2": "output.LayerNorm.weight",
        "beta2": "output.LayerNorm.bias",
    },
    "distilbert": {
        "value": "attention.v_lin.weight",
        "dense": "attention.out_lin.weight",
        "dense_bias": "attention.out_lin.bias",
        "gamma1": "sa_layer_norm.weight",
        "beta1": "sa_layer_norm.bias",
        "gamma2": "output_layer_norm.weight",
        "beta2": "output_layer_norm.bias",
    },
}
"""Names of a layer's tensors by the roles of `surgery.averaging`."""
ROLES["roberta"] = ROLES["bert"]


def _check_graph(graph: Graph) -> str:
    if not isinstance(graph, EncoderGraph):
        return ""  # a masked LM comes out as what it was
    body: Any = graph.encoder.body
    config = body.config
    if config.model_type not in ROLES:
        return f"encoders of type '{config.model_type}' are not known to it"
    if graph.normalise:
        return "no class of transformers scales the pooled vector to one length"
    if graph.pooling == "mean" and not surgery.room(graph.classes, config.hidden_size):
        return (
            f"mean pooling with {graph.classes} classes does not fit into "
            f"{config.hidden_size} channels"
        )
    return ""


def _write(model: Model, folder: Path) -> None:
    """Write config, weights, tokeniser, and the head once more for this project's loader."""
    graph, manifest = model.graph, model.manifest
    if isinstance(graph, ClozeGraph):
        return hf_cloze.write(model, folder)
    assert isinstance(graph, EncoderGraph)
    with quiet_libraries():
        stock = _stock_model(graph, manifest)
        stock.save_pretrained(folder)
        tokeniser = copy.deepcopy(model.tokeniser)
        tokeniser.backend_tokenizer.no_truncation()
        tokeniser.backend_tokenizer.no_padding()
        tokeniser.model_max_length = manifest.max_length
        tokeniser.save_pretrained(folder)
    save_file({"weight": graph.weight.contiguous(), "bias": graph.bias}, folder / HEAD)


@torch.no_grad()
def _stock_model(graph: EncoderGraph, manifest: Manifest) -> Any:
    from transformers import AutoModelForSequenceClassification

    body: Any = graph.encoder.body
    kind, mean = body.config.model_type, graph.pooling == "mean"
    config = copy.deepcopy(body.config)
    config.num_hidden_layers += mean
    names = manifest.labels or ("value",)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}
    config.problem_type = "regression" if manifest.regression else "single_label_classification"
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    base: Any = getattr(model, model.base_model_prefix)
    missing, extra = base.load_state_dict(body.state_dict(), strict=False)
    layers = base.transformer.layer if kind == "distilbert" else base.encoder.layer
    added = {id(p) for p in layers[-1].parameters()} if mean else set()
    named = dict(base.named_parameters())
    if extra or any(id(named[n]) not in added and "pooler" not in n for n in missing):
        raise InputError(f"export: an encoder of type '{kind}' does not fit its stock class")
    last = layers[-2 if mean else -1].state_dict()
    roles = ROLES[kind]
    norm = surgery.Norm(last[roles["gamma2"]].double().cpu(), last[roles["beta2"]].double().cpu())
    weight, bias = graph.weight.double(), graph.bias.double()
    reading = surgery.Reading(weight, norm.bound())
    if mean:
        tensors, reading = surgery.averaging(weight, norm)
        for p in layers[-1].parameters():
            p.zero_()
        for role, tensor in tensors.items():
            layers[-1].get_parameter(roles[role]).copy_(tensor)
    if kind == "distilbert":
        dense, lift, weight, bias = surgery.through_relu(reading, bias)
        _set(model.pre_classifier, dense, lift)
        _set(model.classifier, weight, bias)
    else:
        dense, weight, bias = surgery.through_tanh(reading, bias)
        plain: Any = base.pooler.dense if kind == "bert" else model.classifier.dense
        _set(plain, dense, torch.zeros(len(dense)))
        _set(model.classifier if kind == "bert" else model.classifier.out_proj, weight, bias)
    return model.eval()


def _set(linear: Any, weight: Tensor, bias: Tensor) -> None:
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)


class EncoderPredictor(Predictor):
    """The trained layers alone with pooling and head, in torch: no averaging layer is computed."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        for name in ("config.json", "model.safetensors", "tokenizer.json", HEAD):
            part(folder, name)
        try:
            kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
            head = load_file(folder / HEAD)
            weight, bias = head["weight"].float(), head["bias"].float()
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as e:
            raise broken(folder, "config.json or " + HEAD, e) from e
        if kind not in ROLES or manifest.layers < 1 or manifest.pooling not in ("mean", "cls"):
            raise InputError(f"{folder.name}: is no encoder that `raysearch export` wrote")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        rung = ModelSize(folder.name, "encoder", depth=manifest.layers)
        encoder = open_encoder(rung, folder, self.device)
        if weight.shape != (manifest.classes, encoder.hidden) or bias.shape != weight.shape[:1]:
            raise InputError(f"{folder.name}/{HEAD}: does not fit the encoder and raysearch.json")
        params = sum(p.numel() for p in encoder.parameters()) + weight.numel() + bias.numel()
        super().__init__(manifest, 4 * params)
        self.graph = EncoderGraph(encoder, manifest.pooling, manifest.normalise, weight, bias)
        store = Store(folder)  # nothing is put there: only splits of a task are kept
        self._tokens = Tokeniser(folder, store, {}, "", manifest.max_length)
        try:
            tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._tokens.encode(Rows("texts", np.arange(1), ["a"]))
        except Exception as e:  # the package's only error class
            raise broken(folder, "tokenizer.json", e) from e

    def prepare(self, texts: list[str], pairs: list[str] | None = None) -> Encoded:
        """Return token ids, cut at the model's longest input."""
        second = None if pairs is None else whole(pairs)
        return self._tokens.encode(Rows("texts", np.arange(len(texts)), whole(texts), second))

    def infer(self, prepared: Encoded) -> NDArray[np.float32]:
        """Return logits (n, C)."""
        return self.graph.encoded_logits(prepared)


def _stock(
    folder: Path, manifest: Manifest, texts: list[str], pairs: list[str] | None
) -> NDArray[np.float64]:
    """Return probabilities through the classes of transformers alone."""
    if manifest.template:
        return hf_cloze.stock(folder, manifest, texts, pairs)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with quiet_libraries():
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
    out = []
    for i in range(0, len(texts), 16):
        second = None if pairs is None else pairs[i : i + 16]
        batch = tokenizer(
            texts[i : i + 16], second, truncation=True, padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            out.append(model(**batch).logits.float().numpy())
    return probabilities(np.concatenate(out), manifest.regression)


def _use(manifest: Manifest) -> str:
    if manifest.template:
        return hf_cloze.use(manifest)
    second = ', "a second text"' if manifest.pair else ""
    answer = "" if manifest.regression else ".softmax(-1)"
    lines = [
        "```python",
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        "",
        'model = AutoModelForSequenceClassification.from_pretrained(".").eval()',
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        f'batch = tokenizer("a text"{second}, truncation=True, return_tensors="pt")',
        f"model(**batch).logits{answer}",
        "```",
        "",
        f"Texts are cut at {manifest.max_length} tokens: say `truncation=True`. For inference, in "
        "float32.",
    ]
    if manifest.pooling == "mean":
        lines += [
            "",
            f"The last of the {manifest.layers + 1} layers only averages tokens: mean pooling has "
            "no class of its own in transformers. Its weights are large and must not be trained or "
            f"quantised. To train on, take the first {manifest.layers} layers; "
            f"`{HEAD}` holds the linear head on their mean.",
        ]
    return "\n".join(lines)


def _open(folder: Path, manifest: Manifest) -> Predictor:
    if manifest.template:
        return hf_cloze.ClozePredictor(folder, manifest)
    return EncoderPredictor(folder, manifest)


FORMAT = Format(
    name="hf",
    tldr="a checkpoint for stock transformers",
    rank=0,
    kinds=("encoder", "cloze"),
    write=_write,
    open=_open,
    stock=_stock,
    use=_use,
    check_graph=_check_graph,
)
