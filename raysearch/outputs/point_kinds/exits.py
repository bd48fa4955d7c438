"""Points of a model with exits: when texts leave, in words, and what every exit predicts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.outputs.exit_rules import NEVER, Exits
from raysearch.outputs.points import PointWords, with_rest

KNOBS = frozenset({"criterion", "threshold"})


def words(knobs: Mapping[str, Any]) -> PointWords | None:
    """Return when a text leaves, on the curve of its criterion; None for other knobs.

    >>> words({"criterion": "confidence", "threshold": 0.85})
    PointWords(label='leaves at confidence 0.85', curve='confidence')
    >>> words({"criterion": "patience", "threshold": 2}).label
    'leaves after 2 exits that agree'
    """
    if not knobs.keys() >= KNOBS:
        return None
    criterion, threshold = str(knobs["criterion"]), knobs["threshold"]
    own = PointWords(_leaves(criterion, threshold), criterion)
    return with_rest(own, {k: v for k, v in knobs.items() if k not in KNOBS})


def _leaves(criterion: str, threshold: Any) -> str:
    if threshold == NEVER:
        return "never leaves early"
    if not isinstance(threshold, int | float):  # no record of ours: shown as it stands there
        return f"leaves at {criterion} {threshold}"
    if threshold <= 0:
        return "leaves at the first exit"
    if criterion == "patience":
        exits = "1 exit that agrees" if threshold == 1 else f"{threshold:g} exits that agree"
        return f"leaves after {exits}"
    if criterion == "entropy":
        return f"leaves at certainty {threshold:g} by entropy"
    return f"leaves at {criterion} {threshold:g}"


def read(entry: Path) -> tuple[Exits, NDArray[Any], NDArray[Any]]:
    """Return what every exit predicts, row numbers (n,) and labels (n,) of a Store's entry.

    Raises:
        OSError: the entry is not there.
        ValueError: it is not whole.
    """
    stamp = (entry / "manifest.json").stat().st_mtime_ns
    logits, temperature, ids, labels = _loaded(entry, stamp)
    return Exits(logits, temperature), ids, labels


@lru_cache(maxsize=8)
def _loaded(entry: Path, stamp: int) -> tuple[NDArray[Any], ...]:
    names = ("exits", "temperature", "ids", "labels")
    out = tuple(np.asarray(np.load(entry / f"{name}.npy", allow_pickle=False)) for name in names)
    for array in out:
        array.flags.writeable = False
    return out
