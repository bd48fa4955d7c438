"""Data inside a page: columnar, compact, and inert whatever a user wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.point_lookup import labels_by_point
from raysearch.recommend.points import FINE, Baseline, Points

CONFIRMED = ("confirmed", "low", "high", "draws", "on_frontier")
"""Columns that confirming draws add."""
TABLE = (
    "method",
    "model",
    "labels_train",
    "score_validation",
    "score_test",
    *CONFIRMED,
    "train_flops_full",
    "infer_flops",
    "latency_ms",
    "train_seconds",
    "params",
    "status",
    "phase",
    "hyper",
    "point",
    "error",
    "id",
    "point_id",
)
"""Columns of the table of all points; the last where a trial has several."""


def number(value: Any) -> Any:
    """Return a number in the fewest digits that read back the same; absent as None."""
    value = float(value)
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def pack(values: Iterable[Any]) -> Any:
    """Return a column; where few values repeat, {"of": distinct values, "at": positions}.

    >>> pack([1, 2, 3]), pack(["a"] * 9)
    ([1, 2, 3], {'of': ['a'], 'at': [0, 0, 0, 0, 0, 0, 0, 0, 0]})
    """
    column = list(values)
    seen: dict[str, int] = {}
    of: list[Any] = []
    at = []
    for value in column:
        key = value if isinstance(value, str) else repr(value)
        if key not in seen:
            seen[key] = len(of)
            of.append(value)
        at.append(seen[key])
    return {"of": of, "at": at} if 3 * len(of) < len(column) else column


FIELDS = {"on": "p_on_frontier"}
"""Fields of `Points` that have another name on the page."""


def points_json(points: Points) -> dict[str, Any]:
    """Return `Points` as the page's script reads it."""

    def numbers(values: Iterable[Any]) -> Any:
        return pack(number(v) for v in values)

    columns = (
        *("budget", "labels", "validation", "test", "validation_rows", "test_rows"),
        *("low", "high", "draws", "place", "on", "seconds_text", "gpu"),
    )
    return {
        "task": points.task,
        "score": points.score,
        "kind": points.kind,
        "formula": None if points.formula is None else asdict(points.formula),
        "digits": points.digits,
        "methods": list(points.methods),
        "models": list(points.models),
        "method": numbers(points.method),
        "model": numbers(points.model),
        "knobs": pack(points.knobs),
        **{name: numbers(getattr(points, FIELDS.get(name, name))) for name in columns},
        "costs": {k: numbers(v) for k, v in points.costs.items()},
        "axes": [asdict(a) for a in points.axes],
        "teachers": list(points.teachers),
        "budgets": list(points.budgets),
        "fates": [[who, asdict(outcome)] for who, outcome in points.outcomes.items()],
        "majority": points.majority,
        "unscored": points.unscored,
        "apart": _pairwise_differences(points),
        "prices": dict(points.prices),
        "begun": points.begun,
        "lost": points.lost,
        "broken": points.broken,
        "folds": points.folds,
        "run": points.run,
        "ids": pack(points.ids),
        "rivals": [_baseline(r) for r in points.baselines],
        "trials": points.trials,
        "unbilled": points.unbilled,
        "search_flops": points.search_flops,
    }


def _pairwise_differences(points: Points) -> dict[str, Any]:
    """Return ends of the differences of confirmed points i minus j for j < i, in whole units.

    A trial with exits has dozens of confirmed points, so that pairs are most of a page.
    """
    unit = 1 if points.kind == "none" else 10**FINE
    i, j = np.tril_indices(len(points.pairwise_differences), -1)
    ends = points.pairwise_differences[i, j, 1:].ravel() * unit
    return {"unit": unit, "ends": [number(v) for v in (ends if unit == 1 else ends.round())]}


def _baseline(baseline: Baseline) -> dict[str, Any]:
    return {
        "name": baseline.name,
        **{k: number(getattr(baseline, k)) for k in ("test", "low", "high")},
        "costs": {k: number(v) for k, v in baseline.costs.items()},
        "apart": [[number(v) for v in row] for row in baseline.differences],
        "zero": baseline.zero,
        "gpu": baseline.gpu,
    }


def choices_json(run: Run, points: Points) -> dict[str, Any]:
    """Return what the copy buttons copy: each point's configuration, by key, and its knobs.

    Values are JSON texts, pasted unread: a script would write the knob 1.0 as 1, another id.
    """
    configs = {r.id: r.config.to_json() for r in run.records}
    shown = run.table.iloc[list(points.rows)]
    whole = [configs[str(i)] for i in shown["id"]]
    keys = sorted({k for c in whole for k in c})
    return {
        "config": {k: pack(json.dumps(c[k]) if k in c else None for c in whole) for k in keys},
        "step": pack(int(s) for s in shown["step"]),
        "knobs": pack(str(p) for p in shown["point"]),
    }


def table_json(run: Run, points: Points) -> dict[str, Any]:
    """Return the table of all points, column by column; columns without any value left out.

    Beside the run's own columns stand the confirmed score, its interval and draws, and how often
    the point is on the frontier of score and inference FLOPs when draws and rows are resampled.
    """
    table = run.table
    fresh = {
        points.ids[i]: (
            points.test[i],
            points.low[i],
            points.high[i],
            points.draws[i],
            points.p_on_frontier[i],
        )
        for i in range(len(points))
        if points.place[i] >= 0
    }
    nothing = (float("nan"),) * len(CONFIRMED)
    of = [fresh.get(str(p), nothing) for p in table["point_id"]]
    more = dict(zip(CONFIRMED, zip(*of, strict=True), strict=True)) if of else {}
    columns = {}
    for name in TABLE:
        if name in more:
            values = [number(v) for v in more[name]]
            if any(v is not None for v in values):
                columns[name] = pack(values)
            continue
        if name in CONFIRMED:
            continue
        column = table[name]
        if not bool(column.notna().any()):
            continue
        if name == "point_id" and not _several(table):
            continue
        if name == "point":
            column = table["point_id"].map(labels_by_point(run))
            if not bool(column.notna().any()):
                continue
        if pd.api.types.is_numeric_dtype(column.dtype):
            numbers = column.to_numpy(dtype="float64", na_value=float("nan"))
            columns[name] = pack(number(v) for v in numbers)
        else:
            columns[name] = pack(None if pd.isna(v) else str(v) for v in column)
    return {"rows": len(table), "columns": columns}


def _several(table: pd.DataFrame) -> bool:
    """Return whether a trial has more than one point, so that its id names none of them."""
    return bool(table["id"][table["point_id"].notna()].duplicated().any())


def figure_json(figure: go.Figure) -> dict[str, Any]:
    """Return a figure for Plotly.newPlot, without the default template."""
    value: dict[str, Any] = json.loads(figure.to_json())
    return {"data": value["data"], "layout": value["layout"]}
