"""A run becomes the points of a page: what was chosen by luck gives way to its fresh draws."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raysearch.analysis import Run, search_flops, unbilled
from raysearch.analysis.confirmation import Confirmation, confirmation
from raysearch.analysis.point_lookup import labels_by_point
from raysearch.analysis.selection_bias import on_frontier
from raysearch.objectives import OBJECTIVES
from raysearch.recommend.baselines import baselines, used_none
from raysearch.recommend.points import (
    FINE,
    MS,
    NOUNS,
    OWN,
    PARTS_OF_MS,
    TEACHERS,
    TRAIN,
    Codes,
    Cost,
    Floats,
    MethodOutcome,
    Points,
)
from raysearch.score_intervals import Formula
from raysearch.scores import CLASSES, SCORES, formula_of

PREFERRED = (MS, "infer_flops", TRAIN, "train_seconds", "dollars", "params", "bytes")


def collect(run: Run, *, spend: bool = True, made: Confirmation | None = None) -> Points:
    """Collect from a run what its first page shows.

    Args:
        run: as `raysearch.analysis.read_run` reads it; not changed.
        spend: False leaves `search_flops` at 0.
        made: the confirming draws' estimates; None: read from the run.
    """
    made = confirmation(run) if made is None else made
    table = run.table
    confirm = table["phase"].eq("confirm").to_numpy(dtype=np.bool_, na_value=False)
    done = table["status"].eq("DONE").to_numpy(dtype=np.bool_, na_value=False)
    pointed = table["point_id"].notna().to_numpy()
    stage = done & ~pointed  # it made an input of others, and is nothing to choose
    done &= pointed & ~confirm
    zero = done & used_none(table)
    fresh_ids = {e.point_id for e in made.estimates}
    shown_on_test = table["score_test"].notna() | table["point_id"].isin(list(fresh_ids))
    scored = done & ~zero & (table["score_validation"].notna() & shown_on_test).to_numpy()
    order = ["infer_flops", "train_flops_full", "point_id"]
    shown = table[scored].sort_values(order, na_position="last", kind="stable")
    methods = _names(table["procedure"][~zero & ~stage])
    models = _names(table["model"][~zero & ~stage])
    fresh = _Fresh(shown, made)
    score = _first(table["score_name"]) or str(run.study.get("score") or "score")
    costs = _costs(shown)
    inherited = bool((costs["train_flops_full"] != costs["train_flops"]).any())
    formula = _formula(score, fresh.test, fresh.test_rows)
    study = run.study
    majority = (study.get("baselines") or {}).get(
        "majority", (study.get("reference") or {}).get("score")
    )
    rows = fresh.test_rows
    searched = ~confirm & ~stage
    words = labels_by_point(run)
    return Points(
        task=_first(table["task"]) or str(run.study.get("task") or ""),
        score=score,
        formula=formula,
        digits=3 if len(rows) and float(np.nanmin(rows)) >= 2000 else 2,
        methods=methods,
        models=models,
        method=_codes(shown["procedure"], methods),
        model=_codes(shown["model"], models),
        budget=_floats(shown["labels_train"]),
        labels=_floats(shown["labels"]),
        knobs=tuple(f", {w}" if (w := words.get(str(p))) else "" for p in shown["point_id"]),
        validation=fresh.validation,
        test=fresh.test,
        validation_rows=fresh.validation_rows,
        test_rows=rows,
        low=fresh.low,
        high=fresh.high,
        draws=fresh.draws,
        place=fresh.place,
        # + 0.0: no -0.0
        pairwise_differences=made.difference
        if formula is None
        else made.difference.round(FINE) + 0.0,
        p_on_frontier=fresh.p_on_frontier,
        seconds_text=_seconds_text(shown),
        gpu=shown["device"].fillna("").str.startswith("cuda").to_numpy(dtype=np.bool_),
        prices={k: float(v) for k, v in (study.get("prices") or {}).items() if v is not None},
        costs=costs,
        axes=_axes(costs, len(shown), bool(study.get("prices"))),
        teachers=tuple(TEACHERS) if inherited else (),
        shared_by=int(study.get("shared_by") or 1),
        budgets=_steps(shown["labels"]),
        outcomes=_outcomes(run, table[searched], done[searched], zero[searched]),
        majority=float(majority)
        if _has_majority(score, formula) and isinstance(majority, int | float)
        else None,
        unscored=int((done & ~scored & ~zero).sum()),
        begun=len(made.begun),
        lost=made.lost,
        broken=made.why,
        folds=made.folds,
        run=shlex.quote(str(run.folder)),
        trials=int(table["id"][~confirm].nunique()),
        unbilled=unbilled(table),
        search_flops=float(sum(search_flops(table).values())) if spend else 0.0,
        rows=tuple(int(i) for i in np.flatnonzero(scored)[_rank(table[scored], order)]),
        ids=tuple(str(p) for p in shown["point_id"]),
        baselines=baselines(run, made),
    )


class _Fresh:
    """The columns that confirming draws replace, in the order of the rows shown."""

    def __init__(self, shown: pd.DataFrame, made: Confirmation) -> None:
        self.validation = _floats(shown["score_validation"]).copy()
        self.test = _floats(shown["score_test"]).copy()
        self.validation_rows = _floats(shown["validation_rows"]).copy()
        self.test_rows = _floats(shown["test_rows"]).copy()
        n = len(self.test)
        self.low, self.high, self.p_on_frontier = (np.full(n, np.nan) for _ in range(3))
        self.draws = np.zeros(n, dtype=np.int64)
        self.place = np.full(n, -1, dtype=np.int64)
        at = {e.point_id: k for k, e in enumerate(made.estimates)}
        flops = _floats(shown["infer_flops"])
        cost = np.full(len(at), np.nan)
        for i, point in enumerate(shown["point_id"]):
            k = at.get(str(point))
            if k is None:
                continue
            e = made.estimates[k]
            self.place[i], self.draws[i], cost[k] = k, e.draws, flops[i]
            self.test[i], self.low[i], self.high[i] = e.score, e.low, e.high
            self.test_rows[i] = e.test_rows
            if np.isfinite(e.validation):
                self.validation[i], self.validation_rows[i] = e.validation, e.validation_rows
        if len(at):
            often = on_frontier(made.resampled, cost)
            confirmed = self.place >= 0
            self.p_on_frontier[confirmed] = often[self.place[confirmed]]


def _costs(shown: pd.DataFrame) -> dict[str, Floats]:
    """Return columns of cost with any value above 0; the two parts of `ms` joined."""
    names = [n for n, o in OBJECTIVES.items() if not o.maximise and n not in PARTS_OF_MS]
    costs = {n: _floats(shown[n]) for n in names if bool(shown[n].gt(0).any())}
    latency, tokenise = (_floats(shown[n]) for n in PARTS_OF_MS)
    if np.isfinite(latency).any():
        costs[MS] = latency + np.nan_to_num(tokenise)
    for column in TEACHERS.values():
        costs.setdefault(column, _floats(shown[column]))
    return costs


def _seconds_text(shown: pd.DataFrame) -> Floats:
    """Return the time to label one text in batches of 32, tokenisation included [s]."""
    rate = _floats(shown["throughput"])
    with np.errstate(divide="ignore"):
        return np.where(rate > 0, 1 / rate, np.nan) + _floats(shown["tokenise_ms"]) / 1000


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


def _formula(score: str, test: Floats, rows: Floats) -> Formula | None:
    """Return the formula of the score's interval; None without one or without its row count."""
    if not len(test) or not bool(np.isfinite(rows).all()):
        return None
    return formula_of(score, float(test.min()), float(test.max()))


