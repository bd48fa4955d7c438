"""Kinds of points that need more than their knobs to be read, one file each, found by file name.

A file holds `words(knobs) -> PointWords | None` (None: the knobs are not of this kind) and, where
points derive from raw outputs, `read(entry) -> (RawOutputs, ids, labels)` for the Store's entries
of its name.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

__all__ = ["kinds", "raw_kinds"]


@cache
def kinds() -> dict[str, ModuleType]:
    """Return the modules of this folder by name."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def raw_kinds() -> tuple[str, ...]:
    """Return the kinds whose points derive from raw outputs in the Store."""
    return tuple(name for name, kind in kinds().items() if hasattr(kind, "read"))
