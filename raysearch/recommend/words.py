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
    "choice": "Train **{name}**: {shown} on {rows} test texts it never saw; {costs}.",
    "choice_bare": "Not confirmed yet, one draw each: train **{name}**: {shown} on {rows} test "
    "texts it never saw; {costs}.",
    "flat": "**Nothing stands out**: the best of {count} methods and sizes are not distinguishable "
    "on {rows} test texts. The cheapest is **{name}**: {shown}; {costs}.",
    "flat_bare": "Not confirmed yet, one draw each, and **nothing stands out**: the best of "
    "{count} methods and sizes are not distinguishable on {rows} test texts. The cheapest is "
    "**{name}**: {shown}; {costs}.",
    "confirm": "Three fresh draws or more confirm it: raysearch confirm {run}",
    "broken": "Confirming draws have run, but {error}.",
    "tie": "Cheaper tie: **{name}**, {change}{ends}, {noun} {ratio} lower.",
    "top": "Highest on validation is **{name}**, {change}{ends}, {noun} {ratio} higher: "
    "not worth it on this evidence.",
    "no_tie": "None of the {count} cheaper choices ties with it: all are lower than chance "
    "explains.",
    "no_tie_one": "The one cheaper choice is lower than chance explains.",
    "cheapest": "Nothing cheaper was scored within these limits.",
    "more": "With up to {b} labels instead of {a}: {change}{ends}{price}{verdict}.",
    "fewer": "The last step up, from {a} to {b} labels: {change}{ends}{price}{verdict}.",
    "next": "As many labels again, {more} more: about {change}{ends}{price}, if the last step up "
    "goes on (extrapolated){worth}.",
    "for": " for {dollars}",
    "worth_not": ": probably not worth it",
    "worth_open": "",
    "runner": "Runner-up: **{name}**, {shown}: {change}{ends}, {verdict}.",
    "better": "better",
    "worse": "worse",
    "alike": "not distinguishable",
    "rival": "Outside, **{name}**: {shown}; against the choice {change}{ends}, {verdict}{cost}.",
    "rival_alone": "Outside, **{name}**: {shown}; not compared row by row{cost}.",
    "zero": "Without labels, **{name}**: {shown}; against the choice {change}{ends}, "
    "{verdict}{cost}.",
    "zero_alone": "Without labels, **{name}**: {shown}; not compared row by row{cost}.",
    "mark_rival": "{name}, outside: {shown}",
    "mark_zero": "{name}, no labels: {shown}",
    "rival_ms": "; {value} ms a text",
    "rival_flops": "; {value} FLOPs a text",
    "rival_dollars": "; {dollars} for 1,000 texts",
    "own_noun": "dollars to own",
    "own": "To own **{name}** for a year at {volume} texts a month: {total} (labels {labels}, "
    "training {training}, predictions {predictions}).",
    "own_not": "Dollars to own cannot be said: {missing}.",
    "no_price_label": "the price of a label is not given",
    "no_price_cpu": "the price of a CPU hour is not given",
    "no_price_gpu": "the price of a GPU hour is not given",
    "no_speed": "the choice was not measured (raysearch measure {run})",
    "no_training": "its training time is not known",
    "relax": "Relax {limit} to {need} instead of {have}: then **{name}**, {shown}.",
    "relax_none": "No single limit is to blame. The nearest, **{name}**, {shown}, would need "
    "{needs}.",
    "need": "{limit} {need} instead of {have}",
    "unmeasured": "{limit}: not known of any point{how}.",
    "how_ms": " (raysearch measure {run})",
    "limit_labels": "labels",
    "limit_max_ms": "milliseconds a text",
    "limit_max_bytes": "bytes",
    "limit_max_train_flops": "training FLOPs",
    "limit_min_score": "score on validation",
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
    "only_zero": "Nothing to recommend: what ran used no labels, and nothing chooses among "
    "zero-shot models.",
    "no_fit": "No scored point is within these limits.",
    "higher": "{value} higher",
    "lower": "{value} lower",
    "equal": "no difference",
    "apart": ", more than chance explains",
    "same": ", not distinguishable from no change",
    "ends": " [{low}, {high}]",
    "interval": "[ ] 95 % interval over {draws} fresh draws of data and seeds and over the {rows} "
    "test texts; differences paired (bootstrap).",
    "interval_bare": "[ ] 95 % {kind} interval over the {rows} test texts alone, not over draws of "
    "data and seeds; differences unpaired.",
    "binomial": "binomial",
    "stretched": "binomial (stretched to −1 to 1)",
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
    "why_zero": "used no labels: never chosen by a score, shown beside the choice once scored on "
    "test.",
    "why_failed": "{failed} of {trials} trials failed or could not run; first: {error}",
    "why_left_out": "not run: {error}",
    "above": "higher",
    "below": "lower",
    "times": "{noun} {ratio} {direction}",
    "even": "same {noun}",
    "some_failed": " {failed} of {trials} trials failed or could not run.",
    "footer": "Chosen on validation ({validation}), shown on test ({test}), {draws}; {left}"
    "search cost {search} FLOPs over {trials} trials; pretraining of public checkpoints not "
    "counted.",
    "left_scored": "{count} without a test score left out; ",
    "left_cost": "{count} without {noun} left out; ",
    "left_rivals": "outside systems not drawn for lack of {noun}: {count}; ",
    "left_zero": "zero-shot models not drawn for lack of {noun}: {count}; ",
    "left_bill": "bills of {count} killed trials unknown; ",
    "left_begun": "{count} with too few draws not confirmed; ",
    "left_lost": "{count} confirming draws failed; ",
    "draws_one": "one draw",
    "draws": "{count} draws",
    "draws_folds": "{count} draws, {folds}-fold cross-fitting",
    "line": "Line: for each cost, the choice validation makes, at its test score; it may fall. "
    "Filled: confirmed on fresh draws, with a 95 % bar. Hollow: not confirmed. Grey: off the line, "
    "a cheaper point is as good on validation. Uncoloured diamond: an outside system, or a model "
    "without labels; neither was chosen.",
    "point": "1 point",
    "points": "{count} points",
    "none": "none",
}
"""Every sentence of the page; `**` marks bold, `{name}` a value."""