def _has_majority(score: str, formula: Formula | None) -> bool:
    """Return whether a most frequent class can be shown beside the score."""
    if formula is None or score not in SCORES:
        return formula is not None and formula.kind == "binomial"
    return SCORES[score].kind == CLASSES


def _axes(costs: Mapping[str, Floats], n: int, priced: bool) -> tuple[Cost, ...]:
    """Return the costs with any value, the default first.

    That is dollars where the study has prices, then milliseconds where half the points have them.
    """
    present = {k: v for k, v in costs.items() if bool((v > 0).any())}
    names = [TRAIN if k == "train_flops_full" else k for k in present]
    names = [k for k in names if k not in TEACHERS.values()]
    names.sort(key=lambda k: PREFERRED.index(k) if k in PREFERRED else len(PREFERRED))
    if MS in names and 2 * int(np.isfinite(costs[MS]).sum()) < n:
        names.remove(MS)
        names.insert(1 if names else 0, MS)
    unit = {**{k: o.unit for k, o in OBJECTIVES.items()}, TRAIN: "FLOP", MS: "ms"}
    out = [Cost(k, NOUNS.get(k, k.replace("_", " ")), unit[k]) for k in names]
    return (Cost(OWN, NOUNS[OWN], "$"), *out) if priced and out else tuple(out)


def _steps(labels: pd.Series) -> tuple[int, ...]:
    """Return distinct label counts, thinned evenly to twelve."""
    steps = sorted({int(v) for v in labels.dropna()})
    if len(steps) <= 12:
        return tuple(steps)
    return tuple(steps[round(i * (len(steps) - 1) / 11)] for i in range(12))


def _outcomes(
    run: Run, table: pd.DataFrame, done: npt.NDArray[np.bool_], zero: npt.NDArray[np.bool_]
) -> dict[str, MethodOutcome]:
    out: dict[str, MethodOutcome] = {}
    for axis in ("procedure", "model"):
        for name, at in sorted(table.groupby(axis).indices.items()):
            points = int(done[at].sum())
            if axis == "model" and (points or str(name) in out):
                continue
            part = table.iloc[at]
            failed = part[part["status"].isin(["FAILED", "INFEASIBLE"])]
            error = _first(failed["error"])
            lost, shots = failed["id"].nunique(), int(zero[at].sum())
            out[str(name)] = MethodOutcome(part["id"].nunique(), points, lost, error, zero=shots)
    left: Any = run.study.get("left_out") or {}
    for name, reason in left.items() if isinstance(left, Mapping) else ():
        out.setdefault(str(name), MethodOutcome(left_out=str(reason)))
    return out
