"""The verdict a terminal prints after a search, and the same facts as plain JSON.

A search runs each configuration once, so nothing here is confirmed, and the sentences say so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from raysearch.analysis.frontier import (
    PRETRAINING,
    candidates,
    frontier,
    left_out_sentence,
    searched,
)
from raysearch.analysis.spend import inherited_once, search_flops, unbilled
from raysearch.analysis.winners import winners
from raysearch.objectives import OBJECTIVES

Z95 = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""

COSTS = ("labels", "train_flops_full", "infer_flops")
"""What "cheaper" means in the verdict: none of these higher, one lower."""


def verdict(table: pd.DataFrame, study: Mapping[str, Any]) -> list[str]:
    """Say what a search found, in a few sentences for a terminal.

    The best point is the best on validation among the winners (ties: fewer infer_flops, then
    fewer train_flops_full); its test score stands beside it with the number of rows. A cheaper
    point is called a tie when the interval of the difference on test holds 0.

    Args:
        table: as `to_table` makes it; not changed.
        study: what study.yaml says; `reference: {score: ...}` is the majority class's score.

    Returns:
        One sentence or two a line; no line is empty.
    """
    best = _best(table)
    if best is None:
        lines = ["No trial ended with a validation score: nothing to choose from."]
    else:
        fresh = _draws(table)
        again = f"{fresh} confirming draws are not in these figures" if fresh else "one draw"
        lines = [f"Not confirmed yet: each configuration ran once ({again})."]
        lines += [_best_sentence(best, study), _tie_sentence(table, best)]
    lines.append(_left_out(table))
    lines.append(_cost(table))
    return [line for line in lines if line]


def summary(
    table: pd.DataFrame, objectives: Sequence[str] = ("score", "infer_flops")
) -> dict[str, Any]:
    """Give the frontier and what it cost as plain JSON for `--json`.

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
    trials = table.drop_duplicates("id")
    counts = trials["status"].value_counts()
    outside = inherited_once(table).values()
    seconds = float(searched(trials)["seconds"].sum()) + sum(float(g["seconds"]) for g in outside)
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


