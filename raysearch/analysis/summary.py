"""The frontier and what it cost as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from raysearch.analysis.frontier import frontier, searched
from raysearch.analysis.spend import inherited_once, search_flops
from raysearch.objectives import OBJECTIVES


def summary(
    table: pd.DataFrame, objectives: Sequence[str] = ("score", "infer_flops")
) -> dict[str, Any]:
    """Return the frontier and what it cost as plain JSON for `--json`.

    A cost that was not measured is left out of `costs`, and a score that is absent is None.
    `spent.flops` are the search's training FLOPs (`search_flops`) and `spent.seconds` the
    wall-clock time of its trials added up, both with bills from outside the study once.
    `spent.labels` are the distinct labels bought: budgets of one data seed are nested prefixes
    of one order, so a seed has bought its largest training plus its largest validation budget
    (teachers of that seed included); seeds add up, an upper bound where draws overlap.
    INFEASIBLE trials never ran and bought none; confirming draws are no search.

    Args:
        table: as `to_table` makes it; not changed.
        objectives: what the frontier is over; every objective known is listed in `costs`.
    """
    members = frontier(table, objectives).members
    trials = searched(table).drop_duplicates("id")
    counts = trials["status"].value_counts()
    outside = inherited_once(table).values()
    seconds = float(trials["seconds"].sum()) + sum(float(g["seconds"]) for g in outside)
    return {
        "frontier": [_member(row) for row in members.to_dict("records")],
        "spent": {
            "flops": float(sum(search_flops(table).values())),
            "seconds": seconds,
            "labels": labels_bought(table),
        },
        "trials": {str(status): int(n) for status, n in sorted(counts.items())},
    }


def labels_bought(table: pd.DataFrame) -> int:
    """Count the distinct labels the search's trials have bought; see `summary` for the rule."""
    train: dict[int, int] = {}
    validation: dict[int, int] = {}
    needed = ["data_seed", "labels_train", "labels_validation", "inherited"]
    search = searched(table)
    ran = search[search["status"].ne("INFEASIBLE").to_numpy(dtype=np.bool_, na_value=False)]
    for row in ran[needed].drop_duplicates().to_dict("records"):
        own = (row["data_seed"], row["labels_train"], row["labels_validation"])
        taken = json.loads(row["inherited"]).values()
        given = [(g["seed"], g["train"], g["validation"]) for g in taken if "seed" in g]
        for seed, n, v in (own, *given):
            train[int(seed)] = max(train.get(int(seed), 0), int(n))
            validation[int(seed)] = max(validation.get(int(seed), 0), int(v))
    return sum(train.values()) + sum(validation.values())


def _member(row: Mapping[Any, Any]) -> dict[str, Any]:
    def number(value: Any) -> float | None:
        return None if pd.isna(value) else float(value)

    costs = {o: number(row[o]) for o in OBJECTIVES if o != "score"}
    return {
        "id": row["id"],
        "point_id": row["point_id"],
        "method": row["method"],
        "model": row["model"],
        "labels": int(row["labels_train"]),
        "hyper": json.loads(row["hyper"]),
        "point": json.loads(row["point"]),
        "scores": {
            "validation": number(row["score_validation"]),
            "test": number(row["score_test"]),
        },
        "costs": {name: value for name, value in costs.items() if value is not None},
    }
