"""A seeded generative grammar of sentiment: reviews whose label is a matter of composition.

A text is built of clauses, and a clause has a score: the polarity of its sentiment word, scaled by
intensity words, turned by negation and by what was only wished or feared. Clauses join into a
review: "and" adds them up, a contrast ("but", "although", "despite") weighs the main clause, and
what others think ("the critics hated it") or what was said of a rival weighs nothing. The label is
the sign of the sum; a fixed share of labels is noise, so that no model can be perfect. Bags of
n-grams see the words but not who said them of what, and sentiment words have a Zipf tail, so that
more labels go on teaching.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from raysearch.toy import lexicon
from raysearch.toy.clauses import (
    _adjective,
    _Clause,
    _described,
    _Dice,
    _filler,
    _plan_aside,
    _plan_change,
    _plan_contrast,
    _plan_facts,
    _plan_single,
    _plan_sum,
    _strong,
    _verb,
)

__all__ = [
    "LABEL_NOISE",
    "SPLITS",
    "TEMPLATES",
    "UNLABELLED",
    "WORDS",
    "SplitName",
    "normalise",
    "pretraining_texts",
    "sample",
    "split",
]

SplitName: TypeAlias = Literal["train", "validation", "test", "unlabelled"]
_Labels: TypeAlias = NDArray[np.int64]

TEMPLATES: Final = ("{text} it was [MASK] .", "{text} overall it was [MASK] .")
"""Cloze templates; the first is the one to use where only one is wanted."""
WORDS: Final[Mapping[int, tuple[str, ...]]] = {
    2: ("terrible", "great"),
    3: ("terrible", "okay", "great"),
}
"""Label words by number of classes, in the order of the labels; each is one token of the toy
vocabulary."""
SPLITS: Final[Mapping[SplitName, int]] = {
    "test": 2_000,
    "validation": 1_000,
    "train": 4_000,
    "unlabelled": 20_000,
}
"""Number of texts of each split, in the order in which duplicates are given away (the first keeps
the text)."""
LABEL_NOISE: Final = 0.035
"""Share of texts whose label is replaced by another one."""
UNLABELLED: Final = -1
"""The label of a text without a label."""

_SPLIT_SEEDS: Final[Mapping[SplitName, int]] = {
    "test": 7_001,
    "validation": 7_002,
    "train": 7_003,
    "unlabelled": 7_004,
}
_NEUTRAL_BAND: Final = 0.25
"""A review whose score is within this of zero is neutral."""


_Plan: TypeAlias = Callable[[_Dice, lexicon.Topic], _Clause]


_PLANS: Final[tuple[tuple[float, _Plan], ...]] = (
    (0.22, _plan_single),
    (0.50, _plan_sum),
    (0.68, _plan_contrast),
    (0.86, _plan_aside),
    (0.91, _plan_change),
    (1.00, _plan_facts),
)


def _review(dice: _Dice) -> _Clause:
    """Draw one review with its score."""
    topic = dice.pick(lexicon.TOPICS)
    roll = dice.uniform()
    plan = next(plan for end, plan in _PLANS if roll < end)
    clause = plan(dice, topic)
    text = clause.text
    roll = dice.uniform()
    if roll < 0.12:
        text = f"{_filler(dice)} . {text}"
    elif roll < 0.24:
        text = f"{text} . {_filler(dice)}"
    elif roll < 0.40:
        text = f"about the {dice.pick(topic.things)} : {text}"
    return _Clause(f"{text} .", clause.score)


def _class_of(score: float) -> int:
    """Return the side on which a score falls: -1, 0 or 1."""
    if abs(score) < _NEUTRAL_BAND:
        return 0
    return 1 if score > 0 else -1


def _labelled(dice: _Dice, classes: int) -> tuple[str, int]:
    """Draw one text with its (noisy) label; classes are equally likely."""
    drawn = int(dice.uniform() * classes)
    label = drawn
    if dice.chance(LABEL_NOISE):
        label = (drawn + 1 + int(dice.uniform() * (classes - 1))) % classes
    wanted = (-1, 1)[drawn] if classes == 2 else drawn - 1
    while True:
        review = _review(dice)
        if _class_of(review.score) == wanted:
            return review.text, label


def _check_classes(classes: int) -> None:
    if classes not in WORDS:
        raise ValueError(f"classes: {classes!r} is not one of {sorted(WORDS)}")


def normalise(text: str) -> str:
    """Return lower case and single spaces: two texts equal in this are duplicates.

    >>> normalise(" The  Plot was Great . ")
    'the plot was great .'
    """
    return " ".join(text.lower().split())


def sample(n: int, *, seed: int, classes: int = 2) -> tuple[list[str], _Labels]:
    """Draw n reviews with labels.

    The first n of a longer sample with the same seed are the shorter sample.

    Args:
        n: number of texts.
        seed: seed of the one generator that everything is drawn from.
        classes: 2 (0 negative, 1 positive) or 3 (0 negative, 1 neutral, 2 positive).

    Returns:
        The texts, and their labels (n,); a share `LABEL_NOISE` of the labels is wrong on purpose.

    >>> texts, labels = sample(3, seed=0)
    >>> len(texts), labels.shape, labels.dtype.name
    (3, (3,), 'int64')
    """
    _check_classes(classes)
    dice = _Dice(np.random.default_rng([seed, classes]))
    pairs = [_labelled(dice, classes) for _ in range(n)]
    return [text for text, _ in pairs], np.array([label for _, label in pairs], dtype=np.int64)


@cache
def _splits(classes: int) -> Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    taken: set[str] = set()
    made: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {}
    for name, size in SPLITS.items():
        dice = _Dice(np.random.default_rng([_SPLIT_SEEDS[name], classes]))
        texts: list[str] = []
        labels: list[int] = []
        while len(texts) < size:
            text, label = _labelled(dice, classes)
            key = normalise(text)
            if key not in taken:
                taken.add(key)
                texts.append(text)
                labels.append(UNLABELLED if name == "unlabelled" else label)
        made[name] = (tuple(texts), tuple(labels))
    return made


def split(name: SplitName, *, classes: int = 2) -> tuple[list[str], _Labels]:
    """Return the fixed texts of one split, pairwise different within and between splits.

    Args:
        name: "train" (4,000), "validation" (1,000), "test" (2,000) or "unlabelled" (20,000).
        classes: 2 or 3, as in `sample`.

    Returns:
        The texts and their labels (n,); the labels of "unlabelled" are `UNLABELLED`.
    """
    _check_classes(classes)
    if name not in SPLITS:
        raise ValueError(f"split: {name!r} is not one of {sorted(SPLITS)}")
    texts, labels = _splits(classes)[name]
    return list(texts), np.array(labels, dtype=np.int64)


def _verdict(dice: _Dice, sign: int) -> str:
    """Draw a sentence that sums a review up."""
    # Verdicts are short of words: the few they use become hubs around which the rarer ones gather.
    few = {-1: lexicon.NEGATIVE, 0: lexicon.NEUTRAL, 1: lexicon.POSITIVE}[sign]
    word = dice.zipf(few[:5]) if dice.chance(0.8) else dice.zipf(few)
    roll = dice.uniform()
    if roll < 0.65:
        return f"it was {word} ."
    if roll < 0.75:
        return f"overall it was {word} ."
    if roll < 0.85 or sign == 0:
        return f"it was {_strong(dice, sign or 1)} {word} ."
    return f"i {_verb(dice, sign)} it ."


def _outburst(dice: _Dice) -> _Clause:
    """Draw a text of one polarity, without any composition.

    From these a model learns which words occur together.
    """
    topic, sign = dice.pick(lexicon.TOPICS), dice.sign()
    parts = []
    for _ in range(2 + int(dice.uniform() * 2)):
        noun = dice.pick(topic.aspects) if dice.chance(0.7) else dice.pick(topic.things)
        roll = dice.uniform()
        if roll < 0.15:
            parts.append(f"i {_verb(dice, sign)} the {noun}")
        elif roll < 0.4:
            parts.append(f"{_adjective(dice, sign)} {noun}")
        elif roll < 0.5:
            parts.append(f"a {_adjective(dice, sign)} and {_adjective(dice, sign)} {noun}")
        else:
            parts.append(f"the {noun} was {_described(dice, noun, sign)[0]}")
    return _Clause(f"{(' , ', ' . ', ' and ')[int(dice.uniform() * 3)].join(parts)} .", 1.0 * sign)


def pretraining_texts(
    n: int,
    *,
    seed: int,
    outbursts: float = 0.35,
    verdict: float = 0.8,
    faithful: float = 0.95,
) -> list[str]:
    """Draw n texts for a masked language model.

    They are reviews of every kind and simple outbursts, most of them summed up ("... it was great
    ."), so that a model can learn unsupervised which words are kind and that the last sentence
    follows the rest.

    Args:
        n: number of texts.
        seed: seed of the one generator that everything is drawn from.
        outbursts: share of texts that are of one mind and plain.
        verdict: share of the texts that are summed up.
        faithful: share of the verdicts that follow the review; the others are drawn at random.
    """
    dice = _Dice(np.random.default_rng([seed, 99]))
    texts = []
    for _ in range(n):
        review = _outburst(dice) if dice.chance(outbursts) else _review(dice)
        text = review.text
        if dice.chance(verdict):
            side = _class_of(review.score)
            text = f"{text} {_verdict(dice, side if dice.chance(faithful) else dice.sign())}"
        texts.append(text)
    return texts
