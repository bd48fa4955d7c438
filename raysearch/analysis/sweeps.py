"""Tables of n-grams that differ in one thing alone: a knob, or their shape at equal parameters."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from raysearch.analysis import Run
from raysearch.analysis.tables import whole
from raysearch.config.trial import Scalar, canonical
from raysearch.record import OperatingPoint, TrialRecord

NEAR = 1.05
"""Models of one size have at most so many times the parameters of the smallest of them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One trial of a sweep."""

    value: Scalar
    """Of the knob; of shapes the rows of the table."""
    record: TrialRecord
    point: OperatingPoint
    """The table as it was trained, neither cut nor rounded."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """At least two values of one thing, everything else the same: labels, teacher, knobs."""

    procedure: str
    budget: int
    steps: tuple[Step, ...]
    """By value, ascending."""

    @property
    def models(self) -> tuple[str, ...]:
        """Return their models, each once."""
        return tuple(dict.fromkeys(s.record.config.rung for s in self.steps))


def over_knob(run: Run, knob: str) -> tuple[Sweep, ...]:
    """Return tables of one model that differ in this knob alone, by procedure and label budget."""

    def step(record: TrialRecord, point: OperatingPoint) -> tuple[Hashable, Scalar] | None:
        if knob not in record.hyper:
            return None
        rest = {k: v for k, v in record.hyper.items() if k != knob}
        return (record.config.rung, canonical(rest)), record.hyper[knob]

    return _sweeps(run, step)


def over_shape(run: Run) -> tuple[Sweep, ...]:
    """Return tables of as many parameters in fewer, wider rows and in more, narrower ones."""
    sizes = _sizes([p.params for _, p in _tables(run) if p.params])

    def step(record: TrialRecord, point: OperatingPoint) -> tuple[Hashable, Scalar] | None:
        if not point.params:
            return None
        return (sizes[point.params], canonical(dict(record.hyper))), int(point.knobs["rows"])

    return _sweeps(run, step)


def _sizes(params: list[int]) -> dict[int, int]:
    """Return the smallest number of parameters that counts as the same size, by number.

    >>> _sizes([1000, 1010, 2000, 990])
    {990: 990, 1000: 990, 1010: 990, 2000: 2000}
    """
    out: dict[int, int] = {}
    least = 0
    for size in sorted(set(params)):
        least = least if least and size <= NEAR * least else size
        out[size] = least
    return out


def _tables(run: Run) -> list[tuple[TrialRecord, OperatingPoint]]:
    search = [r for r in run.records if r.phase != "confirm" and r.status == "DONE"]
    return [(r, p) for r in search if (p := whole(r)) is not None]


def _sweeps(
    run: Run, step: Callable[[TrialRecord, OperatingPoint], tuple[Hashable, Scalar] | None]
) -> tuple[Sweep, ...]:
    """Group trials by the key that `step` returns, and by everything else but their model."""
    sweeps: dict[Hashable, list[Step]] = {}
    for record, point in _tables(run):
        placed = step(record, point)
        if placed is not None:
            key, value = placed
            same = replace(record.config, rung="", hyper={}).id
            sweeps.setdefault((same, key), []).append(Step(value, record, point))
    out = []
    for steps in sweeps.values():
        if len({s.value for s in steps}) > 1:
            steps.sort(key=lambda s: (s.value, s.record.id))
            config = steps[0].record.config
            out.append(Sweep(config.method_chain, config.data.train, tuple(steps)))
    out.sort(key=lambda s: (s.procedure, s.budget, s.steps[0].record.id))
    return tuple(out)
