"""Trained points to export: tiny encoders with heads of any shape, and whole runs on tiny tasks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import tiny


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """(folder, rung) of a two-layer random encoder, by model type."""
    home = tmp_path_factory.mktemp("kinds")
    out = {}
    for kind in ("bert", "roberta", "distilbert"):
        folder = tiny.write_encoder(home / kind, layers=2, hidden=32, kind=kind, seed=3)
        out[kind] = folder, tiny.rung(kind, folder)
    return out


@pytest.fixture(scope="session")
def texts():
    """Forty texts, some longer than any model here reads."""
    rng = np.random.default_rng(7)
    return [tiny.text_of(tiny.SIGNAL[i % 5], rng, 4 + 2 * i) for i in range(40)]


@pytest.fixture
def make_run(tiny_ladder, tmp_path_factory):
    """Trains trials on a tiny task and leaves a run's folder, without Ray."""

    def make(task="two", *trials, **changes):
        return tiny.run_folder(tmp_path_factory.mktemp("run"), task, *trials, **changes)

    return make


@pytest.fixture(scope="session")
def askable(tmp_path_factory):
    """(folder, rung) of a two-layer random masked LM, by model type; RoBERTa reads bytes."""
    import torch
    from transformers import AutoModelForMaskedLM

    home = tmp_path_factory.mktemp("askable")
    out = {}
    for kind in ("bert", "roberta", "distilbert"):
        write = byte_level if kind == "roberta" else tiny.write_encoder
        folder = write(home / kind, layers=2, hidden=32, kind=kind, seed=3)
        model = AutoModelForMaskedLM.from_pretrained(folder)
        g = torch.Generator().manual_seed(5)
        with torch.no_grad():  # biases and norms too: fresh ones are 0 and 1
            for p in model.parameters():
                p += 0.1 * torch.randn(p.shape, generator=g)
        model.save_pretrained(folder)
        out[kind] = folder, tiny.rung(kind, folder)
    return out


def byte_level(folder, **shape):
    """A tiny RoBERTa with a vocabulary of bytes, in which " red" and "red" are two tokens."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = Tokenizer(BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    whole = " ".join(tiny.VOCABULARY[len(tiny.SPECIAL) :])
    words.train_from_iterator([whole, *whole.split()] * 20, trainer)
    words.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    size = words.get_vocab_size()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(shape["seed"])
        config = RobertaConfig(
            vocab_size=size,
            hidden_size=shape["hidden"],
            num_hidden_layers=shape["layers"],
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=tiny.POSITIONS,
            initializer_range=0.1,
            type_vocab_size=1,
        )
        RobertaForMaskedLM(config).save_pretrained(folder)
    names = ("bos", "pad", "eos", "unk")
    PreTrainedTokenizerFast(
        tokenizer_object=words,
        model_max_length=tiny.POSITIONS - 2,
        model_input_names=["input_ids", "attention_mask"],
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        **{f"{name}_token": special[i] for i, name in enumerate(names)},
    ).save_pretrained(folder)
    return folder
