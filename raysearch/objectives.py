"""One function an objective: what it reads off a record and a point, its unit, its direction.

An objective that was not measured is None, never 0, NaN or inf. Sources: papers.md of the project
for the definitions; every caption says that pretraining of public checkpoints is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from raysearch.errors import unknown
from raysearch.ledger import OWN, TRAINING
from raysearch.record import OperatingPoint, TrialRecord, held_gpus


@dataclass(frozen=True, slots=True)
class View:
    """What an objective may read: a trial, one of its points, and the study's prices."""

    record: TrialRecord
    point: OperatingPoint
    shared_by: int = 1
    """How many students share an inherited bill (the study's fixed k)."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """cpu_hour, gpu_hour, label [dollars]; an absent price leaves `dollars` absent."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A named number of a point, with its unit and direction."""

    name: str
    unit: str
    maximise: bool
    tldr: str
    of: Callable[[View], float | None]


OBJECTIVES: dict[str, Objective] = {}
"""Every objective by name; scheduler, table, pages and command line take the names from here."""


def objective(
    unit: str, *, maximise: bool = False
) -> Callable[[Callable[[View], float | None]], Callable[[View], float | None]]:
    """Register the decorated function as the objective of its own name."""

    def register(of: Callable[[View], float | None]) -> Callable[[View], float | None]:
        tldr = (of.__doc__ or "").strip().splitlines()[0]
        OBJECTIVES[of.__name__] = Objective(of.__name__, unit, maximise, tldr, of)
        return of

    return register


def get(name: str) -> Objective:
    """Return the objective of that name; InputError with the nearest name otherwise."""
    if name not in OBJECTIVES:
        raise unknown("objectives", "objective", name, OBJECTIVES)
    return OBJECTIVES[name]


def _training(view: View) -> tuple[int, int] | None:
    """Return (own, inherited) training FLOPs; None where a killed trial left no bill."""
    if not view.record.bill and view.record.status == "FAILED":
        return None
    own = sum(c.flops for c in view.record.bill if c.phase in TRAINING and c.payer == OWN)
    inherited = sum(c.flops for c in view.record.bill if c.phase in TRAINING and c.payer != OWN)
    return own, inherited


@objective("", maximise=True)
def score(view: View) -> float | None:
    """The task's main score on the validation rows of the trial's own budget."""
    return view.point.scores.get("validation", {}).get(view.record.score)


@objective("FLOP")
def train_flops(view: View) -> float | None:
    """FLOPs of the trial's own training, in-trial validation included, test not."""
    spent = _training(view)
    return None if spent is None else float(spent[0])


@objective("FLOP")
def train_flops_full(view: View) -> float | None:
    """Own training FLOPs plus everything inherited: teachers, generators, adaptation."""
    spent = _training(view)
    return None if spent is None else float(sum(spent))


@objective("FLOP")
def train_flops_shared(view: View) -> float | None:
    """Own training FLOPs plus the inherited ones divided by the k students that share them."""
    spent = _training(view)
    return None if spent is None else spent[0] + spent[1] / view.shared_by


@objective("FLOP/text")
def infer_flops(view: View) -> float | None:
    """Expected FLOPs to label one text at the evaluation lengths."""
    return view.point.infer_flops


@objective("parameters")
def params(view: View) -> float | None:
    """Parameters the deployed model holds, embeddings included."""
    return None if view.point.params is None else float(view.point.params)


@objective("parameters")
def params_trained(view: View) -> float | None:
    """Parameters the optimiser moved."""
    return None if view.point.params_trained is None else float(view.point.params_trained)


@objective("bytes")
def bytes(view: View) -> float | None:
    """Stored size of the deployed model."""
    return None if view.point.bytes is None else float(view.point.bytes)


@objective("labels")
def labels(view: View) -> float | None:
    """Distinct labelled examples used: training, selection and calibration, own and inherited."""
    return float(view.record.labels_used)


@objective("texts")
def unlabelled(view: View) -> float | None:
    """Unlabelled texts used."""
    return float(view.record.unlabelled_used)


@objective("texts")
def synthetic(view: View) -> float | None:
    """Generated texts used."""
    return float(view.record.synthetic_used)


@objective("s")
def train_seconds(view: View) -> float | None:
    """Wall-clock seconds of the training phases, own and inherited, beside whatever ran then."""
    seconds = sum(c.seconds for c in view.record.bill if c.phase in TRAINING)
    return seconds or None


@objective("ms")
def latency_ms(view: View) -> float | None:
    """Median time to label one text, tokenisation excluded, measured alone on the device.

    Of a model with exits the mean: the median would be the time of one way through it.
    """
    return view.point.measured.get("latency_ms")


@objective("ms")
def tokenise_ms(view: View) -> float | None:
    """Median time to tokenise or featurise one text, measured alone."""
    return view.point.measured.get("tokenise_ms")


@objective("texts/s", maximise=True)
def throughput(view: View) -> float | None:
    """Texts labelled per second in batches of 32, measured alone on the device."""
    return view.point.measured.get("throughput")


@objective("bytes")
def peak_memory(view: View) -> float | None:
    """Peak resident memory of a fresh process that predicts."""
    return view.point.measured.get("peak_memory")


@objective("$")
def dollars(view: View) -> float | None:
    """Training hours and labels at the study's prices; absent where a price is not given."""
    gpus = held_gpus(view.record)
    device = "gpu_hour" if gpus else "cpu_hour"
    seconds = train_seconds(view)
    if device not in view.prices or "label" not in view.prices or seconds is None:
        return None
    hours = seconds / 3600 * (gpus or 1.0)
    return hours * view.prices[device] + view.record.labels_used * view.prices["label"]
