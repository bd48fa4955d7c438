"""Rules by which a text exits a model of several exits: pure functions on the exits' logits.

A text exits at the first exit whose signal reaches the threshold; the last exit always predicts.
The signal is one of `CRITERIA`, larger where the model is surer, and is computed from calibrated
logits: each exit's divided by its own temperature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from raysearch.errors import InputError, unknown
from raysearch.outputs.calibration import softmax

CRITERIA = {
    "confidence": "the largest probability",
    "entropy": "1 - entropy / log(classes)",
    "patience": "exits in a row that agree with the one before",
}
"""Signals by which a text may exit, by name; arXiv:2004.07453 section 3, arXiv:2004.12993
section 3.3 (its entropy turned round and scaled to 0..1), arXiv:2006.04152 section 3."""

NEVER = "never"
"""The threshold that nothing reaches: every text takes all layers."""

STEP = 0.01
"""Operating points whose expected FLOPs differ by less than this share of the whole model's are
one point."""


@dataclass(frozen=True, slots=True, eq=False)
class Exits:
    """Outputs of every exit for some rows."""

    kind: ClassVar[str] = "exits"
    logits: NDArray[np.float32]
    """(n, K, C), as the heads give them."""
    temperature: NDArray[np.float64]
    """(K,): of each exit, fitted on rows of its own."""

    def finite(self) -> bool:
        """Return whether every number is finite."""
        return bool(np.isfinite(self.logits).all())

    def derive(self, knobs: Mapping[str, Any]) -> NDArray[np.float32]:
        """Return calibrated logits (n, C) of the exit that each text leaves at."""
        return answers(self, knobs)

    def shares(self, knobs: Mapping[str, Any]) -> list[float]:
        """Return the share of texts that leave at each exit."""
        return shares(exits_for(self, knobs), self.logits.shape[1])

    def write(self, folder: Path) -> None:
        """Write the arrays for `raysearch.outputs.point_kinds.exits.read`."""
        np.save(folder / "exits.npy", self.logits)
        np.save(folder / "temperature.npy", self.temperature)

    @property
    def calibrated(self) -> NDArray[np.float32]:
        """Return logits over temperatures (n, K, C)."""
        return np.asarray(self.logits / self.temperature[:, None], np.float32)


def signal(logits: NDArray[np.float32], criterion: str) -> NDArray[np.float64]:
    """Return how sure each exit is (n, K), of calibrated logits (n, K, C). O(n K C).

    >>> z = np.log(np.array([[[0.9, 0.1], [0.2, 0.8]]], np.float32))
    >>> signal(z, "confidence").round(3).tolist(), signal(z, "patience").tolist()
    ([[0.9, 0.8]], [[0.0, 0.0]])
    >>> signal(np.zeros((1, 1, 4), np.float32), "entropy").tolist()
    [[0.0]]
    """
    n, exits, classes = logits.shape
    if criterion == "patience":
        answer = logits.argmax(axis=2)
        out = np.zeros((n, exits))
        for k in range(1, exits):
            out[:, k] = np.where(answer[:, k] == answer[:, k - 1], out[:, k - 1] + 1, 0)
        return out
    p = softmax(logits.reshape(n * exits, classes)).reshape(n, exits, classes)
    if criterion == "confidence":
        return np.asarray(p.max(axis=2))
    if criterion == "entropy":
        spread = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=2) / math.log(classes)
        return np.asarray(np.clip(1.0 - spread, 0.0, 1.0))
    raise unknown("early exit", "criterion", criterion, CRITERIA)


def exit_index(
    logits: NDArray[np.float32], criterion: str, threshold: float | str
) -> NDArray[np.int64]:
    """Return the exit (n,) of each text, from 0, of calibrated logits (n, K, C).

    By confidence a threshold of at most 1 / C sends every text to the first exit, by any criterion
    one of 0; `never` and infinity send all to the last.

    >>> z = np.log(np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.3, 0.7]]], np.float32))
    >>> exit_index(z, "confidence", 0.85).tolist(), exit_index(z, "confidence", "never").tolist()
    ([0, 1], [1, 1])
    """
    n, exits, _ = logits.shape
    goal = reached(threshold)
    sure = signal(logits, criterion) >= goal
    if always_first(goal, criterion, logits.shape[2]):
        sure[:, 0] = True
    sure[:, exits - 1] = True
    return np.asarray(sure.argmax(axis=1), np.int64)


def reached(threshold: float | str) -> float:
    """Return the threshold as a number, infinity for `never`."""
    return math.inf if threshold == NEVER else float(threshold)


def always_first(goal: float, criterion: str, classes: int) -> bool:
    """Return True if every text exits at the first exit, even where all classes tie."""
    return goal <= (1.0 / classes if criterion == "confidence" else 0.0)


def exits_for(exits: Exits, knobs: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return the exit (n,) of each text by a point's knobs."""
    return exit_index(exits.calibrated, knobs["criterion"], knobs["threshold"])


