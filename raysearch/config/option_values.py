"""How the text of an option becomes a value: finite numbers, whole numbers, names, totals.

The functions of an `Option` take (text, value before, flag) and return None where the
text gives nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from raysearch.errors import InputError


def number(text: str | None, option: str) -> float | None:
    """Read a finite number, as 5, 1e6, 2.5k or 3M; None stays None, InputError otherwise.

    >>> number("2.5k", "--volume")
    2500.0
    """
    if text is None:
        return None
    given, text = text, text.replace("−", "-")
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+", text):  # as the sentences print it
        text = text.replace(",", "")
    factor = {"k": 1e3, "K": 1e3, "M": 1e6}.get(text[-1:], 1.0)
    try:
        value = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{option}: '{given}' is not a number, as 5 or 1e6")
    return value


def positive(text: str | None, option: str, *, zero: bool = False) -> float | None:
    """Read a number above 0 (or from 0 on); None stays None, InputError otherwise."""
    value = number(text, option)
    if value is not None and (value < 0 or (value == 0 and not zero)):
        raise InputError(f"{option}: '{text}' must be {'0 or more' if zero else 'above 0'}")
    return value


def names(text: str) -> tuple[str, ...]:
    """Split `a,b`; InputError when nothing is named.

    >>> names("a, b")
    ('a', 'b')
    """
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts:
        raise InputError(f"'{text}': must be names, as a,b")
    return parts


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Split `32,100,1000` into whole numbers above 0; InputError otherwise.

    >>> numbers("32,1k", "--labels")
    (32, 1000)
    """
    out = []
    for part in names(text):
        shown, factor = (part[:-1], 1000) if part[-1:] in "kK" else (part, 1)
        try:
            value = float(shown) * factor
        except ValueError:
            value = 0.5
        if value < 1 or not value.is_integer():
            raise InputError(f"{option}: '{part}' is not a whole number above 0, as 32,100,1000")
        out.append(int(value))
    return tuple(out)


def read_price(text: str, before: object, option: str) -> float | None:
    """Read a price: a finite number from 0 on [dollars]."""
    return positive(text, option, zero=True)


def read_whole(text: str, before: object, option: str) -> int:
    """Read one whole number above 0; InputError otherwise.

    >>> read_whole("8", None, "--share-teacher")
    8
    """
    value = positive(text, option)
    if value is None or not value.is_integer():
        raise InputError(f"{option}: '{text}' is not a whole number above 0, as 8")
    return int(value)


def read_numbers(text: str, before: object, option: str) -> tuple[int, ...] | None:
    """Read `32,100,1000`; None where the text is empty."""
    return numbers(text, option) if text else None


def read_names(text: str, before: Sequence[str] | None, option: str) -> tuple[str, ...] | None:
    """Read `a,b`, or `+x` on top of what was there; without anything before, `+x` stays as it is.

    >>> read_names("+c", ("a", "b"), "--methods"), read_names("+c", None, "--methods")
    (('a', 'b', 'c'), ('+c',))
    """
    if not text:
        return None
    parts = names(text)
    if before is None or not any(p.startswith("+") for p in parts):
        return parts
    return tuple(dict.fromkeys([*before, *(p.removeprefix("+") for p in parts)]))


def read_total(text: str, before: int | None, option: str) -> int | None:
    """Read `50` or, on top of what was there, `+50`; None where the text is empty.

    >>> read_total("+50", 24, "--trials"), read_total("30", 24, "--trials")
    (74, 30)
    """
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        raise InputError(f"{option}: '{text}' is not a whole number, as 50 or +50") from None
    if value < 1:
        raise InputError(f"{option}: '{text}' must be above 0")
    return (before or 0) + value if text.startswith("+") else value
