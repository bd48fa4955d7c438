"""Intervals of a matrix of domains: rows are resampled by target, draws by source.

All models that are asked about one test split are judged on the same resampled rows, and all cells
of one row of the matrix by the same resampled draws: what two cells share cancels in their
difference. A difference of two cells is of the rows that both have answered alone. Test splits of
different domains, and draws of different runs, are independent. Estimates, the K - 1 resampled
draws and Student's quantile are those of `bootstrap`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raysearch import scores
from raysearch.analysis.bootstrap import (
    FEWEST,
    RESAMPLES,
    Judged,
    Replicates,
    row_weights,
    values,
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
        score: the tasks' main score.
        pooled: cells whose draws are folds with rows of their own (cross-fitting): their score is
            that of all rows together.
        resamples: B.
        seed: of the resampling alone: the same input gives the same intervals.

    Returns:
        Estimates by cell; draws vary only where a source has three or more, else the interval is
        that of the rows alone. The drop is the mean over pairs of domains, both cells of a pair
        on the rows that both have answered; None where no two cells share a row.

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
    drops: list[tuple[Floats, Floats]] = []
    for at, target in enumerate(targets):
        columns = [p for p in cells if p[1] == target]
        rows = np.unique(np.concatenate([j.ids for p in columns for j in cells[p]]))
        paired = _paired({p: cells[p] for p in columns}, target, pooled)
        blocks: dict[Pair, list[Floats]] = {p: [] for p in columns}
        falls: dict[Pair, list[Floats]] = {p: [] for p in paired}
        fallen: dict[Pair, Floats] = {}
        rng = np.random.default_rng([seed, 1, at])
        for start, weights in row_weights(rng, resamples, len(rows)):
            for p in columns:
                batch = often[p[0]][start : start + len(weights)]
                mean, single = _scores(cells[p], rows, weights, batch, score, p in pooled)
                blocks[p].append(mean)
                if start == 0:
                    per_draw[p] = single
            for p, sides in paired.items():
                of: list[tuple[Floats, Floats]] = []
                for side, cell in sides.items():
                    batch = often[side[0]][start : start + len(weights)]
                    of.append(_scores(cell, rows, weights, batch, score, side in pooled))
                (home, homes), (away, aways) = of
                falls[p].append(home - away)
                if start == 0:
                    k = min(len(homes), len(aways))
                    fallen[p] = homes[:k] - aways[:k]
        resampled |= {p: np.concatenate(parts) for p, parts in blocks.items()}
        drops += [(np.concatenate(parts), fallen[p]) for p, parts in falls.items()]
    bounds = scores.bounds(score)
    out = {}
    for p, made in resampled.items():
        low, high = _interval(made, per_draw[p], bounds)
        out[p] = Estimate(float(made[0]), low, high, tuple(per_draw[p].tolist()))
    return out, _drop(drops)


def _paired(
    cells: Mapping[Pair, Sequence[Judged]], target: str, pooled: Set[Pair]
) -> dict[Pair, dict[Pair, list[Judged]]]:
    """Return a column's draws on rows of both by cell off the diagonal: the diagonal's and its own.

    What shares no row with the diagonal is left out.
    """
    home = (target, target)
    if home not in cells:
        return {}
    known = _answered(cells[home], home in pooled)
    out: dict[Pair, dict[Pair, list[Judged]]] = {}
    for p in cells:
        rows = np.intersect1d(known, _answered(cells[p], p in pooled))
        if p != home and len(rows):
            out[p] = {side: [_among(j, rows) for j in cells[side]] for side in (home, p)}
    return out


def _answered(cell: Sequence[Judged], pooled: bool) -> npt.NDArray[np.int64]:
    """Return the rows that a cell has an answer for: of every draw, or, of folds, of any."""
    ids = cell[0].ids
    for j in cell[1:]:
        ids = np.union1d(ids, j.ids) if pooled else np.intersect1d(ids, j.ids)
    return ids


def _among(judged: Judged, rows: npt.NDArray[np.int64]) -> Judged:
    keep = np.isin(judged.ids, rows)
    return Judged(judged.draw, judged.ids[keep], judged.features[keep])


def _often(cells: Sequence[Sequence[Judged]], resamples: int, seed: list[int]) -> Floats:
    """Count how often a source's draws are taken (B + 1, k); line 0, or too few draws: once."""
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
    """Return a cell's score (b,) for weights of rows (b, n), draws (b, k); line 0 by draw (k,)."""
    places = [np.searchsorted(rows, j.ids) for j in cell]
    taken = [weights[:, at] for at in places]
    mean, single = values(score, [j.features for j in cell], taken, often, pooled)
    if pooled:
        # a fold may have none of the rows that it is paired on: it has no estimate of its own
        sizes = np.array([w[0].sum() for w in taken])
        return mean, np.where(sizes > 0, single[0], mean[0])
    return mean, single[0]


def _interval(
    values: Floats, per_draw: Floats, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """Return the 95 % interval of a value (B + 1,), the estimate first, and of its draws (k,)."""
    drawn = per_draw if len(per_draw) >= FEWEST else np.full(FEWEST, values[0])
    made = Replicates(values[:1], drawn[None], values[1:, None], bounds)
    low, high = made.interval(0)
    return float(low), float(high)


def _drop(apart: Sequence[tuple[Floats, Floats]]) -> Drop | None:
    """Return the mean of in-domain minus cross-domain, given by pair (B + 1,) and by draw (k,)."""
    if not apart:
        return None
    k = min(len(each) for _, each in apart)
    mean = np.mean([values for values, _ in apart], axis=0)
    low, high = _interval(mean, np.mean([each[:k] for _, each in apart], axis=0))
    return Drop(float(mean[0]), low, high, len(apart))
