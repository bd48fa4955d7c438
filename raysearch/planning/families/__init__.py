"""Families of models, found by file name: `families/x.py` holds `FAMILY`, the description of x."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from raysearch.config.ladder import ModelSize
from raysearch.planning.family import Family

__all__ = ["family_of", "get", "names"]


def names() -> list[str]:
    """Return the names of all families, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


@cache
def get(name: str) -> Family:
    """Return the family of that name."""
    family: Family = importlib.import_module(f"{__name__}.{name}").FAMILY
    return family


def family_of(rung: ModelSize) -> Family:
    """Return the family of a model."""
    return get(rung.family)