WIDE = Context(prec=400)
"""As many digits as a number can have."""
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
    exact = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, WIDE)
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


def factor(ratio: float) -> str:
    """How many times, or by how many per cent where that would round to once.

    >>> factor(12.4), factor(1.3), factor(1.004)
    ('12×', '1.3×', '0.4 %')
    """
    return brief(100 * (ratio - 1)) + " %" if ratio < 1.05 else brief(ratio) + "×"


def money(value: float) -> str:
    """Dollars, cents below a hundred.

    >>> money(1234.6), money(60.0), money(0.0125)
    ('$1,235', '$60.00', '$0.013')
    """
    if abs(value) < 1:
        return ("−$" if value < 0 else "$") + brief(abs(value))
    whole, _, cents = fixed(abs(value), 0 if abs(value) >= 100 else 2).partition(".")
    return ("−$" if value < 0 else "$") + count(float(whole)) + ("." + cents if cents else "")


def bound(value: float, *, up: bool) -> str:
    """Three digits that are not below (`up`) or not above the value: a limit that lets it in.

    >>> bound(7.231, up=True), bound(0.8237, up=False), bound(1.0e9, up=True), bound(585, up=True)
    ('7.24', '0.823', '1.00e9', '585')
    """
    if value == 0:
        return "0"
    if value < 0:
        return "−" + bound(-value, up=not up)
    text, _, power = f"{value:.2e}".partition("e")
    digits, exponent = int(text.replace(".", "")), int(power)
    if up and float(f"{digits}e{exponent - 2}") < value:
        digits += 1
    if not up and float(f"{digits}e{exponent - 2}") > value:
        digits -= 1
    if digits == 1000:
        digits, exponent = 100, exponent + 1
    if digits == 99:
        digits, exponent = 999, exponent - 1
    shown = str(digits)
    if exponent < -3 or exponent > 5:
        return f"{shown[0]}.{shown[1:]}e{exponent}"
    if exponent >= 2:
        return shown + "0" * (exponent - 2)
    if exponent >= 0:
        return f"{shown[: exponent + 1]}.{shown[exponent + 1 :]}"
    return f"0.{'0' * (-exponent - 1)}{shown}"


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
