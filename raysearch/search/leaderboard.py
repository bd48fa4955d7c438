"""The current standing of a study: objective values, leaders, and what dominates."""

from __future__ import annotations

import math

from raysearch.config.study import Study
from raysearch.objectives import View, get
from raysearch.record import OperatingPoint, TrialRecord


class Leaderboard:
    """The best trial of each (method, model, labels) so far, and the frontier so far."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._signs = [-1.0 if get(name).maximise else 1.0 for name in study.objectives]
        self._best: dict[tuple[str, str, int], tuple[float, list[str]]] = {}
        """By cell: the best score and its trial; ties are broken when the table is made."""
        self._front: list[tuple[list[float], str]] = []

    def learn(self, record: TrialRecord) -> None:
        """Fold one record in; only DONE ones count."""
        if record.status != "DONE":
            return
        score = best_score(record)
        if score is not None:
            cell = (record.config.method_chain, record.config.rung, record.config.data.train)
            best, ids = self._best.get(cell, (-math.inf, []))
            if score >= best:
                self._best[cell] = (score, [*ids, record.id] if score == best else [record.id])
        observed = values(record, self._study)
        if observed is None:
            return
        new = [s * v for s, v in zip(self._signs, observed, strict=True)]
        if not any(_dominates(old, new) for old, _ in self._front):
            left = [(old, id_) for old, id_ in self._front if not _dominates(new, old)]
            self._front = [*left, (new, record.id)]

    def candidates(self) -> set[str]:
        """Return the ids whose weights are worth keeping: all cells' leaders and the frontier."""
        leaders = {id_ for _, ids in self._best.values() for id_ in ids}
        return leaders | {id_ for _, id_ in self._front}

    def by_method(self) -> dict[str, float]:
        """Return the best validation score of each procedure."""
        best: dict[str, float] = {}
        for (method, _, _), (score, _) in self._best.items():
            best[method] = max(score, best.get(method, -math.inf))
        return best

    @property
    def frontier(self) -> int:
        """Return how many trials nothing dominates, over the study's objectives on validation."""
        return len(self._front)


def values(record: TrialRecord, study: Study) -> list[float] | None:
    """Return a record's best point as objective values for Optuna; None if one was not measured.

    Of several points the one that is best in the study's first objective represents the trial
    (ties: the next objective). Costs enter as log(1 + cost): they span many orders of magnitude,
    and the sampler weighs hypervolumes; no order changes.
    """
    chosen = [get(name) for name in study.objectives]
    prices = study.prices.model_dump(exclude_none=True)

    def observed(point: OperatingPoint) -> list[float] | None:
        view = View(record, point, study.shared_by, prices)
        out = []
        for objective in chosen:
            value = objective.of(view)
            if value is None or not math.isfinite(value):
                return None
            out.append(value if objective.maximise else math.log1p(max(value, 0.0)))
        return out

    signs = [-1.0 if o.maximise else 1.0 for o in chosen]
    whole = [t for t in map(observed, record.points) if t is not None]
    return min(whole, key=lambda t: [s * v for s, v in zip(signs, t, strict=True)], default=None)


def best_score(record: TrialRecord) -> float | None:
    """Return the record's best validation score, larger better; None where nothing was scored.

    A stage has no points: its facts carry the score of its product as `selection`.
    """
    scores = [
        p.scores["validation"][record.score]
        for p in record.points
        if record.score in p.scores.get("validation", {})
    ]
    if not record.points and "selection" in record.facts:
        return float(record.facts["selection"])
    return max(scores, default=None)


def _dominates(a: list[float], b: list[float]) -> bool:
    """Return True if `a` is nowhere larger (worse) than `b`, and somewhere smaller."""
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
