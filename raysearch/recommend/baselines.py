"""What stands beside the choice and is never chosen: systems from outside, zero-shot models.

`panels/assets/facts.js` mirrors its facts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from raysearch.analysis import Run
from raysearch.analysis.confirmation import Confirmation
from raysearch.analysis.external import paired_comparisons, systems
from raysearch.objectives import OBJECTIVES
from raysearch.recommend.ownership_cost import baseline_cost, prices_of
from raysearch.recommend.point_text import gap_facts, page_facts
from raysearch.recommend.points import MS, Baseline, Floats, Points
from raysearch.recommend.setting import Setting
from raysearch.recommend.words import Fact
from raysearch.record import Outside

UNTRAINED = ("train_seconds", "dollars")
"""Costs of a zero-shot model that are 0: what the clock saw of its training was an empty step."""


def used_none(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which rows of a run's table used no labels (n,)."""
    return table["labels"].eq(0).to_numpy(dtype=np.bool_, na_value=False)


def baselines(run: Run, made: Confirmation) -> tuple[Baseline, ...]:
    """Read them off a run, each with how it differs from the confirmed points.

    Args:
        run: as `raysearch.analysis.read_run` reads it; not changed.
        made: the confirming draws' estimates.
    """
    place = {e.point_id: k for k, e in enumerate(made.estimates)}
    ends: dict[tuple[str, str], Floats] = {}
    for compared in paired_comparisons(run, made):
        key = compared.outside.key, compared.outside.point
        empty = np.full((len(place), 2), np.nan)
        ends.setdefault(key, empty)[place[compared.point_id]] = compared.low, compared.high
    rows = run.table[used_none(run.table)].drop_duplicates("point_id").set_index("point_id")
    out = []
    for system in systems(run):
        low, high = system.interval or (np.nan, np.nan)
        own_rows = rows[rows.index == system.point]  # none of a system from outside
        costs = _measured(own_rows.iloc[0]) if len(own_rows) else _declared(system)
        out.append(
            Baseline(
                system.name,
                system.value,
                low,
                high,
                {k: float(v) for k, v in costs.items() if v is not None and np.isfinite(v)},
                ends.get((system.key, system.point), np.full((len(place), 2), np.nan)),
                bool(system.point),
                bool(own_rows["device"].fillna("").str.startswith("cuda").any()),
            )
        )
    return tuple(out)


def _declared(system: Outside) -> dict[str, float | None]:
    """Return the costs of a system from outside, as its user declared them."""
    thousand = system.dollars_per_1k
    each = None if thousand is None else thousand / 1000
    return {"labels": system.labels, MS: system.ms, "dollars_text": each}


def _measured(row: pd.Series) -> dict[str, float | None]:
    """Return the costs of a zero-shot point: every column of its own, and the time of one text."""
    out: dict[str, float | None] = {n: row[n] for n, o in OBJECTIVES.items() if not o.maximise}
    out |= dict.fromkeys(UNTRAINED, 0.0)
    if np.isfinite(row["latency_ms"]):
        out[MS] = row["latency_ms"] + np.nan_to_num(row["tokenise_ms"])
    if row["throughput"] > 0:
        out["seconds_text"] = 1 / row["throughput"] + row["tokenise_ms"] / 1000
    return out


def baseline_facts(points: Points, baseline: Baseline, choice: int | None) -> dict[str, Fact]:
    """Return one of them against the choice, paired over rows where the choice is confirmed."""
    bare = not np.isfinite(baseline.low)
    thousand = 1000 * baseline.costs["dollars_text"] if "dollars_text" in baseline.costs else None
    out: dict[str, Fact] = page_facts(points) | {
        "system": baseline.name,
        "zero": baseline.zero,
        "test": baseline.test,
        "low": None if bare else baseline.low,
        "high": None if bare else baseline.high,
        "ms": baseline.costs.get(MS),
        "infer_flops": baseline.costs.get("infer_flops"),
        "thousand": thousand,
    }
    k = -1 if choice is None else points.place[choice]
    if choice is None or k < 0 or not np.isfinite(baseline.differences[k, 0]):
        return out
    low, high = (float(v) for v in baseline.differences[k])
    gap = gap_facts(points, baseline.test - points.test[choice], (low, high))
    better = low > 0
    return out | gap | {"compared": True, "better": better, "worse": not better and high < 0}


def baselines_left(points: Points, setting: Setting, zero: bool) -> int | None:
    """Return how many of a sort are not drawn for lack of the cost; None where there are none."""
    prices = prices_of(points, setting)
    if not setting.cost:  # nothing is drawn at all
        return None
    costs = [baseline_cost(r, setting, prices) for r in points.baselines if r.zero == zero]
    return sum(not (np.isfinite(c) and c > 0) for c in costs) or None
