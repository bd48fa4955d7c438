"""Who is scored on test: the best of each cell and the frontier, both chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from raysearch.analysis.frontier import candidates, frontier

CELL = ("procedure", "model", "labels_train")
SEARCHED = ("score", "train_flops_full", "infer_flops")
"""The objectives a study searches by default."""


def winners(table: pd.DataFrame) -> pd.DataFrame:
    """Pick the best point on validation of each (procedure, model, labels_train) cell.

    Points without a validation score (zero-shot) are never picked. Ties go to fewer infer_flops,
    then fewer train_flops_full (an absent cost last), then the smaller trial id, then point id.

    Args:
        table: as `to_table` makes it; not changed.

    Returns:
        One row of the table per cell, ordered by the cell. Order of growth: n log n.
    """
    pool = candidates(table)
    pool = pool[pool["score_validation"].notna()]
    ranked = pool.sort_values(
        ["score_validation", "infer_flops", "train_flops_full", "id", "point_id"],
        ascending=[False, True, True, True, True],
        na_position="last",
        kind="stable",
    )
    best = ranked.drop_duplicates(list(CELL))
    return best.sort_values(list(CELL), kind="stable").reset_index(drop=True)


def selected(
    table: pd.DataFrame, objectives: Sequence[str] = SEARCHED, *, labels: int | None = None
) -> pd.DataFrame:
    """Return the frontier's members on validation; `score_test` is NaN where not scored.

    Args:
        table: as `to_table` makes it; not changed.
        objectives: names out of raysearch.objectives.
        labels: only trials with this label budget; None for all.
    """
    return frontier(table, objectives, labels=labels).members
