"""Points that use no labels beside the confirmed ones: nothing of them is drawn, rows still vary.

A zero-shot model answers alike whatever the draw, so that it runs once. Resamples follow from the
draws and the rows alone: its own line up with those of the confirmed points, and what both share
cancels in their difference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raysearch import scores
from raysearch.analysis.bootstrap import Judged, Replicates, features, replicates
from raysearch.analysis.confirmation import (
    Confirmation,
    Estimate,
    fresh_draws,
    judged_draw,
    stored_logits,
)
from raysearch.analysis.run import Run
from raysearch.analysis.without_labels import unlabelled_points
from raysearch.record import OperatingPoint


def with_label_free(run: Run, made: Confirmation) -> Confirmation:
    """Add the points without labels to the estimates, one draw each, paired with the others.

    Those that are scored on test and whose logits are kept, on the rows that judge the others. An
    estimate's `validation` is NaN. Where nothing is confirmed, or draws are folds with rows of
    their own, there is nothing to pair them with, and `made` comes back as it is.

    Args:
        run: a run; not changed.
        made: its confirmation; not changed.
    """
    free = [
        (r, p) for r, p in unlabelled_points(run.records) if r.score in p.scores.get("test", {})
    ]
    if not made.estimates or made.folds or not free:
        return made
    score = free[0][0].score
    record, point, fresh = fresh_draws(run)[made.estimates[0].point_id]
    like = judged_draw(run.folder, fresh[made.drawn[0]], point, made.drawn[0], score)
    label_free: list[tuple[OperatingPoint, list[Judged]]] = []
    for _, point in free:
        try:
            logits, ids, labels = stored_logits(run.folder, point.point_id, "test")
        except (OSError, ValueError, EOFError):
            continue
        order = np.argsort(ids, kind="stable")
        if np.array_equal(ids[order], like.ids):
            sums = features(logits[order], labels[order], score)
            label_free.append((point, [Judged(d, like.ids, sums) for d in made.drawn]))
    if not label_free:
        return made
    own = replicates([draws for _, draws in label_free], score, resamples=len(made.resampled))
    both = Replicates(
        np.concatenate([[e.score for e in made.estimates], own.estimate]),
        np.vstack([[e.per_draw for e in made.estimates], own.per_draw]),
        np.hstack([made.resampled, own.resampled]),
        scores.bounds(score),
    )
    first, m = len(made.estimates), len(both.estimate)
    more = []
    difference = np.zeros((m, m, 3))
    difference[:first, :first] = made.difference
    for i, (point, _) in enumerate(label_free, start=first):
        low, high = both.interval(i)
        value, rows = float(both.estimate[i]), len(like.ids)
        per_draw = tuple(float(s) for s in both.per_draw[i])
        more.append(Estimate(point.point_id, 1, value, low, high, np.nan, 0, rows, per_draw))
        for j in range(i):
            low, high = both.difference(i, j)
            value = float(both.estimate[i] - both.estimate[j])
            difference[i, j] = value, low, high
            difference[j, i] = -value, -high, -low
    return replace(
        made,
        estimates=(*made.estimates, *more),
        difference=difference,
        resampled=both.resampled,
    )