def interval(score: float, rows: int, name: str = "accuracy") -> tuple[float, float]:
    """Return a 95 % interval of one score over the rows of one draw.

    Wilson's for shares (accuracy; for F1 scores an approximation), Fisher's z for correlations.
    It holds the noise of the rows alone, not that of other draws of data or initialisation.

    Source: Wilson 1927, JASA 22; Fisher 1921, Metron 1.

    >>> [round(x, 3) for x in interval(0.8, 100)]
    [0.711, 0.867]
    >>> [round(x, 3) for x in interval(0.5, 103, "pearson")]
    [0.339, 0.632]
    """
    if rows < 1:
        raise ValueError(f"interval: at least 1 row needed, {rows} given")
    if _is_correlation(name) or score < 0:
        if rows <= 3 or abs(score) >= 1:
            return (-1.0, 1.0) if rows <= 3 else (score, score)
        half = Z95 / math.sqrt(rows - 3)
        return math.tanh(math.atanh(score) - half), math.tanh(math.atanh(score) + half)
    p = min(score, 1.0)
    scale = 1 + Z95**2 / rows
    middle = (p + Z95**2 / (2 * rows)) / scale
    half = Z95 / scale * math.sqrt(p * (1 - p) / rows + Z95**2 / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(
    a: float, rows_a: int, b: float, rows_b: int, name: str = "accuracy"
) -> tuple[float, float]:
    """Return a 95 % interval of a - b, taken as independent (wider than a paired one).

    Newcombe's hybrid: each score's own `interval` joined, so that it works near 0 and 1.

    Source: Newcombe 1998, Statistics in Medicine 17, method 10.

    >>> [round(x, 3) for x in difference(0.8, 100, 0.7, 100)]
    [-0.02, 0.217]
    """
    low_a, high_a = interval(a, rows_a, name)
    low_b, high_b = interval(b, rows_b, name)
    d = a - b
    return d - math.hypot(a - low_a, high_b - b), d + math.hypot(high_a - a, b - low_b)


def _is_correlation(name: str) -> bool:
    return any(word in name for word in ("pearson", "spearman", "matthews", "corr"))


def _best(table: pd.DataFrame) -> dict[str, Any] | None:
    won = winners(table)
    if won.empty:
        return None
    keys = ["score_validation", "infer_flops", "train_flops_full", "id"]
    row = won.sort_values(keys, ascending=[False, True, True, True], na_position="last").iloc[0]
    return {str(k): v for k, v in row.items()}


def _draws(table: pd.DataFrame) -> int:
    confirm = table[table["phase"].eq("confirm").to_numpy(dtype=np.bool_, na_value=False)]
    return int(confirm["id"].nunique())


def _named(row: Mapping[str, Any]) -> str:
    text = f"{row['method']}, {row['model']}, {int(row['labels_train']):,} labels"
    knobs = json.loads(row["point"])
    return text + "".join(f", {k} {v}" for k, v in sorted(knobs.items()))


def _tested(row: Mapping[str, Any]) -> bool:
    return bool(pd.notna(row["score_test"]) and pd.notna(row["test_rows"]) and row["test_rows"] > 0)


def _best_sentence(best: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    name = str(best["score_name"]) or "score"
    rows = "" if pd.isna(best["validation_rows"]) else f" ({int(best['validation_rows']):,} rows)"
    text = (
        f"Best on validation: {_named(best)}: {name} {best['score_validation']:.3f} "
        f"on validation{rows}, which chose it"
    )
    if not _tested(best):
        return f"{text}; not shown on test yet."
    n = int(best["test_rows"])
    low, high = interval(float(best["score_test"]), n, name)
    text += f"; {best['score_test']:.3f} [{low:.3f}, {high:.3f}] on test ({n:,} rows)."
    majority = (study.get("reference") or {}).get("score")
    if isinstance(majority, int | float) and low <= majority:
        text += f" Not distinguishable from the majority class ({majority:.3f})."
    return text


def _tie_sentence(table: pd.DataFrame, best: Mapping[str, Any]) -> str:
    if not _tested(best):
        return "No cheaper tie can be named before test is scored."
    name, n = str(best["score_name"]), int(best["test_rows"])
    ties: list[tuple[float, float, str, float, tuple[float, float], Mapping[str, Any]]] = []
    pool = candidates(table)
    for raw in pool[pool["score_test"].notna()].to_dict("records"):
        row = {str(k): v for k, v in raw.items()}
        if not _tested(row) or not _cheaper(row, best):
            continue
        gap = difference(
            float(best["score_test"]), n, float(row["score_test"]), int(row["test_rows"]), name
        )
        if gap[0] <= 0:
            apart = float(best["score_test"]) - float(row["score_test"])
            costs = (float(row["infer_flops"]), float(row["train_flops_full"]))
            ties.append((*costs, str(row["point_id"]), apart, gap, row))
    how = f"95 % interval over {n:,} test rows of one draw, unpaired"
    if not ties:
        return f"No cheaper point that was scored on test is within the noise ({how})."
    _, _, _, apart, (low, high), tie = min(ties, key=lambda t: t[:3])
    side = f"{abs(apart):.3f} {'lower' if apart >= 0 else 'higher'} on test"
    if apart < 0:
        low, high = -high, -low
    ratios = [
        f"{what} {_times(float(best[cost]), float(tie[cost]))}"
        for cost, what in (("train_flops_full", "training"), ("infer_flops", "each text"))
    ]
    return (
        f"Cheaper and not distinguishable: {_named(tie)}: {side} [{low:.3f}, {high:.3f}]; "
        f"{', '.join(ratios)} ({how})."
    )


def _cheaper(row: Mapping[str, Any], best: Mapping[str, Any]) -> bool:
    pairs = [(row[c], best[c]) for c in COSTS]
    if any(pd.isna(a) or pd.isna(b) for a, b in pairs):
        return False
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _times(dear: float, cheap: float) -> str:
    if dear == cheap:
        return "costs the same"
    if cheap <= 0:
        return "costs no FLOPs"
    ratio = dear / cheap
    return f"{ratio:,.0f}x cheaper" if ratio >= 9.5 else f"{ratio:.1f}x cheaper"


def _left_out(table: pd.DataFrame) -> str:
    trials = table.drop_duplicates("id")
    counts = trials["status"].value_counts()
    lost = {str(s): int(n) for s, n in sorted(counts.items()) if s != "DONE"}
    parts = []
    if lost:
        each = ", ".join(f"{s} {n:,}" for s, n in lost.items())
        parts.append(
            f"{sum(lost.values()):,} of {len(trials):,} trials did not end as DONE ({each})"
        )
    front = frontier(table)
    parts.append(left_out_sentence(front.left_out, front.left_out_why))
    return "; ".join(p for p in parts if p) + ("." if any(parts) else "")


def _cost(table: pd.DataFrame) -> str:
    by_method = search_flops(table)
    total = sum(by_method.values())
    shares = ""
    if len(by_method) > 1 and total > 0:
        ranked = sorted(by_method.items(), key=lambda item: (-item[1], item[0]))
        shares = " (" + ", ".join(f"{m} {100 * f / total:.0f} %" for m, f in ranked) + ")"
    killed = unbilled(table)
    lost = f"; {killed:,} killed trials left no bill" if killed else ""
    return (
        f"Search cost {total:.2g} FLOPs{shares} and {labels_bought(table):,} labels{lost}; "
        f"{PRETRAINING}."
    )


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
