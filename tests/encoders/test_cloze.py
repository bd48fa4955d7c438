"""Patterns, label words and the masked-LM head at the mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from raysearch.costs import flops
from raysearch.data.rows import Rows
from raysearch.encoders.cloze import ClozeClassifier, missing_head_reason, open_head
from raysearch.encoders.models import open_encoder
from raysearch.encoders.patterns import Pattern, shortened, word_ids
from raysearch.encoders.tokens import Encoded, fast_tokeniser
from raysearch.errors import InputError
from tests.support import tiny

CPU = torch.device("cpu")
WORDS = {"bad": ("terrible", "odd"), "good": ("great",)}


@pytest.fixture(scope="module", params=["bert", "roberta", "distilbert"])
def folder(request, tmp_path_factory):
    return tiny.write_encoder(tmp_path_factory.mktemp(request.param), layers=2, kind=request.param)


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory):
    """A byte-level BPE like RoBERTa's: ' great' is one token, 'great' is several."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(BPE(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(["it was great and terrible . It was great"] * 50, trainer)
    words.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        cls_token="<s>",
        sep_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def rows(texts, pairs=None):
    return Rows("none", np.arange(len(texts)), list(texts), pairs)


def laid(fast, template, texts, limit=32, pairs=None):
    flat, offsets = Pattern(template).encode(fast, rows(texts, pairs), limit)
    return [flat[a:b].tolist() for a, b in zip(offsets, offsets[1:], strict=False)]


# --- patterns -------------------------------------------------------------------------------------

HOSTILE = [
    "",
    "red",
    "[MASK] red [MASK]",
    "red " * 300,
    "{mask} {text}",
    "\u2028\x00 é",
    "[SEP] [CLS]",
]


@pytest.mark.parametrize("template", [*tiny.TEMPLATES["one"], "{text}{mask}"])
@pytest.mark.parametrize("limit", [12, 32])
def test_one_mask_whatever_the_text_and_never_longer_than_the_limit(folder, template, limit):
    fast = fast_tokeniser(folder)
    for ids in laid(fast, template, HOSTILE, limit):
        assert ids.count(fast.mask_token_id) == 1
        assert len(ids) <= limit
        assert ids[0] == fast.cls_token_id and ids[-1] == fast.sep_token_id


def test_only_the_text_is_shortened(folder):
    fast = fast_tokeniser(folder)
    (short,) = laid(fast, "{text} it was {mask} .", ["red"])
    (long,) = laid(fast, "{text} it was {mask} .", ["red " * 300], limit=12)
    assert short[-5:] == long[-5:] and len(long) == 12
    assert long[1:-5] == [short[1]] * 6


def test_pairs_are_shortened_longer_first(folder):
    fast = fast_tokeniser(folder)
    red, blue = (laid(fast, "{mask} {text}", [w])[0][2] for w in ("red", "blue"))
    (ids,) = laid(fast, "{text} , {mask} , {pair}", ["red " * 20], 14, ["blue " * 3])
    assert ids.count(red) == 6 and ids.count(blue) == 3 and len(ids) == 14


@pytest.mark.parametrize("seed", range(20))
def test_shortening_takes_no_more_than_it_must(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 40, 2).tolist()
    room = int(rng.integers(1, 60))
    left = shortened(lengths, room)
    assert sum(left) == min(sum(lengths), room)
    assert all(0 <= a <= b for a, b in zip(left, lengths, strict=True))
    cut = [i for i in (0, 1) if left[i] < lengths[i]]
    assert all(left[i] >= left[1 - i] - 1 for i in cut), "the shorter one was cut"


def test_a_pattern_longer_than_the_input_is_refused(folder):
    with pytest.raises(InputError, match=r"fills .* tokens without any text, the longest input is"):
        laid(fast_tokeniser(folder), "it was on the of to in and {mask} with {text}", ["red"], 8)


def test_a_byte_level_text_keeps_its_space_and_the_mask_takes_one(byte_level):
    """' great' after a literal is the word's own token; without the space it is another."""
    (ids,) = laid(byte_level, "it was {mask} . {text}", ["great"])
    spaced = byte_level(" great", add_special_tokens=False)["input_ids"]
    bare = byte_level("great", add_special_tokens=False)["input_ids"]
    assert len(spaced) == 1 and spaced != bare
    assert ids[-2:] == [*spaced, byte_level.eos_token_id]
    space = byte_level(" ", add_special_tokens=False)["input_ids"][0]
    at = ids.index(byte_level.mask_token_id)
    assert ids[at - 1] != space, "a lone space stands before the mask"
    (first,) = laid(byte_level, "{text} it was {mask}.", ["great"])
    assert first[1 : 1 + len(bare)] == bare, "a text at the start has no space before it"


# --- label words ----------------------------------------------------------------------------------


def test_words_are_ids_by_class_in_order(folder):
    ids = word_ids(fast_tokeniser(folder), WORDS, "m")
    known = [tiny.VOCABULARY.index(w) for w in ("terrible", "odd", "great")]
    assert ids == ((known[0], known[1]), (known[2],))


