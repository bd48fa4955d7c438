"""Stages, found by file name: `stages/x.py` holds `STAGE`, which makes an input for methods.

A stage is described and run like a method, but its product is not logits: it is texts or a
checkpoint. It has no operating points.
"""

from __future__ import annotations

import importlib
import pkgutil

from raysearch import methods
from raysearch.errors import unknown
from raysearch.training.protocol import Method

__all__ = ["find", "get", "names"]


def names() -> list[str]:
    """Return the names of all stages, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def get(name: str) -> Method:
    """Return the stage of that name; InputError with the nearest name otherwise."""
    if name not in names():
        raise unknown("stages", "stage", name, names())
    stage: Method = importlib.import_module(f"{__name__}.{name}").STAGE
    return stage


def find(name: str) -> Method:
    """Return the method or the stage of that name; InputError with the nearest name otherwise."""
    return get(name) if name in names() and name not in methods.names() else methods.get(name)
