"""Confirming draws: an estimate with its interval for each choice and each pair.

Nothing of the search's own trial enters an estimate: it was chosen for being lucky. (In a grid
study nothing is chosen; its first draw counts.) The choices are the search's operating points;
their draws are found by their recipe, the configuration with every seed at 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raysearch.analysis.bootstrap import FEWEST, Judged, Replicates, features, replicates
from raysearch.analysis.replicates import FreshDraws, draws_of, is_crossing, matching_point
from raysearch.analysis.run import Run
from raysearch.outputs.stored import read_logits
from raysearch.record import OperatingPoint, TrialRecord
from raysearch.run.folder import RunFolder

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One confirmed choice: means over its fresh draws, in the unit of the task's score."""

    point_id: str
    """The search's point."""
    draws: int
    score: float
    """On test."""
    low: float
    high: float
    """The 95 % interval, over draws and test rows."""
    validation: float
    """Mean over the draws' own validation rows."""
    validation_rows: int
    """Of one draw."""
    test_rows: int
    """Judged in all, each row once (cross-fitted) or once a draw."""
    per_draw: tuple[float, ...]
    """The score of each draw on test."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The estimates, and how any two of them differ."""

    estimates: tuple[Estimate, ...] = ()
    folds: int = 0
    """Cross-fitting folds; 0: every draw was judged on the task's own test split."""
    difference: Floats = field(default_factory=lambda: np.zeros((0, 0, 3)))
    """(m, m, 3): estimate i minus estimate j, and the ends of its paired 95 % interval."""
    resampled: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """(B, m): the estimates when draws and rows are resampled."""
    begun: Mapping[str, int] = field(default_factory=dict)
    """Finished draws of the points that have too few for an interval."""
    lost: int = 0
    """Draws that did not end as DONE."""
    why: str = ""
    """Why there is no interval although draws have run; empty otherwise."""
    drawn: tuple[int, ...] = ()
    """The draws that every estimate stands on."""
    crossed: bool = False
    """A grid study: nothing was chosen, and the search's own draw is one of them."""

    def at(self, point_id: str) -> int | None:
        """Return the place of the point among the estimates; None where it has none."""
        positions = (i for i, e in enumerate(self.estimates) if e.point_id == point_id)
        return next(positions, None)


def confirmation(run: Run) -> Confirmation:
    """Read the confirming draws of a run; their logits stand in the run's Store.

    Points with three draws or more get an estimate from the draws that all of them have in
    common. Nothing is estimated, and `why` says so, where logits are gone.
    """
    return run.cached("confirmation", _confirmation, untimed=True)


def _confirmation(run: Run) -> Confirmation:
    draws = [r for r in run.records if r.phase == "confirm"]
    if not draws:
        return Confirmation()
    lost = sum(r.status != "DONE" for r in draws)
    by_point = fresh_draws(run)
    begun = {p: len(fresh) for p, (_, _, fresh) in by_point.items() if len(fresh) < FEWEST}
    whole = {p: v for p, v in by_point.items() if p not in begun}
    if not whole:
        return Confirmation(begun=begun, lost=lost)
    common = _common([set(fresh) for _, _, fresh in whole.values()])
    for p, (_, _, fresh) in list(whole.items()):
        if not common <= set(fresh):  # too few of the others' draws: compared with no choice
            begun[p] = len(common & set(fresh))
            del whole[p]
    folds = next(r.config.data.folds for _, _, f in whole.values() for r in f.values())
    score = next(iter(whole.values()))[0].score
    try:
        judged = {
            p: [judged_draw(run.folder, fresh[d], point, d, score) for d in sorted(common)]
            for p, (_, point, fresh) in whole.items()
        }
        made = replicates(list(judged.values()), score, pooled=folds > 0)
    except (OSError, ValueError, EOFError) as e:  # EOFError: numpy of an empty file
        reason = f"the draws of {len(whole)} choices have no interval: {e}"
        return Confirmation(begun=begun, lost=lost, why=reason.splitlines()[0])
    estimates = tuple(
        _estimate(i, p, whole[p][1], {d: whole[p][2][d] for d in sorted(common)}, made, score)
        for i, p in enumerate(judged)
    )
    drawn, difference = tuple(sorted(common)), made.differences()
    crossed = is_crossing(run.records, run.study)
    return Confirmation(
        estimates, folds, difference, made.resampled, begun, lost, drawn=drawn, crossed=crossed
    )


def fresh_draws(run: Run) -> dict[str, FreshDraws]:
    """Return the search's points that draws have again, by point id."""
    return run.cached("fresh draws", lambda of: draws_of(of.records, of.study))


def _common(sets: list[set[int]]) -> set[int]:
    """Return the draws to compare on: those that most choices have, dropping choices without them.

    >>> sorted(_common([{1, 2, 3}, {1, 2, 3}, {1, 2, 4}]))
    [1, 2, 3]
    """
    shared = set.intersection(*sets)
    if len(shared) >= FEWEST:
        return shared
    counts = Counter(frozenset(s) for s in sets)
    best = max(counts.items(), key=lambda item: (item[1], len(item[0]), sorted(item[0])))
    return set(best[0])


def judged_draw(
    folder: Path, record: TrialRecord, point: OperatingPoint, draw: int, score: str
) -> Judged:
    """Read one draw of a point as the bootstrap takes it; OSError where its logits are gone."""
    like = matching_point(record, point)
    assert like is not None
    logits, ids, labels = stored_logits(folder, like.point_id, "test")
    order = np.argsort(ids, kind="stable")
    alone = record.config.data.folds == 0  # folds are summed up together
    made = features(logits[order], labels[order], score, centred=alone)
    return Judged(draw, ids[order], made)


def stored_logits(folder: Path, point_id: str, split: str) -> tuple[Any, Any, Any]:
    """Read logits (n, C), row numbers (n,) and labels (n,) of a point on a split from the Store.

    Raises:
        OSError: they were not kept.
        ValueError: they are not whole, or a name that leaves the Store.
    """
    name = f"{point_id}-{split}"
    if not name.replace("-", "").isalnum():
        raise ValueError(f"'{name}' cannot name an entry of the Store")
    entry = RunFolder(folder).store / "logits" / name
    out = read_logits(entry)
    if len({len(a) for a in out}) != 1:
        raise ValueError(f"logits of point {point_id} are not whole")
    return out


def _estimate(
    i: int,
    point_id: str,
    point: OperatingPoint,
    fresh: Mapping[int, TrialRecord],
    made: Replicates,
    score: str,
) -> Estimate:
    twins = [t for r in fresh.values() if (t := matching_point(r, point)) is not None]
    seen = [t.scores["validation"][score] for t in twins if score in t.scores.get("validation", {})]
    low, high = made.interval(i)
    folds = next(iter(fresh.values())).config.data.folds
    rows = [t.rows.get("test", 0) for t in twins]
    return Estimate(
        point_id,
        len(twins),
        float(made.estimate[i]),
        low,
        high,
        float(np.mean(seen)) if seen else float("nan"),
        int(np.mean([t.rows.get("validation", 0) for t in twins])),
        sum(rows) if folds else max(rows),
        tuple(float(s) for s in made.per_draw[i]),
    )
