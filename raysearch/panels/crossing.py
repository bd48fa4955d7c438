"""A run as a crossing: the winner of each procedure, model and label budget, with its costs.

What a grid study runs; of a search, the best on validation of each cell. Points without labels
(zero-shot) have no validation score: they are chosen by nothing, and stand beside the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from raysearch.analysis import Run, winners
from raysearch.analysis.confirmation import Confirmation, confirmation
from raysearch.analysis.external import systems
from raysearch.analysis.frontier import candidates as finished
from raysearch.analysis.intervals import careful
from raysearch.analysis.label_free import with_label_free
from raysearch.analysis.point_lookup import labels_by_point
from raysearch.analysis.table import TEACHER
from raysearch.objectives import OBJECTIVES
from raysearch.recommend.ranking import step_frontier

COSTS = tuple(name for name, o in OBJECTIVES.items() if not o.maximise)


@dataclass(frozen=True, slots=True)
class Cell:
    """One winner that is scored on test."""

    point_id: str
    procedure: str
    inputs: Mapping[str, str]
    """The models of its inputs, by role."""
    model: str
    budget: int
    """Requested label budget; 0: it needs none."""
    labels: float
    """Distinct labels used: training and selection, own and inherited."""
    validation: float | None
    """What chooses: the mean over fresh draws where confirmed. None: it has no labels."""
    careful: float | None
    """What chooses across label budgets: see `careful`."""
    validation_rows: int
    test: float
    test_rows: int
    ends: tuple[float, float] | None
    """The 95 % interval; None: not confirmed. Over the rows alone where there are no labels."""
    draws: int
    """Behind the interval; 0: not confirmed."""
    costs: Mapping[str, float]
    """By objective; only what was measured."""
    knobs: str = ""
    """The point's own in words; empty for a plain model."""

    @property
    def words(self) -> str:
        """Return the point in words: procedure, model, its inputs' models, knobs, labels used."""
        named = ", ".join(f"{role} {model}" for role, model in self.inputs.items())
        above = f" ({named})" if named else ""
        own = f", {self.knobs}" if self.knobs else ""
        used = f"{self.labels:,.0f} labels" if self.labels else "no labels"
        return f"{self.procedure}, {self.model}{above}{own}, {used}"

    @property
    def shown(self) -> str:
        """Score and interval in words."""
        if self.ends is None:
            return f"{self.test:.3f}, not confirmed"
        return f"{self.test:.3f} [{self.ends[0]:.3f}, {self.ends[1]:.3f}]"


@dataclass(frozen=True, slots=True)
class Crossing:
    """The cells of a run, and what its captions need."""

    score: str
    procedures: tuple[str, ...]
    """Every one of the run, so that it has the same mark on every page; those that never use a
    label last."""
    models: tuple[str, ...]
    """Those of the cells, the smallest first."""
    cells: tuple[Cell, ...]
    """By procedure, size and budget."""
    untested: int
    """Winners without a score on test."""
    made: Confirmation
    """With the points that need no labels."""


def crossing(run: Run) -> Crossing:
    """Read the cells of a run."""
    return run.cached("crossing", _crossing)


def _crossing(run: Run) -> Crossing:
    made = with_label_free(run, confirmation(run))
    parts = [winners(run.table), label_free(run.table)]
    rows = pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True)
    estimates = {e.point_id: e for e in made.estimates}
    over_rows = {s.point: s.interval for s in systems(run) if s.point}
    inputs = {r.id: {role: c.rung for role, c in r.config.upstream.items()} for r in run.records}
    labels = labels_by_point(run)
    cells = []
    for row in rows.to_dict("records"):
        e = estimates.get(str(row["point_id"]))
        seen = _known(row["score_validation"])
        if e is not None and math.isfinite(e.validation):
            seen = e.validation
        test = _known(row["score_test"]) if e is None else e.score
        if test is None:
            continue
        judges = _count(row["validation_rows"]) if e is None else e.validation_rows
        ends = over_rows.get(str(row["point_id"]), None if e is None else (e.low, e.high))
        costs = {name: v for name in COSTS if (v := _known(row[name])) is not None}
        cells.append(
            Cell(
                str(row["point_id"]),
                str(row["procedure"]),
                inputs.get(str(row["id"]), {}),
                str(row["model"]),
                int(row["labels_train"]),
                costs["labels"],
                seen,
                None if seen is None else careful(seen, judges, str(row["score_name"])),
                judges,
                test,
                _count(row["test_rows"]) if e is None else e.test_rows,
                ends,
                e.draws if e is not None else int(ends is not None),
                costs,
                labels.get(str(row["point_id"]), ""),
            )
        )
    least: dict[str, float] = {}
    for cell in cells:
        size = cell.costs.get("infer_flops", math.inf)
        least[cell.model] = min(size, least.get(cell.model, math.inf))
    models = tuple(sorted(least, key=lambda m: (least[m], m)))
    cells.sort(key=lambda c: (c.procedure, models.index(c.model), c.budget, c.point_id))
    known = run.table["score_name"].dropna()
    score = str(known.iloc[0]) if len(known) else str(run.study.get("score") or "score")
    labelled = run.table["procedure"][run.table["labels"].gt(0)]
    kinds = [sorted({str(p) for p in of.dropna()}) for of in (labelled, run.table["procedure"])]
    procedures = tuple(dict.fromkeys([*kinds[0], *kinds[1]]))
    return Crossing(score, procedures, models, tuple(cells), len(rows) - len(cells), made)


def label_free(table: pd.DataFrame) -> pd.DataFrame:
    """Return the points with neither labels nor validation score, one per procedure and model.

    Of several (operating points of one model) the cheapest to run stands for them, then the first
    by id: nothing else is there to choose by.
    """
    pool = finished(table)
    pool = pool[pool["score_validation"].isna() & pool["labels"].eq(0)]
    ranked = pool.sort_values(["infer_flops", "point_id"], na_position="last", kind="stable")
    return ranked.drop_duplicates(["procedure", "model"])


def line(cells: Sequence[Cell], cost: str) -> tuple[int, ...]:
    """Return places of the cells on the frontier of `careful` and a cost, cheapest first.

    Of the confirmed ones where there are any. What has no validation score is on no frontier.
    """
    x = np.array([c.costs.get(cost, np.nan) for c in cells])
    y = np.array([np.nan if c.careful is None else c.careful for c in cells])
    fits = np.isfinite(x) & (x > 0) & np.isfinite(y)
    sure = fits & np.array([c.ends is not None for c in cells], dtype=np.bool_)
    return step_frontier(x, y, sure if sure.any() else fits)


def row(score: str, cell: Cell) -> dict[str, object]:
    """Return the cell's numbers, for a table beside a picture."""
    low, high = cell.ends or (None, None)
    return {
        "point_id": cell.point_id,
        "procedure": cell.procedure,
        TEACHER: cell.inputs.get(TEACHER, ""),
        "model": cell.model,
        "labels_train": cell.budget,
        "labels_used": cell.labels,
        "validation": cell.validation,
        score: cell.test,
        "low": low,
        "high": high,
        "draws": cell.draws,
    }


def _known(value: object) -> float | None:
    number = math.nan if value is None or value is pd.NA else float(value)  # type: ignore[arg-type]
    return number if math.isfinite(number) else None


def _count(value: object) -> int:
    return int(_known(value) or 0)
