"""The winner's bias: how far scores that were chosen for being high fall on fresh draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from raysearch.analysis.candidates import FIRST
from raysearch.analysis.confirmation import Confirmation
from raysearch.analysis.pareto import nondominated
from raysearch.analysis.winners import selected

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bias:
    """The search's frontier, held against its fresh draws."""

    members: int
    """Of the search's frontier, score on validation against inference FLOPs."""
    confirmed: int
    """Of those, how many have their draws."""
    survived: int
    """Of those, how many no other confirmed point beats at their cost."""
    fall: float
    """Mean of (validation score that chose it - confirmed score on test), in the score's unit."""
    fall_test: float | None
    """Mean of (the chosen trial's own test score - confirmed score); None where not scored."""
    worst: float
    """The largest fall from validation."""

    def sentence(self) -> str:
        """Return the comparison as a sentence."""
        if not self.confirmed:
            return ""
        return (
            f"Of the search's frontier ({self.members} points) {self.confirmed} were confirmed and "
            f"{self.survived} stay on it; from the validation score that chose them to fresh draws "
            f"on test they moved by {-self.fall:+.3f} on average ({-self.worst:+.3f} at worst)."
        )


def selection_bias(table: pd.DataFrame, made: Confirmation) -> Bias | None:
    """Compare the search's frontier with the confirming draws.

    None where none has its draws, and in a grid study, which chose nothing.
    """
    if not made.estimates or made.crossed:
        return None
    rows = table.drop_duplicates("point_id").set_index("point_id")
    members = [str(p) for p in selected(table, FIRST)["point_id"]]
    confirmed = [(p, i) for p in members if (i := made.at(p)) is not None]
    if not confirmed:
        return None
    flops = rows["infer_flops"].astype("float64")
    cost = flops.loc[[e.point_id for e in made.estimates]].to_numpy(dtype=np.float64)
    known = np.isfinite(cost)  # a point without a cost is on no frontier
    scores = np.array([e.score for e in made.estimates])
    kept = np.zeros(len(cost), dtype=np.bool_)
    kept[known] = nondominated(np.stack([scores[known], -cost[known]], axis=1))
    ends = np.array([made.estimates[i].score for _, i in confirmed])
    of = rows.loc[[p for p, _ in confirmed]]
    chose = of["score_validation"].to_numpy(dtype=np.float64, na_value=np.nan)
    own = of["score_test"].to_numpy(dtype=np.float64, na_value=np.nan)
    return Bias(
        len(members),
        len(confirmed),
        int(sum(kept[i] for _, i in confirmed)),
        float(np.mean(chose - ends)),
        float(np.nanmean(own - ends)) if np.isfinite(own).any() else None,
        float(np.max(chose - ends)),
    )


def on_frontier(resampled: Floats, cost: Floats) -> Floats:
    """Return how often each choice is on the frontier (m,) when draws and rows are resampled.

    A choice is on it where nothing as cheap or cheaper scores higher, and of equals the cheapest,
    then the first, stays. Choices without a finite cost are never on it: NaN.

    Args:
        resampled: (B, m) scores, larger is better. Not changed.
        cost: (m,) smaller is better.

    >>> on_frontier(np.array([[0.7, 0.8], [0.7, 0.6]]), np.array([1.0, 2.0]))
    array([1. , 0.5])
    """
    out = np.full(len(cost), np.nan)
    open_ = np.flatnonzero(np.isfinite(cost))
    scores = resampled[:, open_]
    for place, i in enumerate(open_):
        cheaper = cost[open_] < cost[i]
        same = (cost[open_] == cost[i]) & (np.arange(len(open_)) != place)
        beaten = np.zeros(len(scores), dtype=np.bool_)
        if cheaper.any():
            beaten |= (scores[:, cheaper] >= scores[:, place, None]).any(axis=1)
        if same.any():
            earlier = np.flatnonzero(same) < place
            rival = scores[:, same]
            over = rival > scores[:, place, None]
            beaten |= (over | (earlier & (rival == scores[:, place, None]))).any(axis=1)
        out[i] = 1.0 - beaten.mean()
    return out
