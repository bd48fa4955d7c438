"""What the search cost, and what it had found by then: so that "A beats B" reads at equal tuning.

One rule everywhere: a trial's own training FLOPs count once, whatever its status; a bill taken
over from a teacher counts once under the teacher, not once per student, and so do its answers to
one set of texts. Confirming draws are no search and are left aside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raysearch.analysis.frontier import searched
from raysearch.analysis.pareto import Points, hypervolume, nondominated
from raysearch.errors import InputError
from raysearch.objectives import Objective, get

ALL = "all"
"""The name of the curve over the whole study."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The corner a hypervolume is measured from, in the objectives' own units."""

    objectives: tuple[Objective, ...]
    values: tuple[float, ...]
    predicted: bool
    """True when every value was written down before the first trial."""
    caption: str


def reference_point(
    table: pd.DataFrame, objectives: Sequence[str], study: Mapping[str, Any] | None = None
) -> Reference:
    """Take the reference from study.yaml's `reference`, else the worst value observed.

    study.yaml holds, by objective, the majority class's score and the costs of the dearest legal
    configuration, predicted before the first trial. A value that it lacks is the worst among the
    points of the search, and 0 where nothing was observed; the caption says which.
    """
    written = dict((study or {}).get("reference") or {})
    chosen = tuple(get(name) for name in objectives)
    values: list[float] = []
    observed: list[str] = []
    for o in chosen:
        value = written.get(o.name)
        if isinstance(value, int | float) and np.isfinite(value):
            values.append(float(value))
            continue
        observed.append(o.name)
        column = searched(table)[o.name].dropna()
        values.append(0.0 if column.empty else float(column.min() if o.maximise else column.max()))
    at = ", ".join(f"{o.name} {v:.3g}" for o, v in zip(chosen, values, strict=True))
    if not observed:
        how = "predicted before the first trial"
    elif len(observed) == len(chosen):
        how = "the worst observed, as the study predicted none"
    else:
        how = f"predicted before the first trial, but {', '.join(observed)} the worst observed"
    return Reference(chosen, tuple(values), not observed, f"Hypervolume reference: {at} ({how}).")


def hypervolume_over_spend(
    table: pd.DataFrame,
    objectives: Sequence[str],
    reference: Reference | Sequence[float],
    *,
    by_method: bool = True,
    log_costs: bool = True,
) -> pd.DataFrame:
    """Compute the hypervolume of everything found so far against what it had cost.

    Args:
        table: as `to_table` makes it, in the order of records; not changed.
        objectives: names out of raysearch.objectives.
        reference: one value per objective, in its own unit.
        by_method: one more curve for each method, over its own trials and spend.
        log_costs: measure costs as log10(1 + cost), so that the volume reads as score times
            decades and the dear end does not drown the rest; False for plain units.

    Returns:
        Columns spend [FLOP], hypervolume, method ("all" for the whole): one row per trial of a
        curve, both never falling. A trial that ended in failure spends and finds nothing. Order
        of growth: t hypervolumes of a frontier, t the trials.
    """
    chosen = [get(name) for name in objectives]
    corner = reference.values if isinstance(reference, Reference) else tuple(reference)
    if len(corner) != len(chosen):
        raise InputError(
            f"reference: {len(corner)} values for {len(chosen)} objectives; one each is expected"
        )
    low = _larger(np.array([corner], dtype=np.float64), chosen, log_costs)[0]

    values = searched(table)[[o.name for o in chosen]].to_numpy(np.float64, na_value=np.nan)
    whole = np.isfinite(values).all(axis=1)
    larger = _larger(np.where(whole[:, None], values, 0.0), chosen, log_costs)

    def follow(trials: list[Trial]) -> Iterator[float]:
        front: Points = np.zeros((0, len(chosen)))
        volume = 0.0
        for trial in trials:
            rows = trial.rows[whole[trial.rows]]
            if len(rows):
                points = np.concatenate([front, larger[rows]])
                kept = nondominated(points)
                if kept[len(front) :].any():
                    front = points[kept]
                    volume = max(volume, hypervolume(front, low))  # equal up to rounding
            yield volume

    return _curves(table, "hypervolume", follow, by_method)


def best_over_spend(table: pd.DataFrame, *, by_method: bool = True) -> pd.DataFrame:
    """Compute the best validation score so far against what it had cost, per method and for all.

    Returns:
        Columns spend [FLOP], score, method ("all" for the whole): one row per trial of a curve;
        score is NaN until the first trial that has one.
    """
    scores = searched(table)["score"].to_numpy(np.float64, na_value=np.nan)

    def follow(trials: list[Trial]) -> Iterator[float]:
        best = float("nan")
        for trial in trials:
            best = float(np.fmax.reduce(scores[trial.rows], initial=best))
            yield best

    return _curves(table, "score", follow, by_method)


