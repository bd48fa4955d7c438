"""One cascade with what it scores and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cascade:
    """Two confirmed points, and the confidence below which the second answers."""

    point_id: str
    first: str
    """Point id of the member that predicts first."""
    second: str
    words: str
    threshold: float
    on: float
    """Share of the test rows that goes on to the second, over the draws; see `infer_flops`."""
    validation: float
    """Score on the rows that both have; with `validation_flops` it chose pair and threshold."""
    validation_rows: int
    validation_on: float
    """Share of these rows that goes on."""
    validation_flops: float
    """The first's and that share of the second's mean [FLOP/text]."""
    infer_flops: float
    """The same on test: over the draws, each with its own costs and share. Not shown on test it
    is `validation_flops`, and `on` is `validation_on`. It is more where the texts that go on are
    longer than others, or a second member with exits keeps them longer."""
    labels: int
    """Distinct labelled examples of both."""
    train_flops: float
    """Own training of both [FLOP]."""
    train_flops_full: float
    """And what they inherited, each bill once [FLOP]."""
    params: int | None
    bytes: int | None
    alone: Mapping[str, float]
    """By member's point id: its own inference [FLOP/text], of the same draws as `infer_flops`."""
    test: float | None = None
    """Mean over the draws, or, cross-fitted, over all rows; None below three draws."""
    low: float | None = None
    """The 95 % interval, over draws and test rows."""
    high: float | None = None
    draws: int = 0
    """That both members have."""
    own_draw: bool = False
    """Whether the first of them is the one that chose: of a crossing all draws count."""
    test_rows: int = 0
    """Judged in all, each row once (cross-fitted) or once a draw."""
    left_out: int = 0
    """Cross-fitted: rows that chose it, and so judge neither it nor its members here."""
    against: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """By member's point id: its test score taken from the cascade's, and the paired interval."""
    ties: tuple[str, ...] = ()
    """Words of other pairs' cascades with exactly its validation score and validation_flops."""
    beaten_by: str = ""
    """Of a named pair: the confirmed point that alone is no worse on validation, and no dearer."""
