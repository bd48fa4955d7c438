"""Which procedure wins where so many labels and so much compute may be spent.

A point fits a cell of the map where it needs no more than the cell's labels and compute. Within a
procedure validation chooses among the points that fit; between procedures the test scores of those
choices decide, in each resample of draws and rows. A winner is called only where it is sure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

SURE = 0.95
"""Share of resamples from which on a winner is called."""


@dataclass(frozen=True, slots=True)
class MethodMap:
    """One cell for each of Y budgets of compute (rows) and X budgets of labels (columns)."""

    best: Ints
    """(Y, X) the procedure that wins in the most resamples; -1 where nothing fits."""
    share: Floats
    """(Y, X) in how many of the resamples it wins; NaN where nothing fits."""
    decided: Mask
    """(Y, X) whether that is sure; where one procedure alone fits it is."""
    rivals: Ints
    """(Y, X) how many procedures fit."""
    choice: Ints
    """(Y, X, P) the point that stands for each procedure; -1 where none of its points fits."""
    shares: Floats
    """(Y, X, P) in how many of the resamples each procedure wins; NaN where none fits."""


def method_map(
    procedure: Ints,
    labels: Floats,
    cost: Floats,
    prefer: Floats,
    resampled: Floats,
    label_budgets: Floats,
    cost_budgets: Floats,
    *,
    differ: Mask | None = None,
    sure: float = SURE,
) -> MethodMap:
    """Find each cell's winner, and how sure it is.

    Of a procedure's points that fit, the one with the largest `prefer` stands for it (ties: the
    cheaper, then fewer labels, then the earlier). A resample is won by the highest test score; one
    that k procedures tie in counts 1/k for each. The leader has the largest share (ties: the
    cheaper choice, then the earlier procedure). It is decided where the share is at least `sure`
    and, where `differ` is given, the leader differs from every other choice: of three draws the
    share alone is too sure of itself.

    Args:
        procedure: (m,) 0 to P - 1. No argument is changed.
        labels: (m,) labels used.
        cost: (m,) smaller is better; NaN, a cost that is not known, fits nowhere.
        prefer: (m,) what chooses within a procedure, larger first: the validation score.
        resampled: (B, m) test scores, larger is better, resampled alike for all points.
        label_budgets: (X,) the most labels of each column.
        cost_budgets: (Y,) the most compute of each row.
        differ: (m, m) whether the paired interval of two points excludes 0; None: not used.
        sure: share of resamples from which on a winner is called.

    Returns:
        The map. What fits a cell fits every cell with more labels and more compute. Order of
        growth: m log m + X Y (m + B P).

    Raises:
        ValueError: shapes that do not match, or a `prefer` that is NaN.

    Two procedures of one point each, the second dearer and better in three of four resamples:

    >>> scores = np.array([[0.7, 0.8], [0.7, 0.8], [0.7, 0.9], [0.7, 0.6]])
    >>> kinds, ten, seen = np.array([0, 1]), np.array([10.0, 10.0]), np.array([0.7, 0.8])
    >>> spend = np.array([1.0, 5.0, 9.0])
    >>> made = method_map(kinds, ten, np.array([2.0, 8.0]), seen, scores, ten[:1], spend)
    >>> made.best.ravel(), made.share.ravel(), made.decided.ravel()
    (array([-1,  0,  1]), array([ nan, 1.  , 0.75]), array([False,  True, False]))
    """
    m = len(procedure)
    if resampled.ndim != 2 or {len(labels), len(cost), len(prefer), resampled.shape[1]} != {m}:
        raise ValueError(f"method_map: {m} points; labels, costs, scores of other shapes given")
    if np.isnan(prefer).any():
        raise ValueError("method_map: a point without what it is chosen by; leave it out, count it")
    kinds = int(procedure.max()) + 1 if m else 0
    size = (len(cost_budgets), len(label_budgets))
    best, rivals = np.full(size, -1, dtype=np.intp), np.zeros(size, dtype=np.intp)
    share, decided = np.full(size, np.nan), np.zeros(size, dtype=np.bool_)
    choice = np.full((*size, kinds), -1, dtype=np.intp)
    shares = np.full((*size, kinds), np.nan)
    order = np.lexsort((np.arange(m), labels, cost, -prefer))
    known: dict[tuple[int, ...], Floats] = {}
    for y, spend in enumerate(cost_budgets):
        for x, labels_used in enumerate(label_budgets):
            ranked = order[((labels <= labels_used) & (cost <= spend))[order]]
            if not len(ranked):
                continue
            procedures, first = np.unique(procedure[ranked], return_index=True)
            chosen = ranked[first]
            key = tuple(chosen.tolist())
            if key not in known:
                known[key] = won(resampled[:, chosen])
            wins = known[key]
            lead = int(np.lexsort((procedures, cost[chosen], -wins))[0])
            others = np.delete(chosen, lead)
            distinguishable = differ is None or bool(differ[chosen[lead], others].all())
            best[y, x], share[y, x], rivals[y, x] = procedures[lead], wins[lead], len(procedures)
            decided[y, x] = wins[lead] >= sure and distinguishable
            choice[y, x, procedures], shares[y, x, procedures] = chosen, wins
    return MethodMap(best, share, decided, rivals, choice, shares)


def won(scores: Floats) -> Floats:
    """Return in which share of the resamples each choice is best; a tie of k counts 1/k each.

    Args:
        scores: (B, n), larger is better, B >= 1. Not changed.

    Returns:
        (n,) shares that add up to 1. Order of growth: B n.

    >>> won(np.array([[0.5, 0.5], [0.7, 0.6]]))
    array([0.75, 0.25])
    """
    top = scores == scores.max(axis=1, keepdims=True)
    return np.asarray((top / top.sum(axis=1, keepdims=True)).mean(axis=0), np.float64)
