"""What a curve of early exit is made of: the points of a trial, what they cost and score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from raysearch.analysis import Run, cascade
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.exit_trials import (
    ExitTrial,
    by_criterion,
    exit_trials,
    first_layers,
    own,
    score_of,
    shares_words,
)
from raysearch.outputs.described import label_of
from raysearch.outputs.exit_rules import CRITERIA, answers
from raysearch.panels.cascade_words import shown_words
from raysearch.panels.crossing import Cell, crossing
from raysearch.panels.text_costs import cost_of
from raysearch.recommend.points import MS, PARTS_OF_MS
from raysearch.record import OperatingPoint


@dataclass(frozen=True, slots=True)
class Mark:
    """One operating point of a trial with exits, as it stands in a picture."""

    point_id: str
    words: str
    """When texts leave."""
    leaving: str
    """Where they leave, and on which rows."""
    cost: float
    validation: float
    test: float
    ends: tuple[float, float] | None
    """The 95 % interval over draws and rows; None: not confirmed."""
    draws: int
    """Fresh draws; 0: the search's own trial."""
    validation_rows: int
    test_rows: int


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one trial by one criterion, cheap to dear."""

    procedure: str
    model: str
    budget: int
    labels: int
    """Distinct labels used."""
    criterion: str
    marks: tuple[Mark, ...]

    @property
    def words(self) -> str:
        """Return the trial in words."""
        return f"{self.model}, {self.procedure}, {self.labels:,} labels"


@dataclass(frozen=True, slots=True)
class Missing:
    """Points that could not be drawn."""

    cost: int = 0
    """Without the cost."""
    test: int = 0
    """Without a score on test."""
    cascades: int = 0
    """Without either."""

    def sentences(self, cost: str) -> list[str]:
        """Return what was left out, a sentence for each reason."""
        return [
            f"{what} left out: {n:,}."
            for n, what in (
                (self.cost, f"Points without {cost}"),
                (self.test, "Points without a score on test"),
                (self.cascades, f"Cascades without {cost} or a score on test"),
            )
            if n
        ]


def curves(run: Run, cost: str) -> tuple[tuple[Curve, ...], Missing]:
    """Return a curve per criterion of each cell's best trial with exits, and what is missing.

    Points that no draw confirms stand at what the search's own trial scores on test: as it is
    recorded, else by what its exits said, where that was kept.
    """
    columns = list(dict.fromkeys([*PARTS_OF_MS, *([] if cost == MS else [cost])]))
    table = run.table[run.table["phase"].ne("confirm")].drop_duplicates("point_id")
    rows = table.set_index("point_id")[columns].astype("float64").to_dict("index")
    out: list[Curve] = []
    lost: dict[str, str] = {}
    for trial in exit_trials(run):
        mark = _marker(run, trial)
        procedure, model, budget = trial.cell
        for criterion in CRITERIA:
            made = []
            for point in by_criterion(trial, criterion):
                at = cost_of(rows[point.point_id], cost)
                if at is None:
                    lost[point.point_id] = "cost"
                elif (one := mark(point, at)) is None:
                    lost[point.point_id] = "test"
                else:
                    made.append(one)
            if made:
                made.sort(key=lambda m: (m.cost, m.test, m.point_id))
                used = trial.record.labels_used
                out.append(Curve(procedure, model, budget, used, criterion, tuple(made)))
    kinds = list(lost.values())
    return tuple(out), Missing(kinds.count("cost"), kinds.count("test"))


def _marker(run: Run, trial: ExitTrial) -> Callable[[OperatingPoint, float], Mark | None]:
    """Return a maker of marks of this trial's points; it returns None without a test score."""
    made, score = confirmation(run), trial.record.score
    outputs = own(run, trial, "test")
    kept = None if outputs is None else outputs.draws[0]

    def mark(point: OperatingPoint, cost: float) -> Mark | None:
        seen = point.scores.get("validation", {}).get(score, math.nan)
        base = Mark(
            point.point_id,
            label_of(point),
            f"on validation {shares_words(trial.names, point.exits)}",
            cost,
            seen,
            point.scores.get("test", {}).get(score, math.nan),
            None,
            0,
            point.rows.get("validation", 0),
            point.rows.get("test", 0),
        )
        at = made.at(point.point_id)
        if at is not None:
            e = made.estimates[at]
            known = math.isfinite(e.validation)
            return replace(
                base,
                validation=e.validation if known else seen,
                validation_rows=e.validation_rows if known else base.validation_rows,
                test=e.score,
                test_rows=e.test_rows,
                ends=(e.low, e.high),
                draws=e.draws,
            )
        if not math.isfinite(base.test) and kept is not None:
            value = score_of(answers(kept.exits, point.knobs), kept.labels, score)
            return replace(base, test=value, test_rows=len(kept.labels))
        return base if math.isfinite(base.test) else None

    return mark


def baseline_cells(
    run: Run, procedure: str, cost: str, models: set[str]
) -> tuple[tuple[Cell, ...], int, bool]:
    """Return a procedure's models of the first layers of these models' checkpoints, or all.

    Returns:
        The cells with the cost among their costs, how many lack it, and whether they are first
        layers of those models; False: other models, as of the former there was none.
    """
    tuned = [c for c in crossing(run).cells if c.procedure == procedure]
    kin = {name for model in models for name in first_layers(model)}
    shown = [c for c in tuned if c.model in kin]
    cells = []
    for cell in shown or tuned:
        at = cost_of(cell.costs, cost)
        if at is not None:
            cells.append(replace(cell, costs={**cell.costs, cost: at}))
    return tuple(cells), len(shown or tuned) - len(cells), bool(shown)


CASCADED = "infer_flops"
"""The cost that is known of a cascade; what was not timed as a whole has no time."""


def cascades(run: Run, cost: str) -> tuple[tuple[tuple[int, Mark], ...], int, str]:
    """Return each cascade of two confirmed points with its label budget.

    Returns:
        They, how many cannot be drawn, and `shown_words` of those that are.
    """
    budget = run.table.drop_duplicates("point_id").set_index("point_id")["labels_train"]
    out, drawn, lost = [], [], 0
    for one in cascade.cascades(run):
        if cost != CASCADED or one.test is None or one.low is None or one.high is None:
            lost += 1
            continue
        mark = Mark(
            one.point_id,
            f"{one.words}, {one.labels:,} labels",
            f"on test {100 * one.on:.0f} % of the texts go on to the second model",
            one.infer_flops,
            one.validation,
            one.test,
            (one.low, one.high),
            one.draws,
            one.validation_rows,
            one.test_rows,
        )
        out.append((int(max(budget[one.first], budget[one.second])), mark))
        drawn.append(one)
    return tuple(out), lost, shown_words(drawn) if drawn else ""
