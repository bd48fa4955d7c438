"""Logits in the Store: their own, or those that follow from stored raw outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.errors import InputError
from raysearch.outputs.point_kinds import kinds, raw_kinds
from raysearch.outputs.points import RawOutputs


def write_logits(
    folder: Path, logits: NDArray[np.float32], ids: NDArray[np.int64], labels: NDArray[Any]
) -> None:
    """Write logits (n, C), row numbers (n,) and labels (n,) for `read_logits`."""
    np.save(folder / "logits.npy", logits)
    np.save(folder / "ids.npy", ids)
    np.save(folder / "labels.npy", labels)


def write_raw(folder: Path, raw: RawOutputs, ids: NDArray[np.int64], labels: NDArray[Any]) -> None:
    """Write raw outputs, row numbers (n,) and labels (n,) for the reader of their kind."""
    raw.write(folder)
    np.save(folder / "ids.npy", ids)
    np.save(folder / "labels.npy", labels)


def read_logits(entry: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return logits (n, C), row numbers (n,) and labels (n,) of an entry of kind `logits`.

    An entry that holds no logits names raw outputs by their kind, and the point's knobs.

    Raises:
        OSError: the entry is not there.
        ValueError: it is not whole.
    """
    facts = json.loads((entry / "manifest.json").read_text(encoding="utf-8"))
    for name in raw_kinds():
        if name not in facts:
            continue
        raw, ids, labels = kinds()[name].read(raw_entry(entry.parent.parent, name, facts[name]))
        try:
            return raw.derive(facts["knobs"]), ids, labels
        except (KeyError, TypeError, InputError) as e:
            raise ValueError(f"{entry.name}: no knobs of {name}: {e}") from e
    return _load(entry, "logits"), _load(entry, "ids"), _load(entry, "labels")


def raw_entry(store: Path, kind: str, name: str) -> Path:
    """Return the folder of raw outputs in a Store; ValueError for a name that cannot be one."""
    if not str(name).replace("-", "").isalnum():
        raise ValueError(f"'{name}' cannot name an entry of the Store")
    return store / kind / str(name)


def _load(entry: Path, name: str) -> NDArray[Any]:
    return np.asarray(np.load(entry / f"{name}.npy", allow_pickle=False))
