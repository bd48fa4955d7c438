"""The points a page may show, column by column, and what has to be said about the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raysearch.analysis import Run, search_flops, unbilled
from raysearch.errors import unknown
from raysearch.objectives import OBJECTIVES

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

TRAIN = "train"
"""The cost axis whose column depends on who pays for a teacher."""
TEACHERS = {"full": "train_flops_full", "shared": "train_flops_shared", "free": "train_flops"}
CORRELATIONS = ("pearson", "spearman", "matthews", "corr")
"""Parts of such scores' names, as raysearch.analysis.verdict has them."""
PREFERRED = ("latency_ms", "infer_flops", TRAIN, "train_seconds", "dollars", "params", "bytes")
NOUNS = {
    "latency_ms": "time per text",
    "infer_flops": "inference compute",
    TRAIN: "training compute",
    "train_seconds": "training time",
    "bytes": "stored size",
    "params": "parameters",
    "labels": "labels used",
    "peak_memory": "peak memory",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """One cost that a page can lay along its axis."""

    name: str
    noun: str
    unit: str


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a method's or a model's trials."""

    trials: int = 0
    points: int = 0
    """Operating points of DONE trials."""
    failed: int = 0
    """FAILED and INFEASIBLE trials."""
    error: str = ""
    """The first of their reasons."""
    left_out: str = ""
    """Why the study did not run it at all."""


@dataclass(frozen=True, slots=True)
class Points:
    """DONE points of the search that are scored on validation and test, in the order of ties."""

    task: str
    score: str
    kind: str
    """binomial, correlation or none: which interval the score can have."""
    digits: int
    methods: tuple[str, ...]
    models: tuple[str, ...]
    method: Codes
    model: Codes
    budget: Floats
    """Requested label budget."""
    labels: Floats
    """Distinct labels used: training and selection, own and inherited."""
    knobs: tuple[str, ...]
    """Each point's own knobs in words, empty for a plain model."""
    validation: Floats
    test: Floats
    validation_rows: Floats
    test_rows: Floats
    costs: Mapping[str, Floats]
    """By column; NaN where not measured."""
    axes: tuple[Cost, ...]
    """The costs worth an axis, the default one first."""
    teachers: tuple[str, ...]
    """Ways to account for an inherited bill; empty where nothing was inherited."""
    budgets: tuple[int, ...]
    """Steps of the control "labels I have"."""
    fates: Mapping[str, Fate]
    """By method, then by model where every trial of that model failed or none was run."""
    majority: float | None
    unscored: int
    """DONE points without a validation or test score."""
    confirming: int
    """Points of confirming draws, which this page does not read yet."""
    trials: int
    unbilled: int
    """Killed trials, of which nobody knows what they spent."""
    search_flops: float
    rows: tuple[int, ...]
    """Where each point stands in the run's table."""

    def __len__(self) -> int:
        """How many points there are."""
        return len(self.test)

    def cost(self, axis: str, teacher: str = "full") -> Floats:
        """The column of that axis; InputError with the nearest name when there is none."""
        column = TEACHERS[teacher] if axis == TRAIN else axis
        if column not in self.costs:
            raise unknown("cost axis", "cost", axis, [a.name for a in self.axes])
        return self.costs[column]


def collect(run: Run, *, spend: bool = True) -> Points:
    """Take from a run what its first page shows; `spend` False leaves `search_flops` at 0."""
    table = run.table
    confirm = table["phase"].eq("confirm").to_numpy(dtype=np.bool_, na_value=False)
    done = table["status"].eq("DONE").to_numpy(dtype=np.bool_, na_value=False)
    done &= table["point_id"].notna().to_numpy() & ~confirm
    scored = done & (table["score_validation"].notna() & table["score_test"].notna()).to_numpy()
    order = ["infer_flops", "train_flops_full", "point_id"]
    shown = table[scored].sort_values(order, na_position="last", kind="stable")
    names = [n for n, o in OBJECTIVES.items() if not o.maximise]
    costs = {n: _floats(shown[n]) for n in names if bool(shown[n].gt(0).any())}
    for column in TEACHERS.values():
        costs.setdefault(column, _floats(shown[column]))
    methods = _names(table["method"])
    models = _names(table["model"])
    test, rows = _floats(shown["score_test"]), _floats(shown["test_rows"])
    score = _first(table["score_name"]) or str(run.study.get("score") or "score")
    inherited = bool((costs["train_flops_full"] != costs["train_flops"]).any())
    kind = _kind(score, test, rows)
    study = run.study
    majority = (study.get("baselines") or {}).get(
        "majority", (study.get("reference") or {}).get("score")
    )
    return Points(
        task=_first(table["task"]) or str(run.study.get("task") or ""),
        score=score,
        kind=kind,
        digits=3 if len(rows) and float(np.nanmin(rows)) >= 2000 else 2,
        methods=methods,
        models=models,
        method=_codes(shown["method"], methods),
        model=_codes(shown["model"], models),
        budget=_floats(shown["labels_train"]),
        labels=_floats(shown["labels"]),
        knobs=tuple(_knobs(str(p)) for p in shown["point"]),
        validation=_floats(shown["score_validation"]),
        test=test,
        validation_rows=_floats(shown["validation_rows"]),
        test_rows=rows,
        costs=costs,
        axes=_axes(costs, len(shown)),
        teachers=tuple(TEACHERS) if inherited else (),
        budgets=_steps(shown["labels"]),
        fates=_fates(run, table[~confirm], done[~confirm]),
        majority=float(majority)
        if kind == "binomial" and isinstance(majority, int | float)
        else None,
        unscored=int((done & ~scored).sum()),
        confirming=int(confirm.sum()),
        trials=int(table["id"][~confirm].nunique()),
        unbilled=unbilled(table),
        search_flops=float(sum(search_flops(table).values())) if spend else 0.0,
        rows=tuple(int(i) for i in np.flatnonzero(scored)[_rank(table[scored], order)]),
    )


def _rank(frame: pd.DataFrame, order: list[str]) -> list[int]:
    keys = frame[order].reset_index(drop=True)
    ranked = keys.sort_values(order, na_position="last", kind="stable")
    return [int(i) for i in ranked.index]


def _floats(column: pd.Series) -> Floats:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _names(column: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(str(v) for v in column.dropna().unique()))


def _first(column: pd.Series) -> str:
    known = column.dropna()
    return str(known.iloc[0]) if len(known) else ""


def _codes(column: pd.Series, names: Sequence[str]) -> Codes:
    at = {name: i for i, name in enumerate(names)}
    return np.array([at[str(v)] for v in column], dtype=np.int64)


def _knobs(point: str) -> str:
    """Knobs in words.

    >>> _knobs('{"threshold":0.8}')
    ', threshold 0.8'
    """
    return "".join(f", {k} {v}" for k, v in sorted(json.loads(point).items()))


def _kind(score: str, test: Floats, rows: Floats) -> str:
    """Which interval the score can have: an unknown score outside [0, 1] has none."""
    if not len(test) or not bool(np.isfinite(rows).all()):
        return "none"
    if any(word in score for word in CORRELATIONS) or float(test.min()) < 0:
        return "correlation" if float(np.abs(test).max()) <= 1 else "none"
    return "binomial" if float(test.max()) <= 1 else "none"


def _axes(costs: Mapping[str, Floats], n: int) -> tuple[Cost, ...]:
    """The costs with any value, the default first: latency where half the points have it."""
    present = {k: v for k, v in costs.items() if bool((v > 0).any())}
    names = [TRAIN if k == "train_flops_full" else k for k in present]
    names = [k for k in names if k not in TEACHERS.values()]
    names.sort(key=lambda k: PREFERRED.index(k) if k in PREFERRED else len(PREFERRED))
    if "latency_ms" in names and 2 * int(np.isfinite(costs["latency_ms"]).sum()) < n:
        names.remove("latency_ms")
        names.insert(1 if names else 0, "latency_ms")
    unit = {**{k: o.unit for k, o in OBJECTIVES.items()}, TRAIN: "FLOP"}
    return tuple(Cost(k, NOUNS.get(k, k.replace("_", " ")), unit[k]) for k in names)


def _steps(labels: pd.Series) -> tuple[int, ...]:
    """Distinct label counts, thinned evenly to twelve."""
    steps = sorted({int(v) for v in labels.dropna()})
    if len(steps) <= 12:
        return tuple(steps)
    return tuple(steps[round(i * (len(steps) - 1) / 11)] for i in range(12))


def _fates(run: Run, table: pd.DataFrame, done: npt.NDArray[np.bool_]) -> dict[str, Fate]:
    out: dict[str, Fate] = {}
    for axis in ("method", "model"):
        for name, at in sorted(table.groupby(axis).indices.items()):
            points = int(done[at].sum())
            if axis == "model" and (points or str(name) in out):
                continue
            part = table.iloc[at]
            failed = part[part["status"].isin(["FAILED", "INFEASIBLE"])]
            error = _first(failed["error"])
            out[str(name)] = Fate(part["id"].nunique(), points, failed["id"].nunique(), error)
    left: Any = run.study.get("left_out") or {}
    for name, reason in left.items() if isinstance(left, Mapping) else ():
        out.setdefault(str(name), Fate(left_out=str(reason)))
    return out