def answers(exits: Exits, knobs: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return calibrated logits (n, C) of each text's exit."""
    at = exits_for(exits, knobs)
    return np.asarray(exits.calibrated[np.arange(len(at)), at])


def shares(at: NDArray[np.int64], exits: int) -> list[float]:
    """Return the share of texts that exit at each exit; sums to 1.

    >>> shares(np.array([0, 2, 2, 1]), 3)
    [0.25, 0.25, 0.5]
    """
    out: list[float] = (np.bincount(at, minlength=exits) / max(1, len(at))).tolist()
    return out


def grid(classes: int, exits: int) -> list[dict[str, float | str]]:
    """Return the knob sets to try: the whole model first, then each criterion from slow to fast.

    Probabilities are evenly spaced up to 10/12 of the way from a guess to certainty, and evenly in
    their logarithmic distance to it beyond: calibrated or not, some of them fall where texts
    differ.

    >>> [k["threshold"] for k in grid(2, 3) if k["criterion"] == "patience"]
    [1]
    >>> len(grid(2, 6))
    39
    """
    near = [1 - 10 ** (-j / 4) for j in range(5, 17)]
    scale = [k / 12 for k in range(1, 11)] + near
    floor = 1.0 / classes
    sure = [floor + (1 - floor) * s for s in scale]
    out: list[dict[str, float | str]] = [{"criterion": "confidence", "threshold": NEVER}]
    out += [{"criterion": "confidence", "threshold": round(s, 5)} for s in reversed(sure)]
    out += [{"criterion": "confidence", "threshold": 0.0}]
    out += [{"criterion": "entropy", "threshold": round(s, 5)} for s in reversed(scale[::2])]
    out += [{"criterion": "patience", "threshold": k} for k in range(exits - 2, 0, -1)]
    return out


def prune_close_points(flops: Sequence[float], criteria: Sequence[str], whole: float) -> list[int]:
    """Return positions to keep: of points of one criterion that cost about the same the first.

    Args:
        flops: expected FLOPs a text, in the order of `grid`.
        criteria: of each point.
        whole: FLOPs of the whole model.

    >>> prune_close_points([10.0, 9.99, 8.0, 2.0, 2.0], ["a"] * 5, 10.0)
    [0, 2, 3]
    """
    kept: list[int] = []
    for i, (cost, criterion) in enumerate(zip(flops, criteria, strict=True)):
        near = [j for j in kept if abs(flops[j] - cost) < STEP * whole]
        if not any(criteria[j] == criterion or j == 0 for j in near):
            kept.append(i)
    return kept


def prune_knobs(
    tried: Sequence[Mapping[str, Any]], flops: Sequence[float]
) -> list[Mapping[str, Any]]:
    """Return the knob sets that `prune_close_points` keeps; the first one is the whole model."""
    kept = prune_close_points(flops, [str(knobs["criterion"]) for knobs in tried], flops[0])
    return [tried[i] for i in kept]


def threshold_of(text: str | float, criterion: str = "confidence", exits: int = 0) -> float | str:
    """Read a threshold as a person writes it: a number, `inf` or `never`.

    Args:
        text: what is written.
        criterion: whose threshold.
        exits: how many the model has, where that is known: no more in a row can agree.

    Raises:
        InputError: it is no number, or outside what the criterion can reach.
    """
    name = str(text).strip().lower()
    if criterion not in CRITERIA:
        raise unknown("early exit", "criterion", criterion, CRITERIA)
    if name in (NEVER, "inf", "+inf", "infinity"):
        return NEVER
    most = "from 0 to 1"
    if criterion == "patience":
        most = "a whole number from 0" + (f" to {exits - 1}" if exits else "")
    try:
        value = float(name)
    except ValueError:
        value = math.nan
    wrong = not math.isfinite(value) or value < 0
    if criterion == "patience":
        wrong = wrong or not value.is_integer() or bool(exits and value >= exits)
    else:
        wrong = wrong or value > 1
    if wrong:
        raise InputError(f"threshold '{text}': must be {most} by {criterion}, or never")
    return int(value) if criterion == "patience" else value


def exits_of(text: str, layers: int) -> tuple[int, ...]:
    """Return the layers with an exit after them, ascending: `all`, `half` or as `2,4`.

    `half` is every second layer counted from the last; of two layers both. The last layer always is
    an exit, named or not.

    >>> exits_of("all", 4), exits_of("half", 6), exits_of("1,2", 6), exits_of("half", 2)
    ((1, 2, 3, 4), (2, 4, 6), (1, 2, 6), (1, 2))

    Raises:
        InputError: no numbers, a layer that is not there, or the last layer alone.
    """
    if text == "all":
        chosen = set(range(1, layers + 1))
    elif text == "half":
        chosen = set(range(layers, 0, -2))
        chosen |= {1} if layers == 2 else set()
    else:
        try:
            chosen = {int(part) for part in str(text).split(",")}
        except ValueError:
            raise InputError(f"exits '{text}': must be all, half, or layers such as 2,4") from None
        for layer in sorted(chosen):
            if not 1 <= layer <= layers:
                raise InputError(
                    f"exits '{text}': layer {layer} is not one of the model's {layers}"
                )
        chosen.add(layers)
    if len(chosen) < 2:
        raise InputError(f"exits '{text}': of {layers} layers that is one exit, two are the fewest")
    return tuple(sorted(chosen))
