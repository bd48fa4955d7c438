"""What a prompted model's folder needs to lay texts out: prompt.json and layout.py."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.encoders.patterns import Pattern, Slot, word_ids
from raysearch.export import layout
from raysearch.export.manifest import Manifest
from raysearch.trial.context import prompt_of
from raysearch.trial.trained import TrainedModel

CODE = "layout.py"


@dataclass(frozen=True, slots=True)
class Question:
    """Parts of a cloze question that the graph does not hold."""

    words: Mapping[str, Sequence[str]]
    """Label words by class, in the order of the classes."""
    ids: Sequence[Sequence[int]]
    """Their token ids, likewise."""
    checkpoint: Path
    """Folder of the masked LM that was trained."""

    def sentence(self) -> str:
        """Return the label words of each class as text.

        >>> Question({"neg": ["bad", "sad"], "pos": ["good"]}, (), Path()).sentence()
        'neg: bad, sad; pos: good'
        """
        return "; ".join(f"{name}: {', '.join(words)}" for name, words in self.words.items())


def question(run: TrainedModel) -> Question:
    """Return the label words of a prompted trial's task, and the checkpoint it uses."""
    prompt, tokeniser = prompt_of(run.data.task), run.tokeniser()
    assert prompt is not None and tokeniser is not None and run.folder is not None
    ids = word_ids(tokeniser.fast, prompt.words, run.config.rung)
    return Question(prompt.words, ids, run.folder)


def write_prompt(folder: Path, tokeniser: Any, manifest: Manifest, prompted: Question) -> None:
    """Write prompt.json, layout.py and tokenizer.json, which neither cuts nor pads."""
    template, limit = manifest.template, manifest.max_length
    facts = {
        "template": template,
        "words": {name: list(words) for name, words in prompted.words.items()},
        "word_ids": [list(ids) for ids in prompted.ids],
        "mask_id": int(tokeniser.mask_token_id),
        "pad_id": int(tokeniser.pad_token_id or 0),
        "max_length": limit,
        "pieces": [
            {"field": p.field, "space": p.space} if isinstance(p, Slot) else p
            for p in Pattern(template).pieces(tokeniser)
        ],
    }
    text = json.dumps(facts, indent=1, ensure_ascii=True)
    (folder / layout.FILE).write_text(text + "\n", encoding="utf-8")
    source = Path(layout.__file__).read_text(encoding="utf-8")
    (folder / CODE).write_text(source, encoding="utf-8")
    backend = copy.deepcopy(tokeniser).backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(folder / "tokenizer.json"))
