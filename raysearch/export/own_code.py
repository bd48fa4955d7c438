"""Code of ours beside a model: its source is copied into the folder, and run from there once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def write_own(module: ModuleType, path: Path) -> None:
    """Write a module's source as a file of an exported folder."""
    assert module.__file__ is not None
    path.write_text(Path(module.__file__).read_text(encoding="utf-8"), encoding="utf-8")


def run_own(path: Path) -> Any:
    """Load the file that `write_own` has just written; never one that was found."""
    made = importlib.util.spec_from_file_location("exported_model", path)
    assert made is not None and made.loader is not None
    module = ModuleType("exported_model")
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        made.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = keep
    return module
