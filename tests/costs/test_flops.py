"""Closed forms of FLOPs against the published table and torch's counter."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from raysearch.config.ladder import ModelSize
from raysearch.costs import flops

# Layers' forward FLOPs of the BERT miniatures (arXiv:1908.08962) at 64 and 128 tokens: /work notes,
# table of section 6, to the four digits it prints.
MINIATURES = {
    (2, 128): (5.453e7, 1.174e8),
    (2, 256): (2.097e8, 4.362e8),
    (2, 512): (8.221e8, 1.678e9),
    (2, 768): (1.837e9, 3.725e9),
    (4, 256): (4.194e8, 8.724e8),
    (4, 512): (1.644e9, 3.355e9),
    (8, 512): (3.288e9, 6.711e9),
    (10, 128): (2.726e8, 5.872e8),
    (12, 768): (1.102e10, 2.235e10),
    (24, 1024): (3.906e10, 7.892e10),
}


def shape(layers, hidden, intermediate=None):
    return ModelSize(
        "x", "encoder", layers=layers, hidden=hidden, intermediate=intermediate or 4 * hidden
    )


@pytest.mark.parametrize("size", MINIATURES, ids=str)
def test_the_published_table(size):
    for length, printed in zip((64, 128), MINIATURES[size], strict=True):
        assert float(f"{int(flops.encoder_forward(shape(*size), length)):.3e}") == printed


@pytest.mark.parametrize(
    ("layers", "hidden", "wide", "rows", "length"),
    [(1, 32, 64, 1, 1), (2, 48, 80, 3, 7), (3, 64, 256, 2, 33)],
)
def test_torchs_counter_to_the_digit(layers, hidden, wide, rows, length):
    config = BertConfig(
        vocab_size=50,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 16,
        intermediate_size=wide,
        max_position_embeddings=64,
        attn_implementation="eager",
    )
    body = BertModel(config, add_pooling_layer=False)
    ids = torch.randint(0, 50, (rows, length))
    expected = rows * int(flops.encoder_forward(shape(layers, hidden, wide), length))
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        body(ids, attention_mask=torch.ones_like(ids))
    assert forward.get_total_flops() == expected
    body.embeddings.word_embeddings.weight.requires_grad_(False)
    with FlopCounterMode(display=False) as both:
        body(ids).last_hidden_state.sum().backward()
    assert both.get_total_flops() == flops.TRAIN_FACTOR * expected


def test_a_head_is_a_linear_layer():
    with FlopCounterMode(display=False) as counter:
        torch.nn.Linear(37, 5)(torch.ones(1, 37))
    assert counter.get_total_flops() == flops.linear_forward(37, 5)


def test_one_number_a_length():
    tiny = shape(2, 128)
    out = flops.encoder_forward(tiny, np.array([0, 64, 128]))
    assert out.dtype == np.int64 and out[0] == 0
    assert out[1:].tolist() == [int(flops.encoder_forward(tiny, s)) for s in (64, 128)]


def test_large_models_do_not_overflow():
    out = int(flops.encoder_forward(shape(96, 12288), 8192))
    assert out == 96 * (2 * 8192 * 12 * 12288**2 + 4 * 8192**2 * 12288) > 2**48


def test_a_batch_pays_for_its_padding():
    tiny = shape(1, 32, 64)
    lengths = [np.array([3, 9, 4]), np.array([], np.int64), np.array([5])]
    assert flops.padded(lengths[0]) == 27 and flops.padded(lengths[1]) == 0
    one = 3 * int(flops.encoder_forward(tiny, 9)) + int(flops.encoder_forward(tiny, 5))
    assert flops.batch_forward(tiny, lengths) == one