def test_byte_level_words_have_their_leading_space(byte_level):
    (ids,) = word_ids(byte_level, {"good": ("great",)}, "m")
    assert byte_level.convert_ids_to_tokens(ids[0]) == "Ġgreat"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            {"bad": ("reds",), "good": ("great",)},
            "'reds' of class 'bad': is 2 tokens for model 'm'",
        ),
        (
            {"bad": ("zebra",), "good": ("great",)},
            "'zebra' of class 'bad': is not in the vocabulary",
        ),
        (
            {"bad": ("great",), "good": ("great",)},
            "'great' of class 'good': stands for 'bad' already",
        ),
        ({"bad": (), "good": ("great",)}, "class 'bad': has no label word"),
        ({"bad": ("[SEP]",), "good": ("great",)}, "is not in the vocabulary"),
        ({"bad": ("",), "good": ("great",)}, "is 0 tokens"),
    ],
)
def test_words_that_cannot_serve_are_named(folder, words, says):
    with pytest.raises(InputError, match=says.replace("[", r"\[")) as e:
        word_ids(fast_tokeniser(folder), words, "m")
    assert "\n" not in str(e.value)


def test_a_tokeniser_without_a_mask_is_refused(folder):
    import copy

    bare = copy.deepcopy(fast_tokeniser(folder))
    bare.mask_token = None
    with pytest.raises(InputError, match="model 'm': its tokeniser has no mask token"):
        word_ids(bare, WORDS, "m")


# --- the head -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(folder):
    """The checkpoint as transformers' masked LM, its head's biases made visible."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForMaskedLM

    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        if name.endswith((".bias", "LayerNorm.weight", "layer_norm.weight")):
            tensors[name] = tensors[name] + torch.randn(
                tensors[name].shape, generator=torch.Generator().manual_seed(len(name))
            )
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()


def batch_of(fast, template, texts, device=CPU):
    flat, offsets = Pattern(template).encode(fast, rows(texts), 32)
    encoded = Encoded(flat, offsets, None, np.arange(len(texts)), int(fast.pad_token_id or 0))
    return encoded.batch(np.arange(len(texts)), device)


@pytest.mark.parametrize("template", tiny.TEMPLATES["one"])
def test_class_logits_are_the_whole_heads_logits_at_the_mask(folder, whole, template):
    """Gathered first or last: the same numbers; several words are the mean of their logits."""
    fast = fast_tokeniser(folder)
    words = word_ids(fast, WORDS, "m")
    batch = batch_of(fast, template, ["red the of", "a", "blue " * 12])
    rung = tiny.rung("m", folder)
    module = ClozeClassifier(
        open_encoder(rung, folder, CPU), open_head(folder, words, CPU), words, fast.mask_token_id
    ).eval()
    with torch.no_grad():
        ours = module(batch)
        logits = whole(input_ids=batch.ids, attention_mask=batch.mask.long()).logits
    at = (batch.ids == fast.mask_token_id).nonzero()
    assert at[:, 0].tolist() == [0, 1, 2]
    at_mask = logits[at[:, 0], at[:, 1]]
    expected = torch.stack([at_mask[:, list(w)].mean(dim=1) for w in words], dim=1)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01


def test_the_head_is_paid_for_at_the_mask_alone(folder):
    fast = fast_tokeniser(folder)
    words = word_ids(fast, WORDS, "m")
    rung = tiny.rung("m", folder)
    module = ClozeClassifier(
        open_encoder(rung, folder, CPU), open_head(folder, words, CPU), words, fast.mask_token_id
    ).eval()
    batch = batch_of(fast, "{text} it was {mask} .", ["red the of", "a"])
    with torch.no_grad(), FlopCounterMode(display=False) as seen:
        module(batch)
    body = 2 * int(flops.encoder_forward(rung, batch.ids.shape[1]))
    head = flops.linear_forward(32, 32) + flops.linear_forward(32, 2)
    assert seen.get_total_flops() == body + 2 * head


def test_the_words_move_in_training_and_no_others_do(folder):
    fast = fast_tokeniser(folder)
    words = word_ids(fast, WORDS, "m")
    rung = tiny.rung("m", folder)
    module = ClozeClassifier(
        open_encoder(rung, folder, CPU), open_head(folder, words, CPU), words, fast.mask_token_id
    ).train()
    module.encoder.words.train_rows = True
    batch = batch_of(fast, "{mask} : {text}", ["red"])
    module(batch).sum().backward()
    moved = {
        int(r)
        for ids, leaf in module.encoder.words.pending
        for r, g in zip(ids, leaf.grad, strict=True)
        if g.abs().sum() > 0
    }
    assert moved == set(batch.ids.unique().tolist()) | {t for w in words for t in w}


def test_a_checkpoint_without_the_head_is_refused(folder, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    other = shutil.copytree(folder, tmp_path / "headless")
    tensors = load_file(other / "model.safetensors")
    body = {k: v for k, v in tensors.items() if not k.startswith(("cls.", "lm_head", "vocab_"))}
    save_file(body, other / "model.safetensors", metadata={"format": "pt"})
    assert missing_head_reason(folder) is None
    assert missing_head_reason(other) == "its checkpoint has no masked-LM head"
    with pytest.raises(InputError, match="no masked-LM head; prompting needs one"):
        open_head(other, [(1,), (2,)], CPU)
