"""Durations in words."""

from __future__ import annotations


def span(seconds: float) -> str:
    """Return a duration for a person.

    >>> span(40), span(600), span(9000)
    ('40 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
