"""Make the toy ladder again: the vocabulary and three masked language models, from the grammar and one seed.

    python scripts/pretrain_toy.py [--out FOLDER] [--rung NAME ...]

Writes one Hugging Face folder a rung (config.json, model.safetensors in float16, tokenizer.json, tokenizer_config.json,
vocab.txt).
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from raysearch import toy

SEED: Final = 20_251
SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ALPHABET: Final = tuple("abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()-/&%$")
WHOLE_WORDS: Final = 560
"""How many words, the most frequent first, are tokens of their own; rarer ones are spelt in pieces."""
VOCABULARY: Final = 1_200
MAX_POSITIONS: Final = 128
MASKED: Final = 0.2


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
    batch: int = 64
    """Texts in a batch."""
    warmup: float = 0.08
    """Share of the steps over which the rate rises; it then falls linearly to zero."""


RECIPES: Final = {
    "toy-tiny": Recipe(hidden=32, layers=1, heads=2, steps=2_000, peak=4e-3),
    "toy-mini": Recipe(hidden=64, layers=2, heads=2, steps=2_500, peak=3e-3),
    "toy-small": Recipe(hidden=96, layers=4, heads=4, steps=2_500, peak=1.5e-3),
}


def vocabulary(texts: Sequence[str]) -> list[str]:
    """The WordPiece tokens of the toy world, in the order of their ids.

    Special tokens, single characters, the most frequent words, then the pieces that would shorten the remaining words
    most. The trainer of `tokenizers` breaks ties by the order of a hash map, so this one counts for itself.
    """
    words = Counter(word for text in texts for word in toy.normalise(text).split())
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
    lines: list[list[int]], recipe: Recipe, mask: int, size: int, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Endless (ids, attention mask, targets), each (texts, tokens); the target of what is not asked is -100."""
    while True:
        order = rng.permutation(len(lines))
        # Texts of like length together, so that little is padded; the batches then come in random order.
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
            asked = (rng.random(ids.shape) < MASKED) & (ids >= len(SPECIAL))
            targets = np.where(asked, ids, -100)
            fate = rng.random(ids.shape)
            shown = np.where(asked & (fate < 0.8), mask, ids)
            stray = rng.integers(len(SPECIAL), size, ids.shape)
            shown = np.where(asked & (fate >= 0.9), stray, shown)
            yield torch.from_numpy(shown), torch.from_numpy((ids > 0).astype(np.int64)), (
                torch.from_numpy(targets)
            )


def pretrain(name: str, lines: list[list[int]], tokens: list[str]) -> BertForMaskedLM:
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
            initializer_range=0.05,
        )
    )
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.peak, betas=(0.9, 0.98), weight_decay=0.01
    )
    warm = max(1, round(recipe.warmup * recipe.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm, max(0.0, (recipe.steps - step) / (recipe.steps - warm))),
    )
    rng = np.random.default_rng(SEED)
    stream = batches(lines, recipe, tokens.index("[MASK]"), len(tokens), rng)
    began, mean = time.process_time(), 0.0
    for step in range(1, recipe.steps + 1):
        ids, attention, targets = next(stream)
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


def save(model: BertForMaskedLM, tokens: list[str], name: str, folder: Path) -> None:
    """Write one rung: tied weights once, float16, and the tokenizer beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), do_lower_case=True)
    tokenizer.model_max_length = MAX_POSITIONS
    tokenizer.save_pretrained(folder)
    model.config.architectures = ["BertForMaskedLM"]
    model.half().save_pretrained(folder)
    model.float()


def main() -> None:
    """Read the command line and make what it asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=toy.rung_folder("toy-tiny").parent)
    parser.add_argument("--rung", nargs="+", choices=toy.RUNGS, default=toy.RUNGS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    longest = max(RECIPES[name].steps * RECIPES[name].batch for name in chosen.rung)
    texts = toy.pretraining_texts(max(60_000, longest), seed=SEED)
    tokens = vocabulary(texts[:60_000])
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.rung:
        pass


if __name__ == "__main__":
    main()
