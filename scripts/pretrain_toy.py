"""Make the toy ladder again: vocabulary and three masked language models, from one seed.

    python scripts/pretrain_toy.py [--out FOLDER] [--rung NAME ...]

Writes one Hugging Face folder a rung (config.json, model.safetensors in float16, tokenizer.json,
tokenizer_config.json, vocab.txt). On one thread of a shared two-core machine it takes about 25 s of
CPU time for toy-tiny, 60 s for toy-mini and 270 s for toy-small, and 2 GB of memory.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from raysearch import toy
from raysearch.toy.grammar import normalise

SEED: Final = 20_251
SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ALPHABET: Final = tuple("abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()-/&%$")
WHOLE_WORDS: Final = 560
"""How many words, the most frequent first, are tokens of their own; rarer ones are spelt in
pieces."""
VOCABULARY: Final = 1_200
VOCABULARY_TEXTS: Final = 60_000
"""How many texts the words are counted in."""
MAX_POSITIONS: Final = 128
MASKED: Final = 0.15
"""Share of the tokens that are asked for."""
LAST_WORD: Final = 0.4
"""How often the last word of a text is asked for: it mostly is the verdict on the rest."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The shape of one rung and how long it reads."""

    hidden: int
    """Width; the feed-forward layer is four times as wide."""
    layers: int
    heads: int
    steps: int
    """Number of batches."""
    peak: float
    """Largest learning rate."""
    spread: float = 1.0
    """Standard deviation of the first weights, in units of width**-0.5.

    The usual 0.02 belongs to a width of 768. With 0.5 toy-tiny finds no polarity; with 1.0
    toy-small needs twice as many steps for the same loss (measured, one run each).
    """
    batch: int = 64
    """Texts in a batch."""
    primer: float = 0.15
    """Share of the steps that read outbursts and are asked for the last word only.

    Which words are kind is found there: it takes 200 steps, and is not found in 800 steps where a
    fifth of all tokens is asked for (measured on toy-mini)."""
    warmup: float = 0.08
    """Share of the steps over which the rate rises; it then falls linearly to zero."""


RECIPES: Final = {
    "toy-tiny": Recipe(hidden=32, layers=1, heads=2, steps=2_000, peak=4e-3),
    "toy-mini": Recipe(hidden=64, layers=2, heads=4, steps=2_000, peak=3e-3),
    "toy-small": Recipe(
        hidden=96, layers=4, heads=4, steps=3_000, peak=1.5e-3, primer=0.1, spread=0.5
    ),
}


def texts_read(recipe: Recipe) -> int:
    """Return how many texts a rung reads; none is read twice."""
    return recipe.steps * recipe.batch


def vocabulary(texts: Sequence[str]) -> list[str]:
    """Return the WordPiece tokens of the toy world, in the order of their ids.

    Special tokens, single characters, the most frequent words, then the pieces that would shorten
    the remaining words most. The trainer of `tokenizers` breaks ties by the order of a hash map, so
    this one counts for itself.
    """
    words = Counter(word for text in texts for word in normalise(text).split())
    ranked = sorted(words, key=lambda word: (-words[word], word))
    tokens = [*SPECIAL, *ALPHABET, *(f"##{letter}" for letter in ALPHABET[:36])]
    have = set(tokens)
    for word in ranked[:WHOLE_WORDS]:
        if word not in have:
            tokens.append(word)
            have.add(word)
    pieces: Counter[str] = Counter()
    for word in ranked[WHOLE_WORDS:]:
        for start in range(len(word)):
            for end in range(start + 2, min(len(word), start + 6) + 1):
                if end - start < len(word):
                    mark = "##" if start else ""
                    pieces[mark + word[start:end]] += end - start - 1
    for piece in sorted(pieces, key=lambda piece: (-pieces[piece], piece)):
        if len(tokens) >= VOCABULARY:
            break
        if piece not in have:
            tokens.append(piece)
            have.add(piece)
    return tokens


