"""Training methods, found by file name: `methods/x.py` holds `METHOD`, the description of x."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from raysearch.errors import unknown
from raysearch.training.protocol import Method

__all__ = ["get", "names"]


def names() -> list[str]:
    """Return the names of all methods, sorted."""
    return list(_names())


@cache
def _names() -> tuple[str, ...]:
    # called for every configuration that is priced: thousands of times before a study
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__)))


def get(name: str) -> Method:
    """Return the method of that name; InputError with the nearest name otherwise."""
    if name not in _names():
        raise unknown("methods", "method", name, names())
    method: Method = importlib.import_module(f"{__name__}.{name}").METHOD
    return method
