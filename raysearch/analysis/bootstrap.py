"""Paired bootstraps over draws and test rows, for any score that sums of per-row numbers decide.

Rows are resampled alike for every choice that is compared, and so are draws: what two choices
share cancels in their difference. Draws are few, so m - 1 of m are drawn, which makes their
variance unbiased (Rao and Wu 1988, JASA 83), and an interval is stretched by Student's quantile at
Welch and Satterthwaite's degrees of freedom.

Source: Efron and Tibshirani 1993, chapter 13 (percentile intervals); Owen 2007, Annals of Applied
Statistics 1 (rows and draws as crossed factors, resampled independently: conservative).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

Floats: TypeAlias = npt.NDArray[np.float64]

RESAMPLES = 2000
FEWEST = 3
"""Draws below which there is no interval."""
BOUNDS = {
    "accuracy": (0.0, 1.0),
    "macro_f1": (0.0, 1.0),
    "mcc": (-1.0, 1.0),
    "pearson": (-1.0, 1.0),
}
"""Between which scores lie."""
BLOCK = 4_000_000
"""Numbers of one block of resamples: 32 MB."""
Z95 = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""


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
    """Per-row numbers (n, f) whose sums decide a score; `from_sums` turns sums into the score.

    accuracy: right or wrong. macro_f1 and mcc: right, and one-hot of prediction and label.
    pearson and mse: prediction, label, their squares and product, and 1; for pearson in units of
    the labels' spread about their mean, so that squares keep their digits, unless `centred` is
    False: rows of several calls that are summed up together need one origin.

    >>> features(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), "accuracy").ravel()
    array([1., 0.])

    Raises:
        ValueError: a score that sums of rows do not decide.
    """
    if score in ("pearson", "mse"):
        x, y = logits[:, 0].astype(np.float64), labels.astype(np.float64)
        if score == "pearson" and centred and len(y):
            origin, unit = y.mean(), float(y.std()) or 1.0
            x, y = (x - origin) / unit, (y - origin) / unit
        return np.stack([x, y, x * x, y * y, x * y, np.ones(len(x))], axis=1)
    predicted = logits.argmax(axis=1)
    right: Floats = (predicted == labels).astype(np.float64)[:, None]
    if score == "accuracy":
        return right
    if score not in ("macro_f1", "mcc"):
        raise ValueError(f"score '{score}': no interval is known. Known: accuracy, macro_f1, mcc")
    classes = np.eye(logits.shape[1])
    hit = classes[labels.astype(np.int64)] * right
    return np.hstack([hit, classes[predicted], classes[labels.astype(np.int64)]])


def from_sums(sums: Floats, rows: Floats, score: str) -> Floats:
    """Scores (...) from weighted sums of features (..., f) over (...) rows in all.

    The definitions are those of raysearch.data.evaluate.

    >>> from_sums(np.array([3.0]), np.array(4.0), "accuracy")
    array(0.75)
    """
    if score == "accuracy":
        return np.asarray(sums[..., 0] / np.maximum(rows, 1e-12))
    if score in ("pearson", "mse"):
        x, y, xx, yy, xy, n = np.moveaxis(sums, -1, 0)
        if score == "mse":
            return np.asarray((xx - 2 * xy + yy) / np.maximum(n, 1e-12))
        top = n * xy - x * y
        bottom = np.sqrt(np.maximum(n * xx - x * x, 0) * np.maximum(n * yy - y * y, 0))
        return np.where(bottom > 1e-12, top / np.maximum(bottom, 1e-12), 0.0)
    hit, said, true = np.split(sums, 3, axis=-1)
    if score == "macro_f1":
        both = said + true
        f1 = np.where(both > 0, 2 * hit / np.maximum(both, 1e-12), 0.0)
        return np.asarray(f1.sum(axis=-1) / np.maximum((both > 0).sum(axis=-1), 1))
    n = np.asarray(rows, np.float64)
    top = hit.sum(axis=-1) * n - (said * true).sum(axis=-1)
    spread = (n * n - (said * said).sum(axis=-1)) * (n * n - (true * true).sum(axis=-1))
    return np.where(spread > 1e-9, top / np.sqrt(np.maximum(spread, 1e-9)), 0.0)


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
        """The 95 % interval of choice i."""
        low, high = ends_of(self.resampled[:, i], self.per_draw[i])
        return max(low, self.bounds[0]), min(high, self.bounds[1])

    def difference(self, i: int, j: int) -> tuple[float, float]:
        """The 95 % interval of choice i minus choice j, paired over draws and rows."""
        apart = self.resampled[:, i] - self.resampled[:, j]
        return ends_of(apart, self.per_draw[i] - self.per_draw[j])

    def differences(self) -> Floats:
        """Every pair (m, m, 3): choice i minus choice j, and the ends of `difference`. O(m^2 B)."""
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
    widths = [c[0].features.shape[1] for c in choices]
    stacked = [np.hstack([c[k].features for c in choices]) for k in range(len(draws))]
    blocks = []
    per_draw = np.empty((len(choices), len(draws)))
    for at, weights in row_weights(rng, resamples, len(rows)):
        parts = [weights[:, place] for place in places]
        sums = [part @ f for part, f in zip(parts, stacked, strict=True)]  # k of (b, m * f)
        sizes = np.stack([part.sum(axis=1) for part in parts], axis=1)
        here = often[at : at + len(weights)]
        block = np.empty((len(weights), len(choices)))
        start = 0
        for i, width in enumerate(widths):
            each = np.stack([s[:, start : start + width] for s in sums], axis=1)
            start += width
            single = from_sums(each, sizes, score)
            if at == 0:
                per_draw[i] = single[0]
            if pooled:
                total = np.einsum("bk,bkf->bf", here, each)
                block[:, i] = from_sums(total, (here * sizes).sum(axis=1), score)
            else:
                block[:, i] = (here * single).sum(axis=1) / here.sum(axis=1)
        blocks.append(block)
    made = np.vstack(blocks)
    return Replicates(made[0], per_draw, made[1:], BOUNDS.get(score, (-np.inf, np.inf)))


def row_weights(
    rng: np.random.Generator, resamples: int, rows: int
) -> Iterator[tuple[int, Floats]]:
    """Blocks of how often each row is taken, (b, n), with their place; line 0 takes each once."""
    many = max(1, BLOCK // rows)
    for start in range(0, resamples + 1, many):
        out = np.ones((min(many, resamples + 1 - start), rows))
        for b in range(1 if start == 0 else 0, len(out)):
            out[b] = np.bincount(rng.integers(rows, size=rows), minlength=rows)
        yield start, out


def ends_of(resampled: Floats, per_draw: Floats) -> tuple[float, float]:
    """The 95 % interval of a number, from its resampled values (B,) and that of each draw (k,).

    >>> ends_of(np.ones(100), np.ones(3))
    (1.0, 1.0)
    """
    low, high = _intervals(resampled[None], per_draw[None])[0].tolist()
    return low, high


def _intervals(resampled: Floats, per_draw: Floats) -> Floats:
    """Ends (p, 2) of p intervals, of resampled values (p, B) and those of each draw (p, k)."""
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
    """Student's quantile over the normal one (p,), at Welch and Satterthwaite's degrees of freedom.

    The draws' share of the variance is known from k draws alone; that of the rows is known well.

    >>> _stretch(np.array([1.0]), np.array([[0.5, 0.5, 0.5]]))
    array([1.])
    """
    k = per_draw.shape[1]
    of_draws = per_draw.var(axis=1, ddof=1) / k
    known = (of_draws > 0) & (variance > 0)
    share = np.minimum(1.0, np.where(known, of_draws, 1.0) / np.where(known, variance, 1.0))
    return np.where(known, student.ppf(0.975, (k - 1) / share**2) / Z95, 1.0)
