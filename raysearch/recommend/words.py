"""The sentences and number formats of the page, written once for Python and the page's scripts.

Every sentence stands in `sentences.json`: when it is used, its template and its slots. What it is
about comes as facts, a small vocabulary that both sides compute. `panels/assets/words.js` mirrors
the interpreter and the formats of this file and reads the same JSON. An entry of it is

- a template: `**` marks bold, `{path}` a fact or another entry, `{path:format}` a number;
- a list of cases, templates or `{"when": facts, "text": template}`: the first that holds is used;
- `{"all": cases, "join": text}`: every case that holds, joined;
- `{"each": fact, "entry": name, "join": text}`: an entry of each of a list of facts, joined;
- `{"sentences": entries}`: one sentence an entry, each on its own.

`when` names facts that must be present; `!` before a name: absent. A fact is absent where it is
None, False or empty; the number 0 is present. A path `a.b` reads the fact `b` among the facts `a`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from importlib.resources import files
from typing import Any, TypeAlias

Sentence = tuple[tuple[str, bool], ...]
"""Pieces of (text, bold); what users wrote only ever enters as a value."""
Fact: TypeAlias = "bool | float | str | None | Facts | Sequence[Facts]"
Facts: TypeAlias = Mapping[str, Fact]

SENTENCES: dict[str, Any] = json.loads(
    (files(__package__) / "sentences.json").read_text(encoding="utf-8")
)
WORDS = {name: entry for name, entry in SENTENCES.items() if isinstance(entry, str)}
"""The entries that are one template."""
WIDE = Context(prec=400)
"""As many digits as a number can have."""
_SLOT = re.compile(r"\{(?:(\w+)\.)?(\w+)(?::(\w+))?\}")


def render(name: str, facts: Facts) -> Sentence:
    """Return an entry's sentence about these facts, empty where no case holds."""
    entry = SENTENCES[name]
    if isinstance(entry, dict):
        joined = str(entry["join"]).join(listed(name, facts))
        return ((joined, False),) if joined else ()
    cases = [entry] if isinstance(entry, str) else entry
    return fill(next((t for case in cases if (t := _template(case, facts)) is not None), ""), facts)


def render_text(name: str, facts: Facts) -> str:
    """Return an entry's sentence as plain text."""
    return text(render(name, facts))


def listed(name: str, facts: Facts) -> list[str]:
    """Return the parts of an entry that joins several."""
    entry = SENTENCES[name]
    if "each" in entry:
        return [render_text(entry["entry"], each) for each in _each(entry["each"], facts)]
    templates = (_template(case, facts) for case in entry["all"])
    return [text(fill(template, facts)) for template in templates if template is not None]


def sentences(name: str, facts: Facts) -> tuple[Sentence, ...]:
    """Return the sentences of an entry that has several; empty ones are left out."""
    out: list[Sentence] = []
    for part in SENTENCES[name]["sentences"]:
        if isinstance(part, str):
            out.append(render(part, facts))
        else:
            out += [render(part["entry"], each) for each in _each(part["each"], facts)]
    return tuple(s for s in out if s)


def fill(template: str, facts: Facts) -> Sentence:
    """Fill a template; bold pieces are marked by the template alone, never by a value.

    >>> fill("train **{method}** at {cost:money}.", {"method": "a**b", "cost": 2.5})
    (('train ', False), ('a**b', True), (' at $2.50.', False))
    """
    pieces = template.split("**")
    filled = [_SLOT.sub(lambda m: _slot(facts, *m.groups()), piece) for piece in pieces]
    return tuple((text, i % 2 == 1) for i, text in enumerate(filled) if text)


def text(sentence: Sentence) -> str:
    """Return the sentence as plain text."""
    return "".join(piece for piece, _ in sentence)


def _template(case: str | Mapping[str, str], facts: Facts) -> str | None:
    """Return the template of a case; None where it does not hold."""
    if isinstance(case, str):
        return case
    names = case["when"].split()
    holds = all(_present(facts, n.lstrip("!")) != n.startswith("!") for n in names)
    return case["text"] if holds else None


