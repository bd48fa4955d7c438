"""The knobs of an operating point in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysearch.outputs.exit_rules import NEVER

TABLE = frozenset({"rows", "table"})
"""Knobs of a point of a table of n-grams: rows kept, and the type they are stored as."""


def knobs_words(knobs: Mapping[str, Any]) -> str:
    """A point's own knobs, empty for a plain model.

    Of early exit, when a text leaves; of a table of n-grams, the rows kept and how they are stored.

    >>> knobs_words({"criterion": "confidence", "threshold": 0.85})
    'leaves at confidence 0.85'
    >>> knobs_words({"criterion": "patience", "threshold": 2})
    'leaves after 2 exits that agree'
    >>> knobs_words({"rows": 20000, "table": "float32"}), knobs_words({"rows": 1, "table": "int8"})
    ('20,000 rows, float32', '1 row, int8')
    >>> knobs_words({"int8": True})
    'int8'
    """
    if knobs.keys() >= TABLE and isinstance(knobs["rows"], int):
        rest = {k: v for k, v in knobs.items() if k not in TABLE}
        many = "1 row" if knobs["rows"] == 1 else f"{knobs['rows']:,} rows"
        return ", ".join([many, str(knobs["table"]), *_plain(rest)])
    if not knobs.keys() >= {"criterion", "threshold"}:
        return ", ".join(_plain(knobs))
    rest = {k: v for k, v in knobs.items() if k not in ("criterion", "threshold")}
    leaves = _leaves(knobs["criterion"], knobs["threshold"])
    return ", ".join([leaves, *_plain(rest)])


def _plain(knobs: Mapping[str, Any]) -> list[str]:
    return [k if v is True else f"{k} {v}" for k, v in sorted(knobs.items())]


def _leaves(criterion: str, threshold: float | str) -> str:
    if threshold == NEVER:
        return "never leaves early"
    if not isinstance(threshold, int | float):  # no record of ours: shown as it stands there
        return f"leaves at {criterion} {threshold}"
    if threshold <= 0:
        return "leaves at the first exit"
    if criterion == "patience":
        exits = "1 exit that agrees" if threshold == 1 else f"{threshold:g} exits that agree"
        return f"leaves after {exits}"
    if criterion == "entropy":
        return f"leaves at certainty {threshold:g} by entropy"
    return f"leaves at {criterion} {threshold:g}"
