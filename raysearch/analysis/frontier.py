"""The frontier: the operating points that no other beats on every objective at once.

Here, and only here, the signs of objectives turn: tables hold natural units, arithmetic takes
larger to be better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from raysearch.analysis.pareto import Points, duplicates_of, nondominated
from raysearch.errors import InputError
from raysearch.objectives import Objective, get

PRETRAINING = "pretraining of public checkpoints not counted"


@dataclass(frozen=True, slots=True)
class Frontier:
    """What of a table is worth choosing from, and what was left out and why."""

    objectives: tuple[Objective, ...]
    members: pd.DataFrame
    """Rows of the table, ordered by the first cost, cheapest first."""
    dominated: pd.DataFrame
    """Rows that some member beats, in the same order; ties of members stand in `ties` alone."""
    left_out: int
    """DONE points without one of the objectives."""
    left_out_why: dict[str, int]
    """By objective: how many DONE points lack it (a point may lack two)."""
    ties: dict[str, tuple[str, ...]]
    """By member's point_id: the points with exactly the same objectives."""
    caption: str


def frontier(
    table: pd.DataFrame,
    objectives: Sequence[str] = ("score", "infer_flops"),
    *,
    labels: int | None = None,
) -> Frontier:
    """Find the frontier of a table for two or more objectives.

    Only points of DONE trials of the search count, and only those with every objective present:
    the others are counted in `left_out`. "score" is the validation score; test is reported beside
    it and never selects. Confirming draws are left aside, as their repeats would enter as extra
    tries. Of exact ties the one with fewer infer_flops, then fewer train_flops_full, then the
    smaller point id is the member. The result does not depend on the order of rows.

    Args:
        table: as `to_table` makes it; not changed.
        objectives: names out of raysearch.objectives.
        labels: only trials with this label budget; None for all.

    Returns:
        The frontier. Order of growth: that of `nondominated`, n log n up to three objectives.

    Raises:
        InputError: a name that does not exist, one named twice, or fewer than two.
    """
    chosen = tuple(get(name) for name in objectives)
    names = [o.name for o in chosen]
    if len(set(names)) < max(2, len(names)):
        raise InputError(
            f"objectives: '{', '.join(names)}' given; a frontier needs two or more different ones"
        )
    pool = candidates(table, labels)
    values = pool[names].to_numpy(dtype=np.float64, na_value=np.nan)
    present = np.isfinite(values)
    whole = present.all(axis=1)
    why = {n: int(c) for n, c in zip(names, (~present).sum(axis=0), strict=True) if c}
    if not whole.all():
        pool, values = pool[whole], values[whole]
    larger = values * np.array([1.0 if o.maximise else -1.0 for o in chosen])
    kept = nondominated(larger)
    order = _order(pool, larger, chosen)
    same = duplicates_of(larger, kept, order)
    ties: dict[str, tuple[str, ...]] = {}
    tied = np.zeros(len(pool), dtype=np.bool_)
    for first, others in same.items():
        ranked = _by_tie_rule(pool.iloc[[first, *others]])
        positions = [(first, *others)[k] for k in ranked]
        kept[first] = False
        kept[positions[0]] = True
        tied[positions[1:]] = True
        ids = [str(pool["point_id"].iloc[p]) for p in positions]
        ties[ids[0]] = tuple(sorted(ids[1:]))
    members = pool.take(order[kept[order]]).reset_index(drop=True)
    dominated = pool.take(order[~(kept | tied)[order]]).reset_index(drop=True)
    left_out = int((~whole).sum())
    return Frontier(
        chosen, members, dominated, left_out, why, ties, _caption(members, left_out, why)
    )


def frontiers(
    table: pd.DataFrame,
    objectives: Sequence[str] = ("score", "infer_flops"),
    by: str = "labels_train",
) -> dict[int | None, Frontier]:
    """Find one frontier per label budget, ascending, and one over all under None.

    Raises:
        InputError: `by` is not labels_train, the one axis that frontiers are drawn along.
    """
    if by != "labels_train":
        raise InputError(f"frontiers: by '{by}' given; may be 'labels_train'")
    budgets = sorted(int(n) for n in table["labels_train"].dropna().unique())
    out: dict[int | None, Frontier] = {n: frontier(table, objectives, labels=n) for n in budgets}
    out[None] = frontier(table, objectives)
    return out


def candidates(table: pd.DataFrame, labels: int | None = None) -> pd.DataFrame:
    """Return the rows a choice may be made from: points of DONE trials of the search."""
    search = searched(table)
    keep = search["status"].eq("DONE") & search["point_id"].notna()
    if labels is not None:
        keep &= search["labels_train"].eq(labels)
    mask = keep.to_numpy(dtype=np.bool_, na_value=False)
    return search if mask.all() else search[mask]


def searched(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the search: all but the confirming draws."""
    mask = table["phase"].ne("confirm").to_numpy(dtype=np.bool_, na_value=False)
    return table if mask.all() else table[mask]


def left_out_sentence(left_out: int, why: dict[str, int]) -> str:
    """Return how many points were left out and for lack of what; empty when none was.

    >>> left_out_sentence(7, {"latency_ms": 7})
    '7 points without latency_ms left out'
    >>> left_out_sentence(0, {})
    ''
    """
    if not left_out:
        return ""
    points = "1 point" if left_out == 1 else f"{left_out:,} points"
    if len(why) == 1:
        return f"{points} without {next(iter(why))} left out"
    each = ", ".join(f"{name} {n:,}" for name, n in why.items())
    return f"{points} without an objective left out ({each})"


def _by_tie_rule(rows: pd.DataFrame) -> list[int]:
    keys = ["infer_flops", "train_flops_full", "point_id"]
    ranked = rows[keys].reset_index(drop=True).sort_values(keys, na_position="last")
    return [int(k) for k in ranked.index]


def _order(
    pool: pd.DataFrame, larger: Points, chosen: tuple[Objective, ...]
) -> npt.NDArray[np.intp]:
    """Sort rows by the first cost (cheapest first), the other objectives (best first), then id."""
    first = next((j for j, o in enumerate(chosen) if not o.maximise), 0)
    rest = [j for j in range(len(chosen)) if j != first]
    keys = [-larger[:, j] for j in (first, *rest)]
    order = np.lexsort(keys[::-1])
    ranked = larger[order]
    if len(order) > 1 and (ranked[1:] == ranked[:-1]).all(axis=1).any():
        ids = pool["point_id"].rank(method="first").to_numpy(dtype=np.float64)
        order = np.lexsort([ids, *keys[::-1]])
    return order


def _caption(members: pd.DataFrame, left_out: int, why: dict[str, int]) -> str:
    parts = [f"Chosen on validation ({_span(members['validation_rows'])})"]
    shown = int(members["score_test"].notna().sum())
    if shown:
        which = "" if shown == len(members) else f", {shown} of {len(members)} points"
        parts.append(f"shown on test ({_span(members['test_rows'])}{which})")
    else:
        parts.append("not shown on test yet")
    text = ", ".join(parts) + ", one draw: not confirmed"
    if len(members) == 0:
        text = "No point has every objective"
    more = left_out_sentence(left_out, why)
    return f"{text}; {more + '; ' if more else ''}{PRETRAINING}."


def _span(rows: pd.Series) -> str:
    known = rows.dropna()
    if known.empty:
        return "no rows"
    low, high = int(known.min()), int(known.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
