"""A system that was not chosen, compared with the confirmed points row by row.

It comes from outside, or it is a zero-shot model of the run itself. It has one set of predictions
and no draws: what varies beside the rows are the draws of the confirmed points alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raysearch import scores
from raysearch.analysis.bootstrap import FEWEST, Judged, features, replicates
from raysearch.analysis.confirmation import (
    Confirmation,
    confirmation,
    fresh_draws,
    judged_draw,
    stored_logits,
)
from raysearch.analysis.replicates import matching_point
from raysearch.analysis.run import Run
from raysearch.analysis.without_labels import name_of, unlabelled_points
from raysearch.record import OperatingPoint, Outside, TrialRecord
from raysearch.run.folder import RunFolder

KIND = "outside"
"""Of its entries in the Store."""
MISSING_ARTIFACT = (OSError, ValueError, EOFError)
"""What reading predictions raises where they are not there or not whole; numpy has the last."""

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64] | Floats


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """A system minus one confirmed point, on the same rows."""

    outside: Outside
    point_id: str
    """The confirmed point's id in the search."""
    difference: float
    """Score of the system minus the point's, in the score's unit."""
    low: float
    high: float
    """The paired 95 % interval."""

    @property
    def verdict(self) -> str:
        """Return better, worse or indistinguishable: the system, as compared with the point."""
        return verdict(self.low, self.high)


def systems(run: Run) -> tuple[Outside, ...]:
    """Return what is compared with a run's choice: systems from outside, then zero-shot points.

    The latter as far as they are scored on test, each with the interval over the rows alone.
    """
    return run.cached("systems", _systems)


def _systems(run: Run) -> tuple[Outside, ...]:
    shots = [
        (r, p) for r, p in unlabelled_points(run.records) if r.score in p.scores.get("test", {})
    ]
    return (*run.outside, *(_system(run, r, p) for r, p in shots))


def _system(run: Run, record: TrialRecord, point: OperatingPoint) -> Outside:
    rows, score = point.rows.get("test", 0), record.score
    out = Outside(name_of(record, point), "", point.scores, rows, score, point=point.point_id)
    try:
        logits, _, labels = stored_logits(run.folder, point.point_id, "test")
        ends = rows_interval(_answers(logits), labels, score, logits.shape[1])
    except MISSING_ARTIFACT:  # a folder of records without its Store
        formula = scores.formula_of(score, out.value, out.value)
        share = formula is not None and formula.kind == "binomial" and rows > 0
        ends = formula.interval(out.value, rows) if formula is not None and share else None
    return replace(out, interval=ends)


def _answers(logits: Any) -> Labels:
    """Return the class ids (n,) that logits (n, C) predict; of (n, 1) the numbers themselves."""
    guess: Labels = logits[:, 0].astype(np.float64) if logits.shape[1] == 1 else logits.argmax(1)
    return guess


def verdict(low: float, high: float) -> str:
    """Return in a word what an interval of a difference means.

    >>> verdict(0.01, 0.02), verdict(-0.1, -0.01), verdict(0.0, 0.1)
    ('better', 'worse', 'indistinguishable')
    """
    return "better" if low > 0 else "worse" if high < 0 else "indistinguishable"


def paired_comparisons(
    run: Run, made: Confirmation, *, outside: Sequence[Outside] | None = None
) -> list[PairedComparison]:
    """Compare each system with each confirmed point, paired over rows.

    Args:
        run: a run; not changed.
        made: its confirmation.
        outside: the systems that are meant; None for all that `systems` lists.

    Returns:
        Systems in their order, then points in that of the estimates. Nothing where nothing is
        confirmed; a system that lacks a row of the draws, or whose predictions are gone, is left
        out (`missing_rows_reason` tells why).
    """
    if outside is not None:
        return _paired_comparisons(run, made, tuple(outside))
    if made is not confirmation(run):
        return _paired_comparisons(run, made, systems(run))
    return list(run.cached("against", lambda of: _paired_comparisons(of, made, systems(of))))


def _paired_comparisons(
    run: Run, made: Confirmation, wanted: Sequence[Outside]
) -> list[PairedComparison]:
    if not made.estimates or not wanted:
        return []
    draws_by_point = fresh_draws(run)
    score = run.records[0].score if run.records else ""
    choices: list[list[Judged]] = []
    for estimate in made.estimates:
        record, point, fresh = draws_by_point[estimate.point_id]
        score = record.score
        choices.append([judged_draw(run.folder, fresh[d], point, d, score) for d in made.drawn])
    truth = _truth(run, made)
    alone = made.folds == 0
    theirs = [_as_draws(run.folder, s, choices[0], truth, score, alone) for s in wanted]
    compared = [(s, draws) for s, draws in zip(wanted, theirs, strict=True) if draws is not None]
    if not compared:
        return []
    replicated = replicates([*choices, *(d for _, d in compared)], score, pooled=made.folds > 0)
    out = []
    for at, (system, _) in enumerate(compared, start=len(choices)):
        for i, estimate in enumerate(made.estimates):
            low, high = replicated.difference(at, i)
            gap = float(replicated.estimate[at] - replicated.estimate[i])
            out.append(PairedComparison(system, estimate.point_id, gap, low, high))
    return out


