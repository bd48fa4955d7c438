"""Settings of a page's reader: limits, prices, a cost axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """Settings of the reader; a limit that is None does not bind."""

    labels: float | None = None
    """At most so many labels used."""
    max_ms: float | None = None
    """At most so many milliseconds a text; points whose time was not measured are then out."""
    max_bytes: float | None = None
    """At most so large when stored [bytes]."""
    max_train_flops: float | None = None
    """At most so much training compute, by the teacher's account [FLOP]."""
    min_score: float | None = None
    """At least this score on validation, which chooses; test only shows."""
    cost: str = ""
    """The cost axis; empty for the run's default."""
    methods: tuple[str, ...] | None = None
    """Only these methods; None for all."""
    teacher: str = "full"
    volume: float | None = None
    """Texts a month, for the dollars to own."""
    prices: Mapping[str, float] | None = None
    """cpu_hour, gpu_hour, label [dollars]; None: the study's."""


LIMITS = ("labels", "max_ms", "max_bytes", "max_train_flops", "min_score")
