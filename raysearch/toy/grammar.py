"""A seeded generative grammar of sentiment: reviews whose label is a matter of composition.

A text is built of clauses, and a clause has a score: the polarity of its sentiment word, scaled by
intensity words, turned by negation and by what was only wished or feared. Clauses join into a
review: "and" adds them up, a contrast ("but", "although", "despite") weighs the main clause, and
what others think ("the critics hated it") or what was said of a rival weighs nothing. The label is
the sign of the sum; a fixed share of labels is noise, so that no model can be perfect. Bags of
n-grams see the words but not who said them of what, and sentiment words have a Zipf tail, so that
more labels go on teaching.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from raysearch.toy import lexicon

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
_T = TypeVar("_T")

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
"""A review whose score is within this of zero says nothing either way."""


class _Dice:
    """Draws from one generator in blocks: a scalar draw from NumPy costs more than a clause."""

    __slots__ = ("_block", "_next", "_rng")

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._block: list[float] = []
        self._next = 0

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        if self._next == len(self._block):
            self._block = self._rng.random(4096).tolist()
            self._next = 0
        self._next += 1
        return self._block[self._next - 1]

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.uniform() < probability

    def pick(self, items: Sequence[_T]) -> _T:
        """Return one of the items, all equally likely."""
        return items[int(self.uniform() * len(items))]

    def zipf(self, words: Sequence[str]) -> str:
        """Return one of the words, the r-th with weight 1/(r + 1.5)."""
        # The continuous law's inverse: cheap, and near enough to the discrete one.
        rank = 1.5 * math.exp(self.uniform() * math.log1p(len(words) / 1.5)) - 1.5
        return words[min(int(rank), len(words) - 1)]

    def sign(self) -> int:
        """Return -1 or 1."""
        return 1 if self.uniform() < 0.5 else -1


@dataclass(frozen=True, slots=True)
class _Clause:
    """Some words and what they weigh."""

    text: str
    score: float


def _adjective(dice: _Dice, sign: int) -> str:
    return dice.zipf(lexicon.POSITIVE if sign > 0 else lexicon.NEGATIVE)


def _verb(dice: _Dice, sign: int) -> str:
    return dice.zipf(lexicon.LIKED if sign > 0 else lexicon.DISLIKED)


def _strong(dice: _Dice, sign: int) -> str:
    """Draw a strong word; some are typical of praise, some of blame, with exceptions."""
    if dice.chance(0.4):
        return dice.pick(lexicon.STRONG)
    return dice.pick(lexicon.FOND if (sign > 0) == dice.chance(0.95) else lexicon.HARSH)


def _described(dice: _Dice, noun: str, sign: int) -> tuple[str, float]:
    """Draw an adjective phrase; return it with its score.

    The polarity of some adjectives depends on the noun.
    """
    word = _adjective(dice, sign)
    if dice.chance(0.3):
        side = 0 if sign > 0 else 1
        fitting = [adjective for adjective, nouns in _CONTEXT_OF.get((noun, side), ())]
        if fitting:
            word = dice.pick(fitting)
    roll = dice.uniform()
    if roll < 0.14:
        return f"{dice.pick(lexicon.WEAK)} {word}", 0.5 * sign
    if roll < 0.44:
        return f"{_strong(dice, sign)} {word}", 1.6 * sign
    return word, float(sign)


def _contexts() -> dict[tuple[str, int], list[tuple[str, tuple[str, ...]]]]:
    found: dict[tuple[str, int], list[tuple[str, tuple[str, ...]]]] = {}
    for adjective, sides in lexicon.CONTEXT.items():
        for side, nouns in enumerate(sides):
            for noun in nouns:
                found.setdefault((noun, side), []).append((adjective, nouns))
    return found


_CONTEXT_OF: Final = _contexts()

# What can be done to "the NOUN was ADJECTIVE": the frame, and the factor on its score.
_FRAMES: Final = (
    (22.0, "the {noun} was {adj}", 1.0),
    (7.0, "i found the {noun} {adj}", 1.0),
    (2.0, "i must say that the {noun} was {adj}", 1.0),
    (1.0, "i do not doubt that the {noun} was {adj}", 1.0),
    (1.0, "i can not deny that the {noun} was {adj}", 1.0),
    (1.0, "the {noun} was nothing short of {adj}", 1.0),
    (1.0, "the {noun} was never less than {adj}", 1.0),
    (1.0, "i feared the {noun} would not be {adj} , yet it was", 1.0),
    (1.0, "i hoped the {noun} would be {adj} , and so it was", 1.0),
    (3.0, "the {noun} was not {adj}", -0.8),
    (1.0, "the {noun} was never {adj}", -0.8),
    (1.0, "the {noun} was hardly {adj}", -0.8),
    (1.0, "the {noun} was far from {adj}", -0.8),
    (1.0, "the {noun} was anything but {adj}", -0.8),
    (1.0, "i do not think that the {noun} was {adj}", -0.8),
    (1.0, "i would not call the {noun} {adj}", -0.8),
    (1.0, "i wish the {noun} had been {adj}", -0.8),
    (1.0, "i hoped the {noun} would be {adj} , yet it was not", -0.8),
    (1.0, "i feared the {noun} would be {adj} , yet it was not", -0.8),
    (1.0, "the {noun} should have been {adj}", -0.8),
)
_FRAME_ENDS: Final = tuple(
    np.cumsum([weight for weight, _, _ in _FRAMES]) / sum(weight for weight, _, _ in _FRAMES)
)


def _clause(dice: _Dice, topic: lexicon.Topic, sign: int) -> _Clause:
    """Draw a clause of the writer's own opinion whose score has this sign."""
    noun = dice.pick(topic.aspects) if dice.chance(0.8) else dice.pick(topic.things)
    if dice.chance(0.14):
        if dice.chance(0.3):
            return _Clause(
                f"i {dice.pick(_NOT)} {lexicon.BARE[_verb(dice, -sign)]} the {noun}", 0.8 * sign
            )
        return _Clause(f"i {_verb(dice, sign)} the {noun}", float(sign))
    roll = dice.uniform()
    index = next(i for i, end in enumerate(_FRAME_ENDS) if roll < end)
    _, frame, factor = _FRAMES[index]
    words, score = _described(dice, noun, sign if factor > 0 else -sign)
    return _Clause(frame.format(noun=noun, adj=words), score * factor)


