"""Trials whose model has exits: the best of each cell, and the logits of every exit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysearch import scores
from raysearch.analysis import Run, winners
from raysearch.analysis.bootstrap import FEWEST
from raysearch.analysis.confirmation import confirmation, fresh_draws
from raysearch.analysis.external import MISSING_ARTIFACT
from raysearch.analysis.intervals import careful
from raysearch.analysis.point_costs import flops_of
from raysearch.analysis.point_lookup import find
from raysearch.analysis.replicates import matching_point
from raysearch.config.catalog import ladder
from raysearch.config.ladder import ModelSize
from raysearch.errors import InputError, unknown
from raysearch.outputs.exit_rules import CRITERIA, NEVER, Exits, exits_of
from raysearch.outputs.point_kinds.exits import read as read_exits
from raysearch.record import OperatingPoint, TrialRecord
from raysearch.run.folder import RunFolder

FIRST = "confidence"
"""The default criterion of a curve."""
KNOBS = {"criterion", "threshold"}
"""Of a point of a curve; what an export has added (int8) has more."""


@dataclass(frozen=True, slots=True)
class ExitTrial:
    """A finished trial of the search whose model has exits."""

    record: TrialRecord
    best: OperatingPoint
    """Of its points the best on validation, or the one that the user named."""

    @property
    def cell(self) -> tuple[str, str, int]:
        """Return procedure, model and label budget."""
        config = self.record.config
        return config.method_chain, config.rung, config.data.train

    @property
    def points(self) -> list[OperatingPoint]:
        """Return the points of the curve."""
        return [
            p
            for p in self.record.points
            if has_exit_rule(p) and set(p.knobs) == KNOBS and len(p.exits) == self.exits
        ]

    @property
    def exits(self) -> int:
        """Return the number of exits."""
        return len(self.best.exits)

    @property
    def layers(self) -> tuple[int, ...]:
        """Return the number of layers below each exit; empty where the ladder lacks the model."""
        rung = ladder().get(self.record.config.rung)
        try:
            wanted = str(self.record.hyper.get("exits", "all"))
            exits = exits_of(wanted, rung.layers) if rung is not None else ()
        except InputError:
            return ()
        return exits if len(exits) == self.exits else ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of each exit in words."""
        of = self.layers
        return tuple(f"layer {n}" for n in of) or tuple(f"exit {k + 1}" for k in range(self.exits))


@dataclass(frozen=True, slots=True, eq=False)
class ExitOutputs:
    """Logits of every exit in one training."""

    draw: int
    """0: the search's own trial."""
    exits: Exits
    ids: npt.NDArray[np.int64]
    """Row numbers (n,)."""
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ExitOutputsBySeed:
    """Logits of every exit on a split, in every draw that counts."""

    split: str
    draws: tuple[ExitOutputs, ...]
    fresh: bool
    """Whether these are confirming draws; False: the search's own trial, chosen for its luck."""
    folds: int = 0
    """Cross-fitting folds: each draw has rows of its own."""

    @property
    def words(self) -> str:
        """Return the split and the source of the logits, for a caption."""
        sizes = [len(h.ids) for h in self.draws]
        rows = sum(sizes) if self.folds and self.split == "test" else max(sizes)
        n = len(self.draws)
        who = ("1 fresh draw" if n == 1 else f"{n} fresh draws") if self.fresh else "one draw"
        how = f", {self.folds}-fold cross-fitting" if self.folds else ""
        return f"{self.split} ({rows:,} rows), {who}{how}"


def exit_trials(run: Run) -> tuple[ExitTrial, ...]:
    """Return the best trial on validation of each (procedure, model, labels) with exits."""
    return run.cached("exit trials", _exit_trials)


def _exit_trials(run: Run) -> tuple[ExitTrial, ...]:
    search = [r for r in run.records if r.phase != "confirm"]
    at = {p.point_id: (r, p) for r in search for p in r.points if has_exit_rule(p)}
    won = [str(p) for p in winners(run.table)["point_id"]] if at else []
    return tuple(ExitTrial(*at[p]) for p in won if p in at)


def has_exits(run: Run) -> bool:
    """Return whether any trial of a run has points of a model with exits."""
    return any(p.exits for r in run.records for p in r.points)


def exit_trial(run: Run, point: str = "") -> ExitTrial | None:
    """Return the trial that a point means, or the best of all; None where no model has exits.

    The best: confirmed before the others, then by validation as carefully as its rows allow.

    Raises:
        InputError: a point is named, and there is no such or its model has no exits.
    """
    if point:
        record, best = find(run, str(point))  # YAML reads an id of digits as a number
        if not best.exits:
            raise InputError(f"{run.folder}: point '{point}': its model has no exits")
        if not has_exit_rule(best):
            raise InputError(
                f"{run.folder}: point '{point}': its knobs {dict(best.knobs)} do not say when "
                "texts leave; a criterion and a threshold are expected"
            )
        return ExitTrial(record, best)
    made = confirmation(run)

    def order(one: ExitTrial) -> tuple[bool, float, float, str]:
        at, score = made.at(one.best.point_id), one.record.score
        seen = one.best.scores.get("validation", {}).get(score, float("-inf"))
        rows = one.best.rows.get("validation", 0)
        if at is not None and np.isfinite(made.estimates[at].validation):
            seen, rows = made.estimates[at].validation, made.estimates[at].validation_rows
        return at is None, -careful(seen, rows, score), flops_of(one.best), one.record.id

    return min(exit_trials(run), key=order, default=None)


