"""Cloze questions: a pattern around the text, and the label words a masked LM puts at its mask.

Sources: pattern and verbaliser as in arXiv:2001.07676 section 3.1; several words a label as there;
one mask, fine-tuned with the classes' words alone in the softmax, as in arXiv:2012.15723 section 4.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.data.rows import Rows
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


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a text goes in a pattern."""

    field: str
    """`text` or `pair`."""
    space: bool
    """Whether a space is before it."""

    def prepared(self, text: str) -> str:
        """Return the text as it is encoded; an empty text stays empty."""
        text = text.strip()
        return f" {text}" if self.space and text else text


@dataclass(frozen=True, slots=True)
class Pattern:
    """A template with one {mask} and {text} (and {pair}), as token ids around a text."""

    template: str

    @property
    def key(self) -> str:
        """Return 16 hex digits over the template."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:16]

    def fields(self) -> list[tuple[str, str]]:
        """Return the literal before each field and the field's name; the last name is empty.

        >>> Pattern("{text} It was {mask}.").fields()
        [('', 'text'), (' It was ', 'mask'), ('.', '')]
        """
        parsed = string.Formatter().parse(self.template)
        out = [(literal, name or "") for literal, name, _, _ in parsed]
        return out if not out[-1][1] else [*out, ("", "")]

    def pieces(self, fast: Any) -> list[list[int] | Slot]:
        """Return fixed token ids, special tokens among them, and slots for texts; in order.

        Byte-level vocabularies distinguish a word after a space from one without: the space before
        a text goes to the text, the one before the mask belongs to the mask.
        """
        opening, closing = _special(fast)
        fixed, out = list(opening), list[list[int] | Slot]()
        for literal, name in self.fields():
            shown = literal.rstrip() if name else literal
            fixed += _ids(fast, [shown])[0] if shown else []
            if name == "mask":
                fixed.append(int(fast.mask_token_id))
            elif name:
                out += [fixed, Slot(name, literal[-1:].isspace())]
                fixed = []
        pieces = [p for p in (*out, [*fixed, *closing]) if p]
        masks = sum(p.count(int(fast.mask_token_id)) for p in pieces if isinstance(p, list))
        if masks != 1:
            raise InputError(
                f"template '{self.template}': holds the mask token itself; write {{mask}} once"
            )
        return pieces

    def encode(
        self, fast: Any, rows: Rows, limit: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return token ids of the rows back to back, and each row's begin and end (n + 1,).

        Each row has the mask token exactly once: mask tokens inside a text are taken out of it. Of
        a row that is longer than `limit` the texts alone are cut at their ends, the longer one
        first; pattern, mask and special tokens stay whole.

        Raises:
            InputError: the pattern alone is longer than `limit`.
        """
        mask = int(fast.mask_token_id)
        pieces = self.pieces(fast)
        room = limit - sum(len(p) for p in pieces if isinstance(p, list))
        if room < 1:
            raise InputError(
                f"template '{self.template}': fills {limit - room} tokens without any text, "
                f"the longest input is {limit}"
            )
        texts: dict[str, Sequence[str]] = {"text": rows.text, "pair": rows.pair or ()}
        found = {
            p.field: [
                [t for t in ids if t != mask]
                for ids in _ids(fast, [p.prepared(text) for text in texts[p.field]])
            ]
            for p in pieces
            if isinstance(p, Slot)
        }
        lists = []
        for i in range(len(rows)):
            parts = {name: ids[i] for name, ids in found.items()}
            kept = dict(zip(parts, shortened([len(p) for p in parts.values()], room), strict=True))
            row: list[int] = []
            for p in pieces:
                row += parts[p.field][: kept[p.field]] if isinstance(p, Slot) else p
            lists.append(row)
        offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(x) for x in lists], out=offsets[1:])
        return np.fromiter((t for x in lists for t in x), np.int32, int(offsets[-1])), offsets


def shortened(lengths: Sequence[int], room: int) -> list[int]:
    """Cut one or two lengths until they fit into `room`, the longer one first.

    >>> shortened([9, 3], 8), shortened([9, 8], 8), shortened([20], 8), shortened([2, 3], 8)
    ([5, 3], [4, 4], [8], [2, 3])
    """
    left = list(lengths)
    over = sum(left) - room
    while over > 0:
        longest = max(range(len(left)), key=lambda i: left[i])
        others = [n for i, n in enumerate(left) if i != longest]
        step = max(1, min(over, left[longest] - max(others, default=0)))
        left[longest] -= step
        over -= step
    return left


def _ids(fast: Any, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    found: list[list[int]] = fast(
        list(texts), add_special_tokens=False, return_attention_mask=False
    )["input_ids"]
    return found


def _special(fast: Any) -> tuple[list[int], list[int]]:
    """Return the tokens that the tokeniser puts before and after a text."""
    bare = _ids(fast, ["a"])[0]
    whole = list(fast("a")["input_ids"])
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return [], []


def word_ids(
    fast: Any, words: Mapping[str, Sequence[str]], model: str
) -> tuple[tuple[int, ...], ...]:
    """Return the token id of each label word, by class in the mapping's order.

    A word is encoded after a space, as inside a sentence.

    Raises:
        InputError: no mask token, a class without a word, a word of several tokens, unknown to the
            vocabulary, or taken twice.
    """
    if fast.mask_token_id is None:
        raise InputError(f"model '{model}': its tokeniser has no mask token; prompting needs one")
    taken: dict[int, str] = {}
    out = []
    for name, several in words.items():
        if not several:
            raise InputError(f"class '{name}': has no label word, must have one")
        ids = []
        for word in several:
            tokens = _ids(fast, [" " + word.strip()])[0]
            where = f"label word '{word}' of class '{name}'"
            if len(tokens) != 1:
                parts = " ".join(fast.convert_ids_to_tokens(tokens)) or "nothing"
                raise InputError(
                    f"{where}: is {len(tokens)} tokens for model '{model}' ({parts}), must be one"
                )
            if tokens[0] == fast.unk_token_id or tokens[0] in fast.all_special_ids:
                raise InputError(f"{where}: is not in the vocabulary of model '{model}'")
            if tokens[0] in taken:
                raise InputError(f"{where}: stands for '{taken[tokens[0]]}' already")
            taken[tokens[0]] = name
            ids.append(tokens[0])
        out.append(tuple(ids))
    return tuple(out)


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


def lacks(folder: Path) -> str | None:
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

    reason = lacks(folder)
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
            found: Tensor = file.get_tensor(weights[name]).float()
            return found

        width = tensor(f"{dense_at}.weight").shape[0]
        dense = nn.utils.skip_init(nn.Linear, width, width)
        eps = getattr(config, "layer_norm_eps", 1e-12)
        norm = nn.LayerNorm(width, eps=eps)
        with torch.no_grad():
            for module, at in ((dense, dense_at), (norm, norm_at)):
                module.weight.copy_(tensor(f"{at}.weight"))
                module.bias.copy_(tensor(f"{at}.bias"))
        if BIASES[kind] in weights:
            every = tensor(BIASES[kind])
        else:
            every = torch.zeros(config.vocab_size)
    bias = torch.stack([every[list(w)].mean() for w in words])
    name = "gelu" if kind == "roberta" else getattr(config, "hidden_act", None) or config.activation
    return MaskedHead(dense, ACT2FN[name], norm, bias).to(device)
