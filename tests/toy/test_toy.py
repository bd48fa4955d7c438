"""The toy world is deterministic, small, and worth learning: it teaches, and nothing can be perfect
in it."""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer
from transformers.utils import logging

from raysearch import toy
from raysearch.toy.grammar import LABEL_NOISE, UNLABELLED, normalise

CEILING: Final = 0.98
BUDGETS: Final = (32, 320, 3_200)
STEPS: Final = {32: 100, 320: 300, 3_200: 700}
RATES: Final = {"toy-tiny": 2e-3, "toy-mini": 1e-3, "toy-small": 1e-3}


@pytest.fixture(autouse=True)
def _quiet_and_single() -> object:
    """Loading a bare encoder from a masked LM prints a report each time; threads would fight over
    two cores."""
    verbosity, threads = logging.get_verbosity(), torch.get_num_threads()
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    logging.set_verbosity(verbosity)


@cache
def tokens_of(texts: tuple[str, ...]) -> list[list[int]]:
    """Token ids of texts; all rungs share one vocabulary."""
    return AutoTokenizer.from_pretrained(toy.rung_folder("toy-tiny"))(list(texts))["input_ids"]


def padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """One tensor (rows, longest), zeros behind."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


def half_width(difference: NDArray[np.float64]) -> float:
    """Half of the 95 % interval of a mean over texts."""
    return float(1.96 * difference.std(ddof=1) / np.sqrt(len(difference)))


def cloze(rung: str, classes: int) -> NDArray[np.bool_]:
    """Which test texts a cloze prompt gets right without any training."""
    folder = toy.rung_folder(rung)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    words = tokenizer.convert_tokens_to_ids(list(toy.WORDS[classes]))
    texts, labels = toy.split("test", classes=classes)
    rows = tokens_of(tuple(toy.TEMPLATES[0].format(text=text) for text in texts))
    chosen = np.empty(len(rows), dtype=np.int64)
    order = np.argsort([len(row) for row in rows])
    with torch.no_grad():
        for part in np.array_split(order, 20):
            ids = padded([rows[index] for index in part])
            logits = model(ids, attention_mask=(ids > 0).long()).logits
            chosen[part] = logits[ids == tokenizer.mask_token_id][:, words].argmax(1).numpy()
    return chosen == labels


def fine_tuned(rung: str, labels: int, seed: int) -> NDArray[np.float64]:
    """Which test texts a fine-tuned rung gets right: mean-pooled states, one linear layer,
    AdamW."""
    model = AutoModel.from_pretrained(
        toy.rung_folder(rung), dtype=torch.float32, add_pooling_layer=False
    ).train()
    texts, known = toy.split("train")
    rng = np.random.default_rng(seed)
    rows_of = rng.permutation(len(texts))[:labels]
    rows, targets = tokens_of(tuple(texts)), torch.from_numpy(known)
    torch.manual_seed(seed)
    head = torch.nn.Linear(model.config.hidden_size, 2)
    parameters = [*model.parameters(), *head.parameters()]
    rate, steps = RATES[rung], STEPS[labels]
    optimizer = torch.optim.AdamW(parameters, lr=rate)

    def logits(ids: torch.Tensor) -> torch.Tensor:
        mask = (ids > 0).long()
        states = model(ids, attention_mask=mask).last_hidden_state
        return head((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))

    left: list[int] = []
    for step in range(steps):
        if len(left) < 16:
            left = [*left, *rng.permutation(rows_of).tolist()]
        batch, left = left[:16], left[16:]
        optimizer.param_groups[0]["lr"] = rate * min(
            10 * (step + 1) / steps, (steps - step) / (0.9 * steps)
        )
        loss = torch.nn.functional.cross_entropy(
            logits(padded([rows[index] for index in batch])), targets[batch]
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    texts, known = toy.split("test")
    rows = tokens_of(tuple(texts))
    right = np.empty(len(rows), dtype=np.float64)
    model.eval()
    with torch.no_grad():
        for part in np.array_split(np.argsort([len(row) for row in rows]), 20):
            answers = logits(padded([rows[index] for index in part])).argmax(1).numpy()
            right[part] = answers == known[part]
    return right


@pytest.mark.parametrize("classes", [2, 3])
def test_a_sample_is_a_prefix_of_a_longer_one(classes: int) -> None:
    short, few = toy.sample(50, seed=3, classes=classes)
    long, labels = toy.sample(80, seed=3, classes=classes)
    other, _ = toy.sample(50, seed=4, classes=classes)
    assert short == long[:50]
    assert np.array_equal(few, labels[:50])
    assert few.dtype == np.int64
    assert other != short


@pytest.mark.parametrize("classes", [2, 3])
def test_splits_have_their_sizes_and_share_no_text(classes: int) -> None:
    seen: set[str] = set()
    total = 0
    for name, size in toy.SPLITS.items():
        texts, labels = toy.split(name, classes=classes)
        assert len(texts) == len(labels) == size
        seen.update(normalise(text) for text in texts)
        total += size
        if name == "unlabelled":
            assert set(labels.tolist()) == {UNLABELLED}
        else:
            shares = np.bincount(labels, minlength=classes) / size
            assert np.abs(shares - 1 / classes).max() < 0.05
    assert len(seen) == total


def test_a_split_cannot_be_spoilt_by_its_reader() -> None:
    texts, labels = toy.split("test")
    before = texts[0], labels[0]
    texts[0], labels[0] = "", 1 - labels[0]
    again, known = toy.split("test")
    assert (again[0], known[0]) == before


def test_texts_are_short_and_lower_case() -> None:
    texts, _ = toy.split("test")
    lengths = [len(text.split()) for text in texts]
    assert 8 <= np.median(lengths) <= 25
    assert max(lengths) <= 60
    assert all(text == normalise(text) for text in texts)


def test_wrong_names_are_refused_with_the_good_ones() -> None:
    with pytest.raises(ValueError, match="validation"):
        toy.split("dev")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        toy.sample(1, seed=0, classes=5)
    with pytest.raises(ValueError, match="toy-small"):
        toy.rung_folder("toy-large")


def test_all_rungs_together_stay_under_four_megabytes() -> None:
    folder = toy.rung_folder("toy-tiny").parent
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 4e6


@pytest.mark.parametrize("rung", toy.RUNGS)
def test_a_rung_is_float16_with_tied_weights_stored_once(rung: str) -> None:
    with safe_open(toy.rung_folder(rung) / "model.safetensors", "pt") as weights:
        names = list(weights.keys())
        assert {weights.get_tensor(name).dtype for name in names} == {torch.float16}
    assert not any("decoder.weight" in name or "pooler" in name for name in names)


def test_each_rung_is_larger_than_the_one_before() -> None:
    sizes = [
        sum(
            weight.numel()
            for weight in AutoModel.from_pretrained(toy.rung_folder(rung)).parameters()
        )
        for rung in toy.RUNGS
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("rung", toy.RUNGS)
def test_label_words_are_single_tokens(rung: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy.rung_folder(rung))
    for words in toy.WORDS.values():
        assert tokenizer.tokenize(" ".join(words)) == list(words)
    assert tokenizer.tokenize("GREAT") == ["great"]


def test_the_vocabulary_knows_every_word_and_spells_the_rare_ones() -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy.rung_folder("toy-tiny"))
    texts, _ = toy.split("train")
    words = {word for text in texts for word in text.split()}
    pieces = {word: tokenizer.tokenize(word) for word in words}
    assert not any(tokenizer.unk_token in found for found in pieces.values())
    assert any(len(found) > 1 for found in pieces.values())
    assert all(
        tokenizer.mask_token in template or "{text}" in template for template in toy.TEMPLATES
    )
    assert 1_000 <= len(tokenizer) <= 2_000


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("rung", toy.RUNGS)
def test_a_cloze_prompt_without_training_beats_chance(rung: str, classes: int) -> None:
    right = cloze(rung, classes).astype(np.float64)
    assert right.mean() - half_width(right) > 1 / classes
    assert right.mean() < 1 - LABEL_NOISE


@pytest.mark.slow
def test_it_teaches() -> None:
    """Each rung and each decade of labels gains more than its 95 % interval, and nothing exceeds 98
    %."""
    right = {
        rung: {labels: fine_tuned(rung, labels, seed=0) for labels in BUDGETS} for rung in toy.RUNGS
    }
    assert max(found.mean() for row in right.values() for found in row.values()) < CEILING
    for smaller, larger in zip(toy.RUNGS, toy.RUNGS[1:], strict=False):
        gain = right[larger][BUDGETS[-1]] - right[smaller][BUDGETS[-1]]
        assert gain.mean() > half_width(gain), (smaller, larger)
    for fewer, more in zip(BUDGETS, BUDGETS[1:], strict=False):
        for rung in toy.RUNGS:
            gain = right[rung][more] - right[rung][fewer]
            assert gain.mean() > half_width(gain), (rung, fewer, more)
