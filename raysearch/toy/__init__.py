"""The toy world: a grammar of sentiment and three small encoders pretrained on its texts."""

from pathlib import Path
from typing import Final

from raysearch.toy.grammar import SPLITS, TEMPLATES, WORDS, pretraining_texts, sample, split

__all__ = [
    "RUNGS",
    "SPLITS",
    "TEMPLATES",
    "WORDS",
    "pretraining_texts",
    "rung_folder",
    "sample",
    "split",
]

RUNGS: Final = ("toy-tiny", "toy-mini", "toy-small")
"""The toy ladder, smallest first."""


def rung_folder(rung: str) -> Path:
    """Return the Hugging Face folder of one rung (weights, config, tokenizer)."""
    if rung not in RUNGS:
        raise ValueError(f"rung: {rung!r} is not one of {list(RUNGS)}")
    return Path(__file__).parent / "rungs" / rung
