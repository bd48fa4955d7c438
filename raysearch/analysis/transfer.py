"""Intervals of a matrix of domains: rows are resampled by target, draws by source.

All models that are asked about one test split are judged on the same resampled rows, and all cells
of one row of the matrix by the same resampled draws: what two cells share cancels in their
difference. Test splits of different domains, and draws of different runs, are independent.
Estimates, the K - 1 resampled draws and Student's quantile are those of `bootstrap`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raysearch.analysis.bootstrap import (
    BOUNDS,
    FEWEST,
    RESAMPLES,
    Judged,
    Replicates,
    from_sums,
    row_weights,
)
from raysearch.analysis.domains import Drop

Floats: TypeAlias = npt.NDArray[np.float64]
Pair: TypeAlias = tuple[str, str]
"""(trained on, tested on)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One cell: mean over draws, its 95 % interval, and the score of each draw."""

    score: float
    low: float
    high: float
    per_draw: tuple[float, ...]


def transfer(
    cells: Mapping[Pair, Sequence[Judged]],
    score: str,
    *,
    pooled: Set[Pair] = frozenset(),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[dict[Pair, Estimate], Drop | None]:
    """Estimate the cells of one method's matrix, and the mean drop off its diagonal.

    Args:
        cells: by (source, target) the draws of the source's models on rows of the target's test;
            a cell may lack rows that another cell of its column has. Not changed.
        score: the tasks' main score: accuracy, macro_f1 or mcc.
        pooled: cells whose draws are folds with rows of their own (cross-fitting): their score is
            that of all rows together.
        resamples: B.
        seed: of the resampling alone: the same input gives the same intervals.

    Returns:
        Estimates by cell; draws vary only where a source has three or more, else the interval is
        that of the rows alone. The drop is None where no domain is judged both in its own domain
        and from another.

    Order of growth: B times rows and draws of all cells.
    """
    targets = list(dict.fromkeys(target for _, target in cells))
    sources = list(dict.fromkeys(source for source, _ in cells))
    often = {
        source: _often([cells[p] for p in cells if p[0] == source], resamples, [seed, 0, at])
        for at, source in enumerate(sources)
    }
    resampled: dict[Pair, Floats] = {}
    per_draw: dict[Pair, Floats] = {}
    for at, target in enumerate(targets):
        mine = [p for p in cells if p[1] == target]
        rows = np.unique(np.concatenate([j.ids for p in mine for j in cells[p]]))
        blocks: dict[Pair, list[Floats]] = {p: [] for p in mine}
        rng = np.random.default_rng([seed, 1, at])
        for start, weights in row_weights(rng, resamples, len(rows)):
            for p in mine:
                here = often[p[0]][start : start + len(weights)]
                mean, single = _scores(cells[p], rows, weights, here, score, p in pooled)
                blocks[p].append(mean)
                if start == 0:
                    per_draw[p] = single
        resampled |= {p: np.concatenate(found) for p, found in blocks.items()}
    bounds = BOUNDS.get(score, (-np.inf, np.inf))
    out = {}
    for p, values in resampled.items():
        low, high = _interval(values, per_draw[p], bounds)
        out[p] = Estimate(float(values[0]), low, high, tuple(per_draw[p].tolist()))
    return out, _drop(resampled, per_draw)


def _often(cells: Sequence[Sequence[Judged]], resamples: int, seed: list[int]) -> Floats:
    """How often each draw of a source is taken (B + 1, k); line 0, or too few draws: once each."""
    k = len(cells[0])
    if any(len(c) != k for c in cells):
        raise ValueError("a source's models were not all asked about every domain")
    out = np.ones((resamples + 1, k))
    if k >= FEWEST:
        among = np.random.default_rng(seed).integers(k, size=(resamples, k - 1))
        out[1:] = np.stack([(among == d).sum(axis=1) for d in range(k)], axis=1)
    return out


def _scores(
    cell: Sequence[Judged],
    rows: npt.NDArray[np.int64],
    weights: Floats,
    often: Floats,
    score: str,
    pooled: bool,
) -> tuple[Floats, Floats]:
    """A cell's score (b,) under weights of rows (b, n) and draws (b, k); line 0 by draw (k,)."""
    places = [np.searchsorted(rows, j.ids) for j in cell]
    sums = np.stack([weights[:, at] @ j.features for at, j in zip(places, cell, strict=True)], 1)
    sizes = np.stack([weights[:, at].sum(axis=1) for at in places], axis=1)
    single = from_sums(sums, sizes, score)
    if pooled:
        total = np.einsum("bk,bkf->bf", often, sums)
        return from_sums(total, (often * sizes).sum(axis=1), score), single[0]
    return (often * single).sum(axis=1) / often.sum(axis=1), single[0]


def _interval(
    values: Floats, per_draw: Floats, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """The 95 % interval of a value (B + 1,), the estimate first, and of its draws (k,)."""
    drawn = per_draw if len(per_draw) >= FEWEST else np.full(FEWEST, values[0])
    made = Replicates(values[:1], drawn[None], values[1:, None], bounds)
    low, high = made.interval(0)
    return float(low), float(high)


def _drop(resampled: Mapping[Pair, Floats], per_draw: Mapping[Pair, Floats]) -> Drop | None:
    """The mean of in-domain minus cross-domain, over the pairs that have both."""
    pairs = [(s, t) for s, t in resampled if s != t and (t, t) in resampled]
    if not pairs:
        return None
    apart = np.mean([resampled[t, t] - resampled[s, t] for s, t in pairs], axis=0)
    k = min(len(per_draw[p]) for s, t in pairs for p in ((s, t), (t, t)))
    each = np.mean([per_draw[t, t][:k] - per_draw[s, t][:k] for s, t in pairs], axis=0)
    low, high = _interval(apart, each)
    return Drop(float(apart[0]), low, high, len(pairs))