_NOT: Final = ("did not", "never", "could not have", "would not have")


def _aside(dice: _Dice, sign: int) -> str:
    """Draw somebody else's opinion, or one of something else.

    It does not count.
    """
    if dice.chance(0.6):
        who = dice.zipf(lexicon.OTHERS)
        if dice.chance(0.5):
            return f"{who} {_verb(dice, sign)} it"
        return f"{who} called it {_adjective(dice, sign)}"
    return f"{dice.pick(lexicon.RIVALS)} was {_adjective(dice, sign)}"


_FILLER_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "day": tuple("monday tuesday wednesday thursday friday saturday sunday".split()),
    "color": tuple("red blue green brown white black yellow grey".split()),
    "nth": tuple("first second third fourth fifth".split()),
    "kin": tuple("uncle aunt mother father daughter son friend".split()),
    "num": tuple("two three four five six seven eight nine ten".split()),
    "land": tuple("france italy spain japan norway chile canada india".split()),
}


def _filler(dice: _Dice) -> str:
    """Draw a plain fact."""
    frame = dice.pick(lexicon.FILLERS)
    return frame.format(**{slot: dice.pick(words) for slot, words in _FILLER_WORDS.items()})


_Plan: TypeAlias = Callable[[_Dice, lexicon.Topic], _Clause]


def _plan_single(dice: _Dice, topic: lexicon.Topic) -> _Clause:
    return _clause(dice, topic, dice.sign())


def _plan_sum(dice: _Dice, topic: lexicon.Topic) -> _Clause:
    first = dice.sign()
    second = first if dice.chance(0.85) else -first
    left, right = _clause(dice, topic, first), _clause(dice, topic, second)
    return _Clause(f"{left.text} and {right.text}", left.score + right.score)


def _plan_contrast(dice: _Dice, topic: lexicon.Topic) -> _Clause:
    sign = dice.sign()
    main, conceded = _clause(dice, topic, sign), _clause(dice, topic, -sign)
    shape = dice.pick(
        (
            "{conceded} , but {main}",
            "{conceded} , but {main}",
            "{conceded} . still , {main}",
            "although {conceded} , {main}",
            "{main} , although {conceded}",
            "even if {conceded} , {main}",
            "{main} , even if {conceded}",
        )
    )
    text = shape.format(main=main.text, conceded=conceded.text)
    # 0.25 of a strong clause is less than a weak main one: the main clause always decides.
    return _Clause(text, main.score + 0.25 * conceded.score * abs(main.score))


def _plan_aside(dice: _Dice, topic: lexicon.Topic) -> _Clause:
    sign = dice.sign()
    own = _clause(dice, topic, sign)
    against = dice.chance(0.55)
    aside = _aside(dice, -sign if against else sign)
    shape = dice.pick(
        ("{aside} , but {own}", "{own} , but {aside}", "{own} , though {aside}")
        if against
        else ("{aside} , and {own}", "{own} , and {aside}")
    )
    return _Clause(shape.format(aside=aside, own=own.text), own.score)


def _plan_change(dice: _Dice, topic: lexicon.Topic) -> _Clause:
    sign = dice.sign()
    own = _clause(dice, topic, sign)
    before = dice.pick(("at first i {verb} it", "for a while i {verb} it"))
    return _Clause(f"{before.format(verb=_verb(dice, -sign))} , but {own.text}", own.score)


def _plan_facts(dice: _Dice, topic: lexicon.Topic) -> _Clause:
    noun = dice.pick(topic.aspects)
    parts = [_filler(dice)]
    roll = dice.uniform()
    if roll < 0.4:
        parts.append(f"the {noun} was {dice.zipf(lexicon.NEUTRAL)}")
    elif roll < 0.7:
        parts.append(_aside(dice, dice.sign()))
    else:
        parts.append(f"i have no opinion of the {noun}")
    if dice.chance(0.5):
        parts.reverse()
    return _Clause(" and ".join(parts), 0.0)


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
