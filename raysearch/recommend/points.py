"""Columns of a page, and the counts of what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysearch.errors import unknown
from raysearch.score_intervals import Formula

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

TRAIN = "train"
"""The cost axis whose column depends on who pays for a teacher."""
TEACHERS = {"full": "train_flops_full", "shared": "train_flops_shared", "free": "train_flops"}
MS = "ms"
"""Tokenising and labelling one text, measured alone [ms]."""
PARTS_OF_MS = ("latency_ms", "tokenise_ms")
"""Its parts, as objectives."""
FINE = 5
"""Decimals of a difference: beyond what is printed, and what is 0 to them is 0 on the page too."""
OWN = "own"
"""Dollars to own: labels, training and a year of predictions; see `ownership_cost`."""
NOUNS = {
    MS: "time per text",
    OWN: "dollars to own",
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
class Baseline:
    """A system from outside or a zero-shot model: shown beside the choice and never chosen.

    Judged on the same test rows.
    """

    name: str
    test: float
    low: float
    """Ends of the 95 % interval over the rows; NaN where there is none."""
    high: float
    costs: Mapping[str, float]
    """By column as far as they are known; `seconds_text` and `dollars_text` are those of one text
    [s, dollars]."""
    differences: Floats
    """(m, 2): ends of the paired interval of its score minus each confirmed point's; NaN where it
    is compared with none."""
    zero: bool = False
    """A model of the run that used no labels; else it is from outside."""
    gpu: bool = False
    """Whether it runs on a GPU of the run's."""


@dataclass(frozen=True, slots=True)
class MethodOutcome:
    """Counts of a method's or a model's trials, and why some failed or none ran."""

    trials: int = 0
    points: int = 0
    """Operating points of DONE trials."""
    failed: int = 0
    """FAILED and INFEASIBLE trials."""
    error: str = ""
    """The first of their reasons."""
    left_out: str = ""
    """Why the study did not run it at all."""
    zero: int = 0
    """Of the points, those that used no labels."""


@dataclass(frozen=True, slots=True)
class Points:
    """DONE points of the search that are scored on validation and test, in the order of ties.

    Points with confirming draws have the draws' values, not those of the trial that was chosen.
    """

    task: str
    score: str
    formula: Formula | None
    """Of an unconfirmed score's interval; None where it can have none."""
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
    """The score that chooses: of a confirmed point the mean over its fresh draws."""
    test: Floats
    """The score that is shown: of a confirmed point the estimate from its fresh draws."""
    validation_rows: Floats
    test_rows: Floats
    low: Floats
    """Lower end of a confirmed point's 95 % interval; NaN for the others."""
    high: Floats
    draws: Codes
    """Fresh draws behind the point; 0: not confirmed."""
    place: Codes
    """Where a confirmed point stands in `pairwise_differences`; -1 for the others."""
    pairwise_differences: Floats
    """(m, m, 3): difference of two confirmed points and the ends of its paired interval; of scores
    within [-1, 1] to `FINE` decimals, as the page holds it."""
    p_on_frontier: Floats
    """Share of resamples in which a confirmed point is on the frontier of inference FLOPs."""
    seconds_text: Floats
    """Time to label one text in batches, tokenisation included [s]; NaN where not measured."""
    gpu: npt.NDArray[np.bool_]
    """Whether the point was trained and runs on a GPU."""
    prices: Mapping[str, float]
    """The study's cpu_hour, gpu_hour and label [dollars], as far as given."""
    costs: Mapping[str, Floats]
    """By column; NaN where not measured."""
    axes: tuple[Cost, ...]
    """The costs worth an axis, the default one first."""
    teachers: tuple[str, ...]
    """Ways to account for an inherited bill; empty where nothing was inherited."""
    shared_by: int
    """Students that share an inherited bill in the account `shared`."""
    budgets: tuple[int, ...]
    """Steps of the control "labels I have"."""
    outcomes: Mapping[str, MethodOutcome]
    """By method, then by model where every trial of that model failed or none was run."""
    majority: float | None
    unscored: int
    """DONE points without a validation or test score; zero-shot ones have none to lack."""
    begun: int
    """Points whose draws are too few for an interval."""
    lost: int
    """Confirming draws that failed."""
    broken: str
    """Why draws have no interval although they ran; empty otherwise."""
    folds: int
    """Cross-fitting folds behind the confirmed estimates; 0: the task's own test split."""
    run: str
    """The run's folder, for commands."""
    trials: int
    unbilled: int
    """Killed trials, whose cost is unknown."""
    search_flops: float
    rows: tuple[int, ...]
    """Where each point stands in the run's table."""
    ids: tuple[str, ...]
    """Point ids."""
    baselines: tuple[Baseline, ...]
    """Systems from outside, then zero-shot models, cheap inference first."""

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.test)

    @property
    def kind(self) -> str:
        """Return which interval the score can have: the formula's kind, or none."""
        return "none" if self.formula is None else self.formula.kind

    def cost(self, axis: str, teacher: str = "full") -> Floats:
        """Return the column of that axis; InputError with the nearest name when unknown."""
        column = TEACHERS[teacher] if axis == TRAIN else axis
        if column not in self.costs:
            raise unknown("cost axis", "cost", axis, [a.name for a in self.axes])
        return self.costs[column]