def _present(facts: Facts, path: str) -> bool:
    name, _, rest = path.partition(".")
    fact = facts.get(name)
    if rest:
        return isinstance(fact, Mapping) and _present(fact, rest)
    number = isinstance(fact, int | float) and not isinstance(fact, bool)
    return number or bool(fact)


def _each(name: str, facts: Facts) -> Sequence[Facts]:
    several = facts[name]
    assert isinstance(several, Sequence) and not isinstance(several, str)
    return several


def _slot(facts: Facts, scope: str | None, name: str, form: str | None) -> str:
    if scope is not None:
        inner = facts[scope]
        assert isinstance(inner, Mapping), scope
        return _slot(inner, None, name, form)
    if form is None:
        return render_text(name, facts) if name in SENTENCES else str(facts[name])
    value, digits = facts[name], facts.get("digits", 0)
    assert isinstance(value, int | float) and isinstance(digits, int), name
    return FORMATS[form](value, digits)


def format_fixed(value: float, digits: int) -> str:
    """Return decimals with exact halves away from zero, as JavaScript's toFixed does.

    >>> format_fixed(0.8125, 3), format_fixed(-0.0001, 2), format_fixed(-0.25, 1)
    ('0.813', '0.00', '−0.3')
    """
    exact = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, WIDE)
    return str(exact).replace("-", "−" if exact else "")


def format_short(value: float) -> str:
    """Return two significant digits; powers of ten outside 0.001 to 9999.

    >>> [format_short(v) for v in (1234.0, 0.0125, 3.25e15, 2.0)]
    ['1200', '0.013', '3.3e15', '2']
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
    """Return a whole number with thousands set apart.

    >>> count(12345), count(999)
    ('12,345', '999')
    """
    return f"{int(value):,}"


def factor(ratio: float) -> str:
    """Return how many times, or by how many per cent where that would round to once.

    >>> factor(12.4), factor(1.3), factor(1.004)
    ('12×', '1.3×', '0.4 %')
    """
    return format_short(100 * (ratio - 1)) + " %" if ratio < 1.05 else format_short(ratio) + "×"


def money(value: float) -> str:
    """Return dollars, cents below a hundred.

    >>> money(1234.6), money(60.0), money(0.0125)
    ('$1,235', '$60.00', '$0.013')
    """
    if abs(value) < 1:
        return ("−$" if value < 0 else "$") + format_short(abs(value))
    whole, _, cents = format_fixed(abs(value), 0 if abs(value) >= 100 else 2).partition(".")
    return ("−$" if value < 0 else "$") + count(float(whole)) + ("." + cents if cents else "")


def format_limit(value: float, *, up: bool) -> str:
    """Return three digits that are not below (`up`) or not above the value: it meets that limit.

    >>> [format_limit(v, up=True) for v in (7.231, 1.0e9, 585)], format_limit(0.8237, up=False)
    (['7.24', '1.00e9', '585'], '0.823')
    """
    if value == 0:
        return "0"
    if value < 0:
        return "−" + format_limit(-value, up=not up)
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
    """Return seconds as a person writes them.

    >>> duration(240), duration(12), duration(9000)
    ('4 min', '12 s', '2.5 h')
    """
    if seconds < 60:
        return format_short(seconds) + " s"
    if seconds < 3600:
        return format_short(seconds / 60) + " min"
    return format_short(seconds / 3600) + " h"


FORMATS: Mapping[str, Callable[[float, int], str]] = {
    "fixed": format_fixed,
    "brief": lambda value, _: format_short(value),
    "count": lambda value, _: count(value),
    "factor": lambda value, _: factor(value),
    "money": lambda value, _: money(value),
    "duration": lambda value, _: duration(value),
    "bound_up": lambda value, _: format_limit(value, up=True),
    "bound_down": lambda value, _: format_limit(value, up=False),
}
"""What may stand behind the colon of a slot; the decimals are the fact `digits`."""
