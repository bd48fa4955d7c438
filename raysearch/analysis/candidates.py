"""Which trials of a search are worth confirming, the most telling first."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from raysearch.analysis.winners import selected, winners

FIRST = ("score", "infer_flops")
"""The frontier that the first page shows."""


def to_confirm(table: pd.DataFrame, objectives: Sequence[str] = FIRST) -> tuple[str, ...]:
    """List the ids of the trials to confirm: frontier members, each procedure's best per budget.

    In this order, each by validation score: the best of each procedure; the frontier of score
    against inference FLOPs; each procedure's best of each label budget; the frontier over all
    objectives. A budget that ends early so confirms what a choice hangs on. Test scores are not
    looked at.

    Args:
        table: as `to_table` makes it; not changed.
        objectives: the study's.
    """
    won = _ranked(winners(table))
    order = [
        won.drop_duplicates("procedure"),
        _ranked(selected(table, FIRST)),
        won.drop_duplicates(["procedure", "labels_train"]),
    ]
    if len(objectives) > 1:
        order.append(_ranked(selected(table, objectives)))
    return tuple(dict.fromkeys(str(i) for part in order for i in part["id"]))


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """By validation score, best first; ties: cheaper, then the id."""
    keys = ["score_validation", "infer_flops", "train_flops_full", "point_id"]
    return rows.sort_values(keys, ascending=[False, True, True, True], na_position="last")
