"""Paired bootstraps over draws and test rows, for any score of `raysearch.scores`.

Where sums over rows decide a score, resamples are weighted sums; ranks are made anew in each.

Rows are resampled alike for every choice that is compared, and so are draws: what two choices
share cancels in their difference. Draws are few, so m - 1 of m are drawn, which makes their
variance unbiased (Rao and Wu 1988, JASA 83), and an interval is stretched by Student's quantile at
Welch and Satterthwaite's degrees of freedom.

Source: Efron and Tibshirani 1993, chapter 13 (percentile intervals); Owen 2007, Annals of Applied
Statistics 1 (rows and draws as crossed factors, resampled independently: conservative).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from raysearch import scores
from raysearch.score_intervals import Z95
from raysearch.score_sums import Sums
from raysearch.scores import Score

Floats: TypeAlias = npt.NDArray[np.float64]

RESAMPLES = 2000
FEWEST = 3
"""Draws below which there is no interval."""
BLOCK = 4_000_000
"""Numbers of one block of resamples: 32 MB."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One draw of one choice on its test rows."""

    draw: int
    ids: npt.NDArray[np.int64]
    """Rows of the test split (n,)."""
    features: Floats
    """What the score is made of, by row (n, f); see `features`."""


def features(
    logits: Floats,
    labels: npt.NDArray[np.int64] | Floats,
    score: str,
    *,
    centred: bool = True,
) -> Floats:
    """Return the per-row numbers (n, f) that decide a score; see `raysearch.scores.Score.parts`.

    >>> features(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), scores.DEFAULT).ravel()
    array([1., 0.])

    Raises:
        ValueError: a score that is not known.
    """
    return _known(score).parts(logits, labels, centred=centred)


def _known(score: str) -> Score:
    if score not in scores.SCORES:
        known = ", ".join(scores.SCORES)
        raise ValueError(f"score '{score}': no interval is known. Known: {known}")
    return scores.SCORES[score]


def values(
    score: str, draws: Sequence[Floats], weights: Sequence[Floats], often: Floats, pooled: bool
) -> tuple[Floats, Floats]:
    """Return scores (b,) over draws and (b, k) of each draw, under weights of rows and draws.

    Args:
        score: its name.
        draws: features (n, f) of each of k draws. Not changed.
        weights: how often the rows of each draw are taken (b, n).
        often: how often each draw is taken (b, k).
        pooled: the score is that of all rows together, not the mean over draws.
    """
    of = _known(score)
    if of.sums is None:
        each = np.stack([of.weighted(d, w) for d, w in zip(draws, weights, strict=True)], axis=1)
        if pooled:
            drawn = np.hstack([w * often[:, k, None] for k, w in enumerate(weights)])
            return of.weighted(np.vstack(draws), drawn), each
        return _mean(each, often), each
    sums = np.stack([w @ d for w, d in zip(weights, draws, strict=True)], axis=1)
    sizes = np.stack([w.sum(axis=1) for w in weights], axis=1)
    return _of_sums(of.sums, sums, sizes, often, pooled)


def _of_sums(
    of: Sums, sums: Floats, sizes: Floats, often: Floats, pooled: bool
) -> tuple[Floats, Floats]:
    """Return the same of the sums (b, k, f) over sizes (b, k) rows."""
    each = of.total(sums, sizes)
    if pooled:
        total = np.einsum("bk,bkf->bf", often, sums)
        return of.total(total, (often * sizes).sum(axis=1)), each
    return _mean(each, often), each


def _mean(each: Floats, often: Floats) -> Floats:
    return np.asarray((often * each).sum(axis=1) / often.sum(axis=1))


@dataclass(frozen=True, slots=True)
class Replicates:
    """Estimates of some choices, and what they become when draws and rows are resampled."""

    estimate: Floats
    """(m,) the mean over draws, or, cross-fitted, the score over all rows together."""
    per_draw: Floats
    """(m, k) the score of each draw."""
    resampled: Floats
    """(B, m)."""
    bounds: tuple[float, float] = (-np.inf, np.inf)
    """Between which the score lies."""

    def interval(self, i: int) -> tuple[float, float]:
        """Return the 95 % interval of choice i."""
        low, high = ends_of(self.resampled[:, i], self.per_draw[i])
        return max(low, self.bounds[0]), min(high, self.bounds[1])

    def difference(self, i: int, j: int) -> tuple[float, float]:
        """Return the 95 % interval of choice i minus choice j, paired over draws and rows."""
        apart = self.resampled[:, i] - self.resampled[:, j]
        return ends_of(apart, self.per_draw[i] - self.per_draw[j])

    def differences(self) -> Floats:
        """Return choice i minus choice j and the ends of `difference`, (m, m, 3). O(m^2 B)."""
        m = len(self.estimate)
        out = np.zeros((m, m, 3))
        by_choice = np.ascontiguousarray(self.resampled.T)
        for i in range(1, m):
            ends = _intervals(by_choice[i] - by_choice[:i], self.per_draw[i] - self.per_draw[:i])
            out[i, :i, 0] = self.estimate[i] - self.estimate[:i]
            out[i, :i, 1:] = ends
            out[:i, i, 0] = -out[i, :i, 0]
            out[:i, i, 1:] = -ends[:, ::-1]
        return out


