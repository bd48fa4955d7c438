"""Clauses of the toy grammar: dice, words of one sentiment, and the plans that combine them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from raysearch.toy import lexicon

_T = TypeVar("_T")


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
    out: dict[tuple[str, int], list[tuple[str, tuple[str, ...]]]] = {}
    for adjective, sides in lexicon.CONTEXT.items():
        for side, nouns in enumerate(sides):
            for noun in nouns:
                out.setdefault((noun, side), []).append((adjective, nouns))
    return out


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
