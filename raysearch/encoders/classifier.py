"""An encoder with a linear head on one pooled vector: what fine-tuning trains and predicts with."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.config.ladder import ModelSize
from raysearch.costs import flops
from raysearch.data.rows import Logits
from raysearch.encoders import batches
from raysearch.encoders.models import Encoder, OnEncoder, pool
from raysearch.encoders.tokens import Batch, Encoded
from raysearch.ledger import Ledger


class Classifier(OnEncoder):
    """Encoder, pooling, dropout, linear layer; the head stays float32."""

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        *,
        pooling: str,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        # skip_init: the global generator is not drawn from
        self.head = nn.utils.skip_init(nn.Linear, encoder.hidden, classes)
        bound = 1 / math.sqrt(encoder.hidden)
        with torch.no_grad():
            self.head.weight.uniform_(-bound, bound, generator=generator)
            self.head.bias.zero_()

    def forward(self, batch: Batch) -> Tensor:
        """Return logits (B, classes), float32."""
        vector = pool(self.encoder(batch), batch, self.pooling)
        logits: Tensor = self.head(self.dropout(vector.to(self.head.weight.dtype)))
        return logits.float()


def task_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Return cross-entropy for class ids, squared error for numbers, averaged over the batch."""
    if label.is_floating_point():
        return F.mse_loss(logits[:, 0], label)
    return F.cross_entropy(logits, label)


@torch.no_grad()
def predict(
    module: nn.Module,
    encoded: Encoded,
    classes: int | tuple[int, ...],
    *,
    rung: ModelSize,
    head_flops: int,
    ledger: Ledger,
    phase: str,
    device: torch.device,
    autocast: bool,
) -> Logits:
    """Return logits (n, classes) in the order of the rows; charge executed FLOPs and tokens.

    `classes` may be the shape of a row's logits, as (exits, classes).
    """
    module.eval()
    shape = (classes,) if isinstance(classes, int) else classes
    out = np.empty((len(encoded.rows), *shape), np.float32)
    spent = tokens = 0
    for index in batches.evaluation_batches(encoded.lengths):
        batch = encoded.batch(index, device)
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            out[index] = module(batch).float().cpu().numpy()
        rows, width = batch.ids.shape
        spent += rows * (int(flops.encoder_forward(rung, width)) + head_flops)
        tokens += batch.tokens
    ledger.charge(phase, flops=spent, tokens=tokens, texts=len(out))
    return out