def title(trial: ExitTrial) -> str:
    """Return the trial in words."""
    procedure, model, labels = trial.cell
    return f"{model}, {procedure}, {labels:,} labels"


def exit_outputs(run: Run, trial: ExitTrial, split: str) -> ExitOutputsBySeed | None:
    """Return every exit's logits on a split: of the confirming draws, else of the search's trial.

    None where the Store has neither.
    """
    drawn = confirmation(run).drawn
    _, _, fresh = fresh_draws(run).get(trial.best.point_id, (None, None, {}))
    numbers = [d for d in sorted(fresh) if d in drawn] or sorted(fresh)
    if not numbers:
        return own(run, trial, split)
    try:
        draws = tuple(_read_outputs(run, trial, fresh[d].id, d, split) for d in numbers)
    except MISSING_ARTIFACT:
        return own(run, trial, split)
    return ExitOutputsBySeed(split, draws, True, next(iter(fresh.values())).config.data.folds)


def own(run: Run, trial: ExitTrial, split: str) -> ExitOutputsBySeed | None:
    """Return every exit's logits on a split in the search's own trial; None where not kept."""
    try:
        outputs = _read_outputs(run, trial, trial.record.id, 0, split)
    except MISSING_ARTIFACT:
        return None
    return ExitOutputsBySeed(split, (outputs,), False)


def _read_outputs(run: Run, trial: ExitTrial, trial_id: str, draw: int, split: str) -> ExitOutputs:
    name = f"{trial_id}-{split}"
    if not name.replace("-", "").isalnum():
        raise ValueError(f"'{name}' cannot name an entry of the Store")
    exits, ids, labels = read_exits(RunFolder(run.folder).store / "exits" / name)
    n, k, _ = exits.logits.shape
    whole = n > 0 and {n} == {len(ids), len(labels)} and exits.temperature.shape == (k,)
    if not whole or k != trial.exits:
        raise ValueError(f"the outputs of the exits of trial {trial_id} are not whole")
    order = np.argsort(ids, kind="stable")
    ordered = Exits(np.asarray(exits.logits[order]), exits.temperature)
    return ExitOutputs(draw, ordered, ids[order], labels[order])


def score_of(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], score: str) -> float:
    """Return a score of logits (n, C) against labels (n,).

    >>> score_of(np.eye(2, dtype=np.float32), np.array([0, 0]), scores.DEFAULT)
    0.5
    """
    of = scores.get(score)
    return of.whole([of.parts(logits.astype(np.float64), labels)])


def by_criterion(trial: ExitTrial, criterion: str) -> list[OperatingPoint]:
    """Return the points of a criterion, dear to cheap; the whole model belongs to every one.

    Raises:
        InputError: there is no such criterion.
    """
    if criterion not in CRITERIA:
        raise unknown("criterion", "criterion", str(criterion), CRITERIA)
    points = [p for p in trial.points if p.knobs["criterion"] == criterion or never(p)]
    return sorted(points, key=lambda p: (-flops_of(p), not never(p), p.point_id))


def in_draws(run: Run, point: OperatingPoint) -> list[OperatingPoint]:
    """Return a point of each fresh draw, where the shares and FLOPs of the point are their means.

    Empty where these are still the search's own; see `replicates.average_over_replicates`.
    """
    _, _, fresh = fresh_draws(run).get(point.point_id, (None, None, {}))
    twins = [t for r in fresh.values() if (t := matching_point(r, point)) is not None]
    same = [t for t in twins if len(t.exits) == len(point.exits)]
    return same if len(fresh) >= FEWEST else []


def has_exit_rule(point: OperatingPoint) -> bool:
    """Return whether a point has exits and knobs that set when a text leaves."""
    criterion, threshold = (point.knobs.get(knob) for knob in ("criterion", "threshold"))
    known = threshold == NEVER or isinstance(threshold, int | float)
    return bool(point.exits) and str(criterion) in CRITERIA and known


def never(point: OperatingPoint) -> bool:
    """Return whether no text leaves early."""
    return point.knobs.get("threshold") == NEVER


def threshold_words(point: OperatingPoint) -> str:
    """Return the threshold alone, in words.

    >>> threshold_words(OperatingPoint("p", 1, {"criterion": "confidence", "threshold": 0.85}))
    '0.85'
    """
    value = point.knobs["threshold"]
    return str(value) if isinstance(value, str) else f"{value:g}"


def shares_words(names: Sequence[str], shares: Sequence[float]) -> str:
    """Return where texts leave, in words; exits at which no text leaves are left out.

    >>> shares_words(["layer 1", "layer 2", "layer 3"], [0.25, 0.0, 0.75])
    'layer 1: 25 %, layer 3: 75 %'
    """
    both = zip(names, shares, strict=True)
    return ", ".join(f"{name}: {100 * share:.0f} %" for name, share in both if share > 0)


def first_layers(model: str) -> Mapping[str, int]:
    """Return k by name of models that are the first k layers of the same checkpoint; itself too."""
    known = ladder()
    if model not in known:
        return {}

    def source(rung: ModelSize) -> tuple[str, str, str]:
        return rung.family, rung.source, rung.folder

    same = [r for r in known.values() if source(r) == source(known[model])]
    return {r.name: r.layers for r in same if r.layers <= known[model].layers}
