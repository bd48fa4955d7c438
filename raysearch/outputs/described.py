"""Words of any point: its record's own, or what its knobs said before records carried words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysearch.outputs.point_kinds import kinds
from raysearch.outputs.points import PointWords, plain_words
from raysearch.record import OperatingPoint


def words_of_knobs(knobs: Mapping[str, Any]) -> PointWords:
    """Return label and curve of a point by its knobs alone, as for records that carry neither.

    >>> words_of_knobs({"criterion": "confidence", "threshold": 0.85, "int8": True}).label
    'leaves at confidence 0.85, int8'
    >>> words_of_knobs({"int8": True}), words_of_knobs({}).label
    (PointWords(label='int8', curve=''), '')
    """
    for kind in kinds().values():
        words: PointWords | None = kind.words(knobs)
        if words is not None:
            return words
    return plain_words(knobs)


def label_of(point: OperatingPoint) -> str:
    """Return the point's own knobs in words; empty for a plain model."""
    return point.label or words_of_knobs(point.knobs).label


def curve_of(point: OperatingPoint) -> str:
    """Return the sweep of one trained model that the point belongs to; empty for a point alone."""
    return point.curve if point.label else words_of_knobs(point.knobs).curve
