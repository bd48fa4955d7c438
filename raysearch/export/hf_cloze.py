"""A prompted model as a whole masked LM for stock transformers: its label words at the mask."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from raysearch.config.ladder import ModelSize
from raysearch.encoders.cloze import BIASES, HEADS, ClozeClassifier, open_head
from raysearch.encoders.graphs import ClozeGraph
from raysearch.encoders.models import open_encoder
from raysearch.encoders.tokens import Encoded
from raysearch.errors import InputError
from raysearch.export.manifest import Manifest
from raysearch.export.model import Model
from raysearch.export.predictor import Predictor, broken, open_layout, part, probabilities, whole
from raysearch.export.prompt import write_prompt
from raysearch.storage.checkpoints import quiet_libraries

if TYPE_CHECKING:
    from raysearch.export.prompt import Question


def write(model: Model, folder: Path) -> None:
    """Write config, weights, tokeniser, and how texts are laid out."""
    graph, manifest, question = model.graph, model.manifest, model.question
    assert isinstance(graph, ClozeGraph) and question is not None
    with quiet_libraries():
        masked_lm(graph, question, manifest.temperature).save_pretrained(folder)
        tokeniser = copy.deepcopy(model.tokeniser)
        tokeniser.model_max_length = manifest.max_length
        tokeniser.save_pretrained(folder)
    write_prompt(folder, model.tokeniser, manifest, question)


@torch.no_grad()
def masked_lm(graph: ClozeGraph, question: Question, temperature: float) -> Any:
    """Return the stock class with the trained weights.

    What follows the head's norm is linear, so that the temperature goes into the norm and into all
    words' biases. Words that no class has keep their bias of the checkpoint; of a class's words
    each moves by what their mean, which is all that was trained, has moved.
    """
    from transformers import AutoModelForMaskedLM

    body: Any = graph.encoder.body
    kind, words = body.config.model_type, body.config.vocab_size
    cpu = torch.device("cpu")
    bias = open_head(question.checkpoint, [(t,) for t in range(words)], cpu).bias / temperature
    for ids, trained in zip(question.ids, graph.bias, strict=True):
        bias[list(ids)] += trained - bias[list(ids)].mean()
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForMaskedLM.from_config(copy.deepcopy(body.config), dtype=torch.float32)
    base: Any = getattr(model, model.base_model_prefix)
    missing, extra = base.load_state_dict(body.state_dict(), strict=False)
    if missing or extra:
        raise InputError(f"export: an encoder of type '{kind}' does not fit its stock class")
    dense, norm = (model.get_submodule(name) for name in HEADS[kind])
    dense.load_state_dict(graph.transform.dense.state_dict())
    norm.weight.copy_(graph.transform.norm.weight / temperature)
    norm.bias.copy_(graph.transform.norm.bias / temperature)
    model.get_parameter(BIASES[kind]).copy_(bias)
    return model.eval()


class ClozePredictor(Predictor):
    """The masked LM in torch; of all words' logits the label words' alone are computed."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        for name in ("config.json", "model.safetensors"):
            part(folder, name)
        self._layout = open_layout(folder, manifest)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if manifest.layers < 1:
            raise InputError(f"{folder.name}: is no encoder that `raysearch export` wrote")
        encoder = open_encoder(
            ModelSize(folder.name, "encoder", depth=manifest.layers), folder, self.device
        )
        mask = self._layout.mask
        try:
            head = open_head(folder, self._layout.words, self.device)
            with torch.no_grad():
                module = ClozeClassifier(encoder, head, self._layout.words, mask).to(self.device)
                weight = module.weight().cpu()
        except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as e:
            raise broken(folder, "model.safetensors or config.json", e) from e
        super().__init__(manifest, 4 * sum(p.numel() for p in module.parameters()))
        bias = head.bias.detach().cpu()
        self.graph = ClozeGraph(encoder, head.eval(), manifest.template, mask, weight, bias)

    def prepare(self, texts: list[str], pairs: list[str] | None = None) -> Encoded:
        """Return token ids inside the pattern, the texts cut to fit."""
        rows = self._layout.rows(whole(texts), None if pairs is None else whole(pairs))
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        flat = np.fromiter((t for r in rows for t in r), np.int32, int(offsets[-1]))
        return Encoded(flat, offsets, None, np.arange(len(rows)), self._layout.pad)

    def infer(self, prepared: Encoded) -> NDArray[np.float32]:
        """Return logits (n, C)."""
        return self.graph.encoded_logits(prepared)


def stock(
    folder: Path, manifest: Manifest, texts: list[str], pairs: list[str] | None
) -> NDArray[np.float64]:
    """Return probabilities as the model card's few lines give them."""
    from transformers import AutoModelForMaskedLM

    from raysearch.export.layout import Layout

    with quiet_libraries():
        model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    layout, out = Layout(folder), []
    for i in range(0, len(texts), 16):
        made = layout(texts[i : i + 16], None if pairs is None else pairs[i : i + 16])
        batch = {name: torch.tensor(value) for name, value in made.items()}
        with torch.no_grad():
            logits = model(**batch).logits[batch["input_ids"] == layout.mask]
        out.append(torch.stack([logits[:, w].mean(1) for w in layout.words], 1).numpy())
    return probabilities(np.concatenate(out), manifest.regression)


def use(manifest: Manifest) -> str:
    """Return the card's few lines."""
    given = '["a text"], ["a second text"]' if manifest.pair else '["a text"]'
    return "\n".join(
        [
            "```python",
            "import torch",
            "from transformers import AutoModelForMaskedLM",
            "from layout import Layout  # needs the package tokenizers",
            "",
            'model = AutoModelForMaskedLM.from_pretrained(".").eval()',
            'layout = Layout(".")  # puts texts into the pattern, cuts and pads',
            f"batch = {{k: torch.tensor(v) for k, v in layout({given}).items()}}",
            'words = model(**batch).logits[batch["input_ids"] == layout.mask]',
            "torch.stack([words[:, w].mean(1) for w in layout.words], 1).softmax(-1)",
            "```",
            "",
            "A masked language model. `prompt.json` holds the pattern around a text, as text and "
            "as tokens, and each label's words; a label's logit is the mean of its words' logits "
            f"at the mask. Inputs are {manifest.max_length} tokens at most, pattern included. For "
            "inference, in float32; only the labels' words were trained as answers.",
        ]
    )
