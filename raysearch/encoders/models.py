"""Modules of rungs: dtype explicit, safetensors only, no code from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.config.ladder import ModelSize
from raysearch.encoders.tokens import Batch
from raysearch.errors import InputError
from raysearch.storage.checkpoints import quiet_libraries


class RowEmbedding(nn.Module):
    """A word embedding of which only the batch's distinct rows get a gradient.

    A dense gradient of a 30,522 x 384 table takes a third of a training step on a CPU. In training
    the rows of the batch are gathered into a small leaf; the loop reads `leaf.grad` and updates
    those rows alone (lazy Adam: rows not in the batch get neither decay nor a momentum step).
    """

    decays: ClassVar[bool] = True
    """Whether weight decay pulls at its rows."""

    def __init__(self, weight: Tensor, padding: int | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float(), requires_grad=False)
        self.padding = padding
        self.train_rows = False
        self.dtype = torch.float32
        self.pending: list[tuple[Tensor, Tensor]] = []
        """(rows, leaf) of each forward since the last update."""

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids (B, S): vectors (B, S, H)."""
        if not (self.train_rows and self.training and torch.is_grad_enabled()):
            return F.embedding(ids, self.weight).to(self.dtype)
        rows, place = ids.unique(return_inverse=True)
        leaf = self.weight.index_select(0, rows).to(self.dtype).requires_grad_()
        self.pending.append((rows, leaf))
        return F.embedding(place, leaf)


class Encoder(nn.Module):
    """The first k layers of a BERT- or RoBERTa-like encoder, without pooler or head."""

    def __init__(self, body: nn.Module, hidden: int) -> None:
        super().__init__()
        self.body = body
        self.hidden = hidden
        table: Any = body.get_input_embeddings()  # type: ignore[operator]
        self.words = RowEmbedding(table.weight, table.padding_idx)
        body.set_input_embeddings(self.words)  # type: ignore[operator]

    def forward(self, batch: Batch) -> Tensor:
        """Return the last hidden states (B, S, H), in the dtype of the layers."""
        mask = None if batch.full else batch.mask
        out: Tensor = self.body(
            input_ids=batch.ids, attention_mask=mask, **batch.types_argument()
        ).last_hidden_state
        return out

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return hidden states (B, S, H) below the first layer, and the mask for `layer`.

        The mask is additive, (B, 1, 1, S): 0 at real tokens, very negative at padding; None where
        no row is padded.
        """
        body: Any = self.body
        types = batch.types_argument() if self._segments else {}
        hidden: Tensor = body.embeddings(input_ids=batch.ids, **types)
        if batch.full:
            return hidden, None
        return hidden, attention_mask(batch, hidden.dtype)

    def layer(self, i: int, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Return hidden states (B, S, H) after layer i, from 0."""
        out = self._layers[i](hidden, mask)
        after: Tensor = out[0] if isinstance(out, tuple) else out
        return after

    @property
    def _layers(self) -> Any:
        body: Any = self.body
        return body.transformer.layer if hasattr(body, "transformer") else body.encoder.layer

    @property
    def _segments(self) -> bool:
        """Return True if the embeddings have segments; DistilBERT's have none."""
        return not hasattr(self.body, "transformer")

    def run_in(self, dtype: torch.dtype) -> None:
        """Convert the layers' weights to `dtype`; the word table stays float32."""
        for name, p in self.named_parameters():
            if not name.endswith("words.weight") and p is not self.words.weight:
                p.data = p.data.to(dtype)
        self.words.dtype = dtype


def attention_mask(batch: Batch, dtype: torch.dtype) -> Tensor:
    """Return the additive attention mask (B, 1, 1, S).

    It is 0 at real tokens, very negative at padding.
    """
    low = torch.finfo(dtype).min / 2
    return torch.where(batch.mask, 0.0, low).to(dtype)[:, None, None, :]


@torch.no_grad()
def scratch(encoder: Encoder, generator: torch.Generator) -> None:
    """Draw all weights anew, in place: N(0, 0.02), biases 0, norms 1; arXiv:1810.04805's code."""
    for module in encoder.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()
        elif isinstance(module, nn.Linear | nn.Embedding | RowEmbedding):
            drawn = torch.empty(module.weight.shape).normal_(0.0, 0.02, generator=generator)
            padding = getattr(module, "padding", getattr(module, "padding_idx", None))
            if padding is not None:
                drawn[padding] = 0.0
            module.weight.copy_(drawn)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()


POOLINGS = ("cls", "mean")


class OnEncoder(nn.Module):
    """An encoder and what stands on it; a forward pass of a batch gives logits."""

    encoder: Encoder


def pool(hidden: Tensor, batch: Batch, pooling: str) -> Tensor:
    """Return one vector a text (B, H).

    `cls`, or the `mean` over real tokens (padding excluded).
    """
    if pooling == "cls":
        return hidden[:, 0]
    if pooling != "mean":
        raise ValueError(f"pooling: no '{pooling}'. Known: {', '.join(POOLINGS)}")
    if batch.full:
        return hidden.mean(dim=1)
    weight = batch.mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1)


def open_encoder(rung: ModelSize, folder: Path, device: torch.device) -> Encoder:
    """Build a rung's encoder from its checkpoint, float32, in eval mode, on `device`.

    Attention is eager on a CPU (at these lengths its bfloat16 backward is faster than the fused
    kernel's, and torch counts its FLOPs) and sdpa on CUDA.

    Raises:
        InputError: the checkpoint is not of the ladder's shape or lacks weights the rung needs.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel

    with quiet_libraries():
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError) as e:
            raise _broken(rung, folder, e) from e
        if rung.depth is not None:
            if rung.depth > config.num_hidden_layers:
                raise InputError(
                    f"model '{rung.name}': depth {rung.depth} is more than the checkpoint's "
                    f"{config.num_hidden_layers} layers"
                )
            config.num_hidden_layers = rung.depth
        extra = {} if config.model_type == "distilbert" else {"add_pooling_layer": False}
        try:
            body, info = AutoModel.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation="sdpa" if device.type == "cuda" else "eager",
                output_loading_info=True,
                **extra,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as e:
            raise _broken(rung, folder, e) from e
    if info["missing_keys"]:
        raise InputError(
            f"model '{rung.name}': {folder.name} lacks weights, "
            f"first {sorted(info['missing_keys'])[0]}"
        )
    _check_shape(rung, body)
    return Encoder(body, config.hidden_size).to(device).eval()


def _broken(rung: ModelSize, folder: Path, error: Exception) -> InputError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(f"model '{rung.name}': {folder.name}/ does not load: {first}")


def _check_shape(rung: ModelSize, body: nn.Module) -> None:
    params = sum(p.numel() for p in body.parameters())
    if rung.params and params != rung.params:
        raise InputError(
            f"ladder.yaml: model '{rung.name}' says {rung.params:,} parameters, "
            f"the checkpoint has {params:,}"
        )
