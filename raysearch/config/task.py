"""Tasks: what is to be classified, where its data are, and how it is scored. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raysearch import scores


@dataclass(frozen=True, slots=True)
class Task:
    """One text-classification (or regression) task."""

    name: str
    source: str
    """`hf:owner/name[:config][@revision]`, `file:PATH` or `builtin:toy`."""
    text: str = "text"
    """Column of the text."""
    text_pair: str | None = None
    """Column of the second text of a pair."""
    label: str = "label"
    group: str | None = None
    """Column whose equal values must stay on one side of every split."""
    label_names: tuple[str, ...] = ()
    """Class names in the order of their ids; empty for regression."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """train, validation, test, unlabelled -> the source's split names; an absent one is carved."""
    score: str = scores.DEFAULT
    """The task's main score, by its name in `raysearch.scores`."""
    folder: str = ""
    """Name of the task's folder under --data-dir; the task's name when empty."""
    templates: tuple[str, ...] = ()
    """Cloze patterns with one {mask} and {text} (and {pair}); for prompting."""
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Label words by class name; for prompting."""
    max_length: int = 128
    """Longest input [tokens]."""
    seed: int = 0
    """Seed of carved splits: the task's, never a trial's."""
    citation: str = ""
    ladder: str = "default"
    """Which ladder the task climbs when no model is named."""

    @property
    def regression(self) -> bool:
        """Return True if the label is a number to predict, not a class."""
        return scores.get(self.score).kind == scores.NUMBERS

    @property
    def classes(self) -> int:
        """Return the width of the logits: the number of classes, 1 for regression."""
        return 1 if self.regression else len(self.label_names)