def search_flops(table: pd.DataFrame) -> dict[str, float]:
    """Sum the search's training FLOPs by method; FAILED and STOPPED trials included.

    A teacher that is a trial of the table is paid for there; the bill of any other is counted
    once, under the teacher's method. In-trial validation counts, test and measuring do not.
    """
    out: dict[str, float] = {}
    for trial in _trials(table):
        out[trial.method] = out.get(trial.method, 0.0) + trial.flops
    for giver in inherited_once(table).values():
        out[giver["method"]] = out.get(giver["method"], 0.0) + float(giver["flops"])
    for (_, _, flops), method in answered_once(table).items():
        out[method] = out.get(method, 0.0) + flops
    return dict(sorted(out.items()))


def unbilled(table: pd.DataFrame) -> int:
    """Count the search's trials that were killed and left no bill: what they spent is unknown."""
    firsts = searched(table).drop_duplicates("id")
    lost = firsts["status"].eq("FAILED") & firsts["train_flops"].isna()
    return int(lost.to_numpy(dtype=np.bool_, na_value=False).sum())


def inherited_once(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the inherited bills whose payer is no trial of the table, each once, by payer."""
    trials = _trials(table)
    known = {t.id for t in trials}
    out: dict[str, dict[str, Any]] = {}
    for trial in trials:
        for payer, giver in trial.inherited.items():
            if payer not in known:
                out.setdefault(payer, giver)
    return out


Answers = tuple[str, str, float]
"""A teacher's answers to one set of texts: payer, phase and FLOPs, which tell sets apart."""


def answered_once(table: pd.DataFrame) -> dict[Answers, str]:
    """Return what teachers that are trials of the table have answered, each set of texts once.

    With each the method of the first student: its trial did the work.
    """
    trials = _trials(table)
    known = {t.id for t in trials}
    out: dict[Answers, str] = {}
    for trial in trials:
        for payer, giver in trial.inherited.items():
            for answers in _answers(payer, giver) if payer in known else ():
                out.setdefault(answers, trial.method)
    return out


def _answers(payer: str, giver: Mapping[str, Any]) -> list[Answers]:
    return [(payer, phase, float(flops)) for phase, flops in giver.get("answers", {}).items()]


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of the search, as the curves see it."""

    id: str
    method: str
    flops: float
    """Its own training FLOPs."""
    inherited: dict[str, dict[str, Any]]
    rows: npt.NDArray[np.intp]
    """Its rows among the search's that count as found: none unless it is DONE."""


def _trials(table: pd.DataFrame) -> list[Trial]:
    """Return the trials of the search in the order of their first rows."""
    search = searched(table)
    codes, known = pd.factorize(search["id"])
    ids = known.tolist()
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    firsts = search.drop_duplicates("id")
    method, status = firsts["method"].tolist(), firsts["status"].tolist()
    flops, inherited = firsts["train_flops"].tolist(), firsts["inherited"].tolist()
    return [
        Trial(
            str(ids[k]),
            str(method[k]),
            float(flops[k]) if flops[k] == flops[k] else 0.0,  # killed: its bill is unknown
            {} if inherited[k] == "{}" else json.loads(inherited[k]),
            rows[k] if status[k] == "DONE" else rows[k][:0],
        )
        for k in range(len(ids))
    ]


def _spends(trials: list[Trial]) -> list[float]:
    """Return the spend up to each trial; the first student pays for a teacher outside the curve.

    A teacher inside the curve pays for itself, wherever it stands.
    """
    paid = {t.id for t in trials}
    answered: set[Answers] = set()
    total = 0.0
    out = []
    for trial in trials:
        total += trial.flops
        for payer, giver in trial.inherited.items():
            given = set(_answers(payer, giver))
            if payer not in paid:
                paid.add(payer)
                total += float(giver["flops"])
            else:
                total += sum(flops for _, _, flops in given - answered)
            answered |= given
        out.append(total)
    return out


def _curves(
    table: pd.DataFrame,
    name: str,
    follow: Callable[[list[Trial]], Iterator[float]],
    by_method: bool,
) -> pd.DataFrame:
    trials = _trials(table)
    curves = {ALL: trials}
    if by_method:
        for method in sorted({t.method for t in trials}):
            curves[method] = [t for t in trials if t.method == method]
    rows = [
        (spend, value, method)
        for method, part in curves.items()
        for spend, value in zip(_spends(part), follow(part), strict=True)
    ]
    out = pd.DataFrame.from_records(rows, columns=["spend", name, "method"])
    return out.astype({"spend": "float64", name: "float64", "method": "string"})


def _larger(values: Points, chosen: Sequence[Objective], log_costs: bool) -> Points:
    """Turn natural units into larger-is-better ones, costs on a log axis where `log_costs`."""
    out = values.copy()
    for j, o in enumerate(chosen):
        if not o.maximise:
            out[:, j] = -(np.log10(1.0 + out[:, j]) if log_costs else out[:, j])
    return out