def batches(
    lines: list[list[int]],
    recipe: Recipe,
    size: int,
    rng: np.random.Generator,
    rates: tuple[float, float],
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield (ids, attention mask, targets) without end, each (texts, tokens).

    The target of what is not asked for is -100. The rates say how often any
    token, and how often the last word before the full stop, is asked for.
    """
    mask = SPECIAL.index("[MASK]")
    while True:
        order = rng.permutation(len(lines))
        # Texts of like length together, so that little is padded; then batches in random order.
        span = recipe.batch * 32
        chunks = []
        for start in range(0, len(order) - span + 1, span):
            near = sorted(order[start : start + span], key=lambda index: len(lines[index]))
            chunks += [near[i : i + recipe.batch] for i in range(0, span, recipe.batch)]
        for chunk in rng.permutation(len(chunks)):
            rows = [lines[index] for index in chunks[chunk]]
            ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
            for row, line in enumerate(rows):
                ids[row, : len(line)] = line
            asked = (rng.random(ids.shape) < rates[0]) & (ids >= len(SPECIAL))
            final = np.array([len(row) - 3 for row in rows])
            asked[np.arange(len(rows)), final] |= rng.random(len(rows)) < rates[1]
            targets = np.where(asked, ids, -100)
            fate = rng.random(ids.shape)
            shown = np.where(asked & (fate < 0.8), mask, ids)
            stray = rng.integers(len(SPECIAL), size, ids.shape)
            shown = np.where(asked & (fate >= 0.9), stray, shown)
            yield (
                torch.from_numpy(shown),
                torch.from_numpy((ids > 0).astype(np.int64)),
                (torch.from_numpy(targets)),
            )


def pretrain(
    name: str, primer: list[list[int]], lines: list[list[int]], tokens: list[str]
) -> BertForMaskedLM:
    """Train one rung from scratch on tokenised texts."""
    recipe = RECIPES[name]
    torch.manual_seed(SEED)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokens),
            hidden_size=recipe.hidden,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            intermediate_size=4 * recipe.hidden,
            max_position_embeddings=MAX_POSITIONS,
            type_vocab_size=2,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=recipe.spread * recipe.hidden**-0.5,
        )
    )
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.peak, betas=(0.9, 0.98), weight_decay=0.01
    )
    warm = max(1, round(recipe.warmup * recipe.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warm, max(0.0, (recipe.steps - step) / (recipe.steps - warm))
        ),
    )
    rng = np.random.default_rng(SEED)
    first = batches(primer, recipe, len(tokens), rng, (0.0, 1.0))
    then = batches(lines, recipe, len(tokens), rng, (MASKED, LAST_WORD))
    began, mean = time.process_time(), 0.0
    for step in range(1, recipe.steps + 1):
        ids, attention, targets = next(first if step <= recipe.primer * recipe.steps else then)
        hidden = model.bert(ids, attention_mask=attention).last_hidden_state
        asked = targets != -100
        # The head is dear: it is asked only where something is hidden.
        loss = torch.nn.functional.cross_entropy(model.cls(hidden[asked]), targets[asked])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        if step % 250 == 0:
            spent = time.process_time() - began
            print(f"{name}: step {step}/{recipe.steps}, loss {mean:.3f}, {spent:.0f} s", flush=True)
    return model.eval()


def wordpiece(tokens: Sequence[str]) -> BertTokenizer:
    """Return the lower-casing tokenizer of a vocabulary."""
    ids = {token: index for index, token in enumerate(tokens)}
    return BertTokenizer(ids, do_lower_case=True, model_max_length=MAX_POSITIONS)


def save(model: BertForMaskedLM, tokens: list[str], name: str, folder: Path) -> None:
    """Write one rung: tied weights once, float16, and the tokenizer beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    wordpiece(tokens).save_pretrained(folder)
    model.config.architectures = ["BertForMaskedLM"]
    model.half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


def main() -> None:
    """Read the command line and make what it asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=toy.rung_folder("toy-tiny").parent)
    parser.add_argument("--rung", nargs="+", choices=toy.RUNGS, default=toy.RUNGS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    # Each rung reads a prefix of the same texts: it comes out the same alone and with the others.
    longest = max(VOCABULARY_TEXTS, *(texts_read(RECIPES[name]) for name in chosen.rung))
    texts = toy.pretraining_texts(longest, seed=SEED)
    tokens = vocabulary(texts[:VOCABULARY_TEXTS])
    tokenizer = wordpiece(tokens)
    for name in chosen.rung:
        size = texts_read(RECIPES[name])
        outbursts = toy.pretraining_texts(size // 4, seed=SEED + 1, outbursts=1.0, verdict=1.0)
        primer: list[list[int]] = tokenizer(outbursts)["input_ids"]
        lines: list[list[int]] = tokenizer(texts[:size])["input_ids"]
        model = pretrain(name, primer, lines, tokens)
        save(model, tokens, name, chosen.out / name)


if __name__ == "__main__":
    main()