def missing_rows_reason(run: Run, made: Confirmation, system: Outside) -> str:
    """Return why a system is compared with no point; empty where it is compared."""
    if not made.estimates:
        return made.why or "no point is confirmed yet"
    try:
        ids, _ = predictions(run.folder, system)
    except MISSING_ARTIFACT:
        return "its predictions are not in the run's Store"
    wanted = set(_truth(run, made))
    lacking = len(wanted - set(ids.tolist()))
    if lacking:
        return (
            f"{lacking:,} of the {len(wanted):,} rows that judge confirmed points are not among "
            "its predictions: they were added before those draws; add it again"
        )
    return ""


def predictions(folder: Path, system: Outside) -> tuple[npt.NDArray[np.int64], Labels]:
    """Read row numbers (n,), ascending, and predictions (n,): class ids, or regression's numbers.

    Raises:
        OSError: they were not kept.
        ValueError: they are not whole, or a key that leaves the Store.
    """
    if system.point:
        logits, numbers, _ = stored_logits(folder, system.point, "test")
        first = np.argsort(numbers, kind="stable")
        return numbers[first], _answers(logits)[first]
    if not system.key.replace("-", "").isalnum():
        raise ValueError(f"'{system.key}' cannot name an entry of the Store")
    entry = RunFolder(folder).store / KIND / system.key
    json.loads((entry / "manifest.json").read_text(encoding="utf-8"))  # absent: not committed
    ids = np.load(entry / "ids.npy", allow_pickle=False)
    values = np.load(entry / "predictions.npy", allow_pickle=False)
    if len(ids) != len(values):
        raise ValueError(f"predictions of '{system.name}' are not whole")
    order = np.argsort(ids, kind="stable")
    return ids[order], values[order]


def rows_interval(
    values: Labels, label: Labels, score: str, classes: int
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of one set of predictions, over rows alone.

    None for a score that is not known. Labels and predictions are (n,).

    >>> rows_interval(np.zeros(100, np.int64), np.repeat([0, 1], [80, 20]), scores.DEFAULT, 2)
    (0.72, 0.88)
    """
    try:
        made = features(_logits(values, classes), label, score)
    except ValueError:
        return None
    ids = np.arange(len(values), dtype=np.int64)
    # Equal draws have no variance: what is left is that of the rows.
    same = [Judged(d, ids, made) for d in range(FEWEST)]
    low, high = replicates([same], score).interval(0)
    return round(low, 6), round(high, 6)


def _logits(values: Labels, classes: int) -> Floats:
    """Return predictions as logits: one-hot (n, C), or the numbers themselves (n, 1)."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float64)[:, None]
    return np.asarray(np.eye(classes)[values.astype(np.int64)])


def _truth(run: Run, made: Confirmation) -> dict[int, Any]:
    """Return the label of every row that judged a draw, by row number, off the first estimate."""
    _, point, fresh = fresh_draws(run)[made.estimates[0].point_id]
    out: dict[int, Any] = {}
    for draw in made.drawn:
        like = matching_point(fresh[draw], point)
        assert like is not None
        _, ids, labels = stored_logits(run.folder, like.point_id, "test")
        out.update(zip(ids.tolist(), labels.tolist(), strict=True))
    return out


def _as_draws(
    folder: Path,
    system: Outside,
    like: Sequence[Judged],
    truth: dict[int, Any],
    score: str,
    alone: bool,
) -> list[Judged] | None:
    """Return the system as if it had the draws of the others: the same predictions in each."""
    try:
        ids, values = predictions(folder, system)
    except MISSING_ARTIFACT:
        return None
    if not set(truth) <= set(ids.tolist()):
        return None
    number = np.issubdtype(values.dtype, np.floating)
    classes = 1 + max(int(values.max(initial=0)), *(int(v) for v in truth.values()))
    out = []
    for judged in like:
        predicted = values[np.searchsorted(ids, judged.ids)]
        truths = [truth[i] for i in judged.ids.tolist()]
        label: Labels = np.array(truths, np.float64) if number else np.array(truths, np.int64)
        sums = features(_logits(predicted, classes), label, score, centred=alone)
        out.append(Judged(judged.draw, judged.ids, sums))
    return out
