"""Cloze questions: a pattern around the text, and the label words a masked LM puts at its mask.

Sources: pattern and verbaliser as in arXiv:2001.07676 section 3.1; several words a label as there;
one mask, fine-tuned with the classes' words alone in the softmax, as in arXiv:2012.15723 section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoders.models import Encoder, OnEncoder
from raysearch.encoders.tokens import Batch, fast_tokeniser
from raysearch.errors import InputError
from raysearch.storage.checkpoints import quiet_libraries

HEADS = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm"),
    "distilbert": ("vocab_transform", "vocab_layer_norm"),
}
"""By type of model: where the first layer and the norm of its masked-LM head lie."""
BIASES = {"bert": "cls.predictions.bias", "roberta": "lm_head.bias"}
BIASES["distilbert"] = "vocab_projector.bias"


class MaskedHead(nn.Module):
    """A masked LM's head up to the words: dense, activation, norm; and the words' biases."""

    def __init__(self, dense: nn.Linear, activation: Any, norm: nn.LayerNorm, bias: Tensor) -> None:
        super().__init__()
        self.dense = dense
        self.activation = activation
        self.norm = norm
        self.bias = nn.Parameter(bias.detach().clone())
        """(classes,): the mean bias of each class's label words."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states at the mask (B, H) to vectors compared with words (B, H)."""
        out: Tensor = self.norm(self.activation(self.dense(hidden)))
        return out


class ClozeClassifier(OnEncoder):
    """A masked LM that predicts label words: their logits at the mask, and no others.

    The words' output embeddings are the input embeddings of the same tokens (tied), and training
    updates them as such. Logits of several words of a class are averaged; the product is linear, so
    their embeddings are averaged first.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: MaskedHead,
        words: Sequence[Sequence[int]],
        mask: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.mask = mask
        most = max(len(w) for w in words)
        self.shape = (len(words), most)
        ids = [t for w in words for t in (*w, *[w[0]] * (most - len(w)))]
        share = [s for w in words for s in (*[1 / len(w)] * len(w), *[0.0] * (most - len(w)))]
        self.register_buffer("ids", torch.tensor(ids), persistent=False)
        self.register_buffer("share", torch.tensor(share).unsqueeze(1), persistent=False)

    def weight(self) -> Tensor:
        """Return the mean embedding of each class's label words (C, H), float32."""
        classes, most = self.shape
        rows = self.encoder.words(self.get_buffer("ids")).float() * self.get_buffer("share")
        out: Tensor = rows.view(classes, most, -1).sum(dim=1)
        return out

    def forward(self, batch: Batch) -> Tensor:
        """Return logits (B, classes), float32."""
        hidden = at_mask(self.encoder(batch), batch.ids, self.mask)
        vector = self.head(hidden.to(self.head.dense.weight.dtype))
        # Logits of words share a large offset: in bfloat16 close ones would become ties.
        with torch.autocast(vector.device.type, enabled=False):
            return F.linear(vector.float(), self.weight(), self.head.bias)


def at_mask(hidden: Tensor, ids: Tensor, mask: int) -> Tensor:
    """Return hidden states at each row's mask token (B, H), of those of all tokens (B, S, H)."""
    place = (ids == mask).int().argmax(dim=1)
    return hidden[torch.arange(len(ids), device=ids.device), place]


def missing_head_reason(folder: Path) -> str | None:
    """Return why a checkpoint cannot predict at a mask; None when it can. Reads no weights."""
    from safetensors import safe_open
    from transformers import AutoConfig

    fast = fast_tokeniser(folder)
    if fast.mask_token_id is None:
        return "its tokeniser has no mask token"
    with quiet_libraries():
        kind = AutoConfig.from_pretrained(folder, trust_remote_code=False).model_type
    if kind not in HEADS:
        return f"prompting knows no masked-LM head of type {kind}; known: {', '.join(HEADS)}"
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = set(file.keys())
    dense, norm = HEADS[kind]
    if not all(any(k.startswith(f"{p}.") for k in names) for p in (dense, norm)):
        return "its checkpoint has no masked-LM head"
    return None


def open_head(folder: Path, words: Sequence[Sequence[int]], device: torch.device) -> MaskedHead:
    """Open a checkpoint's masked-LM head, with the biases of these label words; float32.

    Raises:
        InputError: the checkpoint has none, or its output embeddings are not the input ones.
    """
    from safetensors import safe_open
    from transformers import AutoConfig
    from transformers.activations import ACT2FN

    reason = missing_head_reason(folder)
    if reason is not None:
        raise InputError(f"model folder {folder.name}/: {reason}; prompting needs one")
    with quiet_libraries():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if not config.tie_word_embeddings:
        raise InputError(
            f"model folder {folder.name}/: its output embeddings are not its input embeddings; "
            "prompting needs them tied"
        )
    kind = config.model_type
    dense_at, norm_at = HEADS[kind]
    with safe_open(folder / "model.safetensors", "pt") as file:
        # An old name of the same number: BERT's norms are gamma and beta in checkpoints of 2018.
        weights = {k.replace(".gamma", ".weight").replace(".beta", ".bias"): k for k in file.keys()}

        def tensor(name: str) -> Tensor:
            value: Tensor = file.get_tensor(weights[name]).float()
            return value

        width = tensor(f"{dense_at}.weight").shape[0]
        dense = nn.utils.skip_init(nn.Linear, width, width)
        eps = getattr(config, "layer_norm_eps", 1e-12)
        norm = nn.LayerNorm(width, eps=eps)
        with torch.no_grad():
            for module, at in ((dense, dense_at), (norm, norm_at)):
                module.weight.copy_(tensor(f"{at}.weight"))
                module.bias.copy_(tensor(f"{at}.bias"))
        if BIASES[kind] in weights:
            biases = tensor(BIASES[kind])
        else:
            biases = torch.zeros(config.vocab_size)
    bias = torch.stack([biases[list(w)].mean() for w in words])
    name = "gelu" if kind == "roberta" else getattr(config, "hidden_act", None) or config.activation
    return MaskedHead(dense, ACT2FN[name], norm, bias).to(device)
