"""The words and number formats of the page, written once: Python and the page's script share them.

`answer.js` mirrors the functions of this file and is given `WORDS` as JSON, so that a sentence
reads the same to the digit wherever it is made. A browser test compares both.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal

Sentence = tuple[tuple[str, bool], ...]
"""Pieces of (text, bold); what users wrote only ever enters as a value."""

WORDS: dict[str, str] = {
    "name": "{model}, {method}, {labels} labels",
    "name_free": "{model}, {method}, no labels",
    "score": "{score} {value} [{low}, {high}]",
    "score_bare": "{score} {value}",
    "choice": "Not confirmed yet, one draw each: train **{name}**: {shown} on {rows} test texts it "
    "never saw; {costs}.",
    "flat": "Not confirmed yet, one draw each, and **nothing stands out**: the best of {count} "
    "methods and sizes are not distinguishable on {rows} test texts. The cheapest is **{name}**: "
    "{shown}; {costs}.",
    "tie": "Cheaper tie: **{name}**, {change}{ends}, {noun} {ratio}× lower.",
    "top": "Highest on validation is **{name}**, {change}{ends}, {noun} {ratio}× higher: "
    "not worth it on this evidence.",
    "no_tie": "None of the {count} cheaper choices ties with it: all are lower than chance "
    "explains.",
    "no_tie_one": "The one cheaper choice is lower than chance explains.",
    "cheapest": "Nothing cheaper was scored within these limits.",
    "more": "With up to {b} labels instead of {a}: {change}{ends}{verdict}.",
    "fewer": "The last step up, from {a} to {b} labels: {change}{ends}{verdict}.",
    "beaten": "But on test **{name}** is {change}{ends}: validation ({rows} texts) misled; "
    "do not rely on this choice.",
    "more_same": "More labels, up to {b}, do not change the choice.",
    "fewer_same": "The choice needs no more than {a} labels.",
    "majority": "It cannot be told from always giving the most frequent class ({value}).",
    "no_records": "Nothing to recommend yet: no trial has ended.",
    "all_failed": "Nothing to recommend: none of {count} trials has a usable point. "
    "First reason: {error}",
    "unscored": "Nothing to recommend yet: {count} points were trained, none of them scored on "
    "both validation and test.",
    "no_fit": "No scored point is within these limits. Loosen one of them.",
    "higher": "{value} higher",
    "lower": "{value} lower",
    "equal": "no difference",
    "apart": ", more than chance explains",
    "same": ", not distinguishable from no change",
    "ends": " [{low}, {high}]",
    "interval": "[ ] 95 % {kind} interval over the {rows} test texts alone, not over draws of data "
    "and seeds; differences unpaired.",
    "binomial": "binomial",
    "correlation": "normal (Fisher’s z)",
    "trains": "trains in {value}",
    "train_flops": "training {value} FLOPs",
    "infer": "{value} FLOPs a text",
    "ms": "{value} ms a text",
    "no_ms": "milliseconds not measured",
    "why_choice": "the choice.",
    "why_near": "{name}: {shown}, {change}, not distinguishable from the best; {cost}.",
    "why_far": "{name}: {shown}, {change}; {cost}.",
    "why_off": "switched off above.",
    "why_limits": "no scored point within these limits.",
    "why_unscored": "trained, but no point was scored on both validation and test.",
    "why_failed": "{failed} of {trials} trials failed or could not run; first: {error}",
    "why_left_out": "not run: {error}",
    "above": "higher",
    "below": "lower",
    "times": "{noun} {ratio}× {direction}",
    "even": "same {noun}",
    "some_failed": " {failed} of {trials} trials failed or could not run.",
    "footer": "Chosen on validation ({validation}), shown on test ({test}), one draw; {left}"
    "search cost {search} FLOPs over {trials} trials; pretraining of public checkpoints not "
    "counted.",
    "left_scored": "{count} without a test score left out; ",
    "left_cost": "{count} without {noun} left out; ",
    "left_bill": "bills of {count} killed trials unknown; ",
    "left_confirm": "{count} of confirming draws not shown; ",
    "line": "Line: for each cost, the choice validation makes, at its test score; it may fall. "
    "Hollow: not confirmed. Grey: a cheaper point is as good on validation.",
    "point": "1 point",
    "points": "{count} points",
    "none": "none",
}
"""Every sentence of the page; `**` marks bold, `{name}` a value."""

_VALUE = re.compile(r"\{(\w+)\}")


def fill(template: str, values: dict[str, str]) -> Sentence:
    """Fill a template of `WORDS`; bold pieces are told by the template alone, never by a value.

    >>> fill("train **{name}**.", {"name": "a**b"})
    (('train ', False), ('a**b', True), ('.', False))
    """
    pieces = template.split("**")
    filled = [_VALUE.sub(lambda m: values[m[1]], piece) for piece in pieces]
    return tuple((text, i % 2 == 1) for i, text in enumerate(filled) if text)


def say(key: str, **values: str) -> Sentence:
    """Fill the words of that key."""
    return fill(WORDS[key], values)


def text(sentence: Sentence) -> str:
    """The sentence as plain text."""
    return "".join(piece for piece, _ in sentence)


def phrase(key: str, **values: str) -> str:
    """Fill the words of that key, as plain text."""
    return text(say(key, **values))


def fixed(value: float, digits: int) -> str:
    """Decimals with exact halves away from zero, as JavaScript's toFixed does.

    >>> fixed(0.8125, 3), fixed(-0.0001, 2), fixed(-0.25, 1)
    ('0.813', '0.00', '−0.3')
    """
    exact = Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    return str(exact).replace("-", "−" if exact else "")


def brief(value: float) -> str:
    """Two significant digits; powers of ten outside 0.001 to 9999.

    >>> brief(1234.0), brief(0.0125), brief(3.25e15), brief(2.0)
    ('1200', '0.013', '3.3e15', '2')
    """
    if value == 0:
        return "0"
    rounded = Context(prec=2, rounding=ROUND_HALF_UP).create_decimal(Decimal(value))
    exponent = rounded.adjusted()
    digits = str(abs(int(rounded.scaleb(1 - exponent))))
    sign = "−" if value < 0 else ""
    first, second = digits[0], digits[1]
    tail = "" if second == "0" else "." + second
    if exponent < -3 or exponent > 3:
        return f"{sign}{first}{tail}e{exponent}"
    if exponent >= 1:
        return sign + digits + "0" * (exponent - 1)
    if exponent == 0:
        return sign + first + tail
    return f"{sign}0.{'0' * (-exponent - 1)}{first}{second if second != '0' else ''}"


def count(value: float) -> str:
    """A whole number with thousands set apart.

    >>> count(12345), count(999)
    ('12,345', '999')
    """
    return f"{int(value):,}"


def duration(seconds: float) -> str:
    """Seconds as a person would say them.

    >>> duration(240), duration(12), duration(9000)
    ('4 min', '12 s', '2.5 h')
    """
    if seconds < 60:
        return brief(seconds) + " s"
    if seconds < 3600:
        return brief(seconds / 60) + " min"
    return brief(seconds / 3600) + " h"
