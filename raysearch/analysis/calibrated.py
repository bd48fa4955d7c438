"""How far the probabilities of a point's draws can be believed; and numbers over draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysearch.analysis.report_subject import Draw
from raysearch.outputs.calibration import FEWEST, Bin, ece, reliability, softmax, temperature

BINS = 15
"""Equal steps of confidence, as arXiv:1706.04599 has them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A number over draws; NaN where it has no meaning."""

    mean: float
    """Over draws; cross-fitted, the number over all rows together."""
    low: float
    """The smallest of a draw."""
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be believed, as trained and after temperature scaling."""

    temperature: Spread
    """Fitted on the validation rows of the same draw."""
    fitted: int
    """Draws with enough validation rows to fit one."""
    ece_before: Spread
    ece_after: Spread
    before: tuple[Bin, ...]
    """Answers of all draws together."""
    after: tuple[Bin, ...]


def spread_of(values: Sequence[float], whole: float | None = None) -> Spread:
    """Return mean (or the number over all rows), least and most, of the draws with a number."""
    known = [v for v in values if np.isfinite(v)]
    if not known:
        return Spread(*([float("nan")] * 3))
    return Spread(float(np.mean(known)) if whole is None else whole, min(known), max(known))


def calibrated(draws: Sequence[Draw], pooled: bool) -> Calibration:
    """Return the calibration on test of classifying draws, each scaled by its own temperature.

    Args:
        draws: of one point; not changed.
        pooled: the draws are folds: errors are over all rows together, not means over draws.
    """
    degrees, fitted = [], 0
    for d in draws:
        enough = d.seen_logits is not None and len(d.seen_label) >= FEWEST
        fitted += enough
        degrees.append(
            temperature(d.seen_logits.astype(np.float32), d.seen_label)
            if enough and d.seen_logits is not None
            else 1.0
        )
    label = np.concatenate([d.label for d in draws])
    raw = [softmax(d.logits.astype(np.float32)) for d in draws]
    scaled = [
        softmax((d.logits / t).astype(np.float32)) for d, t in zip(draws, degrees, strict=True)
    ]
    spreads, bins = [], []
    for each in (raw, scaled):
        together = np.concatenate(each)
        bins.append(tuple(reliability(together, label, BINS)))
        spreads.append(
            spread_of(
                [ece(p, d.label, BINS) for p, d in zip(each, draws, strict=True)],
                ece(together, label, BINS) if pooled else None,
            )
        )
    return Calibration(spread_of(degrees), fitted, spreads[0], spreads[1], bins[0], bins[1])
