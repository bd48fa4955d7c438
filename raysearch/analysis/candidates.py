"""Which trials of a search are worth confirming, the most telling first."""

from __future__ import annotations

from collections.abc import Sequence, Set

import pandas as pd

from raysearch.analysis.winners import selected, winners

FIRST = ("score", "infer_flops")
"""The frontier that the first page shows."""


def to_confirm(table: pd.DataFrame, objectives: Sequence[str] = FIRST) -> tuple[str, ...]:
    """Return the ids of the trials to confirm: frontier members, each procedure's best per budget.

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


def to_measure(table: pd.DataFrame, confirmed: Set[str], most: int = 8) -> set[str]:
    """Choose the points to time: all that are confirmed, of long curves some.

    A trial of more than `most` confirmed points has `most` of them, evenly along its inference
    FLOPs with both ends, and those that are the best of their cell or on the frontier.

    Args:
        table: as `to_table` makes it; not changed.
        confirmed: ids of points of the search.
        most: of one trial, beside those that something hangs on.
    """
    rows = table[table["point_id"].isin(list(confirmed))].sort_values(["infer_flops", "point_id"])
    telling = {*winners(table)["point_id"], *selected(table, FIRST)["point_id"]}
    out = {p for p in confirmed if p in telling}
    for _, points in rows.groupby("id"):
        ids = [str(i) for i in points["point_id"]]
        step = max(1.0, (len(ids) - 1) / max(1, most - 1))
        out |= {ids[min(round(k * step), len(ids) - 1)] for k in range(min(most, len(ids)))}
    return out


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by validation score, best first; ties: cheaper, then the id."""
    keys = ["score_validation", "infer_flops", "train_flops_full", "point_id"]
    return rows.sort_values(keys, ascending=[False, True, True, True], na_position="last")