def replicates(
    choices: list[list[Judged]],
    score: str,
    *,
    pooled: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Replicates:
    """Resample draws and test rows, alike for all choices.

    Args:
        choices: m choices of k draws each, the same draws in the same order. Not changed.
        score: the task's main score.
        pooled: the draws are folds with rows of their own (cross-fitting): the score is that of
            all rows together. Otherwise every draw is judged on the same rows and averaged.
        resamples: B.
        seed: of the resampling alone: the same input gives the same interval.

    Raises:
        ValueError: fewer than three draws, or choices of different draws or rows.
    """
    draws = [j.draw for j in choices[0]] if choices else []
    if len(draws) < FEWEST:
        raise ValueError(f"{len(draws)} draws: at least {FEWEST} are needed for an interval")
    rows = np.unique(np.concatenate([j.ids for j in choices[0]]))
    places = [np.searchsorted(rows, j.ids) for j in choices[0]]
    for choice in choices:
        for judged, first in zip(choice, choices[0], strict=True):
            if judged.draw != first.draw or not np.array_equal(judged.ids, first.ids):
                raise ValueError("the choices were judged on different draws or rows")
    rng = np.random.default_rng(seed)
    among = rng.integers(len(draws), size=(resamples, len(draws) - 1))
    often = np.stack([(among == k).sum(axis=1) for k in range(len(draws))], axis=1)
    often = np.vstack([np.ones(len(draws)), often]).astype(np.float64)
    of = _known(score)
    widths = [c[0].features.shape[1] for c in choices]
    stacked = [np.hstack([c[k].features for c in choices]) for k in range(len(draws))]
    blocks = []
    per_draw = np.empty((len(choices), len(draws)))
    for at, weights in row_weights(rng, resamples, len(rows)):
        parts = [weights[:, place] for place in places]
        batch = often[at : at + len(weights)]
        sizes = np.stack([part.sum(axis=1) for part in parts], axis=1)
        # one product for all choices
        sums = [] if of.sums is None else [p @ f for p, f in zip(parts, stacked, strict=True)]
        block = np.empty((len(weights), len(choices)))
        start = 0
        for i, width in enumerate(widths):
            if of.sums is None:
                own = [j.features for j in choices[i]]
                block[:, i], single = values(score, own, parts, batch, pooled)
            else:
                each = np.stack([s[:, start : start + width] for s in sums], axis=1)
                block[:, i], single = _of_sums(of.sums, each, sizes, batch, pooled)
            start += width
            if at == 0:
                per_draw[i] = single[0]
        blocks.append(block)
    made = np.vstack(blocks)
    return Replicates(made[0], per_draw, made[1:], scores.bounds(score))


def row_weights(
    rng: np.random.Generator, resamples: int, rows: int
) -> Iterator[tuple[int, Floats]]:
    """Yield blocks (b, n) of how often each row is taken, and their place; line 0: once each."""
    batch = max(1, BLOCK // rows)
    for start in range(0, resamples + 1, batch):
        out = np.ones((min(batch, resamples + 1 - start), rows))
        for b in range(1 if start == 0 else 0, len(out)):
            out[b] = np.bincount(rng.integers(rows, size=rows), minlength=rows)
        yield start, out


def ends_of(resampled: Floats, per_draw: Floats) -> tuple[float, float]:
    """Return a number's 95 % interval from its resampled values (B,) and each draw's (k,).

    >>> ends_of(np.ones(100), np.ones(3))
    (1.0, 1.0)
    """
    low, high = _intervals(resampled[None], per_draw[None])[0].tolist()
    return low, high


def _intervals(resampled: Floats, per_draw: Floats) -> Floats:
    """Return the ends (p, 2) of p intervals from resampled values (p, B) and draws' (p, k)."""
    low, middle, high = np.quantile(resampled, [0.025, 0.5, 0.975], axis=1)
    stretch = _stretch(resampled.var(axis=1), per_draw)
    # Of three or four draws the percentiles are the extremes of a few values: too narrow.
    least = Z95 * resampled.std(axis=1)
    return np.stack(
        [
            middle - np.maximum(middle - low, least) * stretch,
            middle + np.maximum(high - middle, least) * stretch,
        ],
        axis=1,
    )


def _stretch(variance: Floats, per_draw: Floats) -> Floats:
    """Return Student's quantile over the normal one (p,), with Welch-Satterthwaite freedom.

    The draws' share of the variance is known from k draws alone; that of the rows is known well.

    >>> _stretch(np.array([1.0]), np.array([[0.5, 0.5, 0.5]]))
    array([1.])
    """
    k = per_draw.shape[1]
    of_draws = per_draw.var(axis=1, ddof=1) / k
    known = (of_draws > 0) & (variance > 0)
    share = np.minimum(1.0, np.where(known, of_draws, 1.0) / np.where(known, variance, 1.0))
    return np.where(known, student.ppf(0.975, (k - 1) / share**2) / Z95, 1.0)
