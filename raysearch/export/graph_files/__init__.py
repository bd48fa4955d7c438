"""How each kind of graph is written for a fresh process and timed there: one file a kind.

A file holds `write(run, graphs, folder) -> facts`, `read(folder, facts) -> models` and
`times(folder, facts, texts, pairs) -> numbers`; it is found by the name of its kind.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["get"]


def get(kind: str) -> ModuleType:
    """Return the module of a kind of graph."""
    return importlib.import_module(f"{__name__}.{kind}")
