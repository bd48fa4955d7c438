"""A chosen point, or a whole study, as files that work without us: one file a format.

A format is a module here that holds `FORMAT`, its description; it is found by its file name.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from raysearch.errors import unknown

if TYPE_CHECKING:
    from raysearch.export.model import Format

__all__ = ["get", "names"]


def names() -> list[str]:
    """Return the names of all formats, sorted; loads every module of the folder."""
    return sorted(m for m in _modules() if _format(m) is not None)


def get(name: str) -> Format:
    """Return the format of that name; InputError with the nearest name otherwise."""
    known = _format(name) if name in _modules() else None
    if known is None:
        raise unknown("export", "format", name, names())
    return known


def _modules() -> list[str]:
    return [m.name for m in pkgutil.iter_modules(__path__)]


def _format(name: str) -> Format | None:
    return getattr(importlib.import_module(f"{__name__}.{name}"), "FORMAT", None)
