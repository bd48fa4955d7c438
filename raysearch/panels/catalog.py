"""The pictures, found by file name: a file here with `Info`, `info` and `draw` is one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from types import ModuleType

from raysearch.analysis import Run
from raysearch.errors import unknown

RUN = "run"


def pictures() -> dict[str, ModuleType]:
    """Return every picture by its name."""
    package = importlib.import_module("raysearch.panels")
    modules = {}
    for module in pkgutil.iter_modules(package.__path__):
        loaded = importlib.import_module(f"raysearch.panels.{module.name}")
        if all(hasattr(loaded, part) for part in ("Info", "info", "draw")):
            modules[module.name] = loaded
    return modules


def needs() -> dict[str, Callable[[Run], bool]]:
    """Return what of a run a page may need, by name: each picture's own `NEEDS` together."""
    checks: dict[str, Callable[[Run], bool]] = {}
    for module in pictures().values():
        checks |= getattr(module, "NEEDS", {})
    return checks


def picture(name: str, where: str = "panels") -> ModuleType:
    """Return the picture of that name; InputError with the nearest name otherwise."""
    known = pictures()
    if name not in known:
        raise unknown(where, "panel", name, known)
    return known[name]


def check_options(name: str, options: Mapping[str, object], where: str) -> None:
    """Refuse an option that the picture's `info` does not take."""
    taken = [p for p in inspect.signature(picture(name, where).info).parameters if p != RUN]
    for option in options:
        if option not in taken:
            raise unknown(where, f"option of panel '{name}'", option, taken)
