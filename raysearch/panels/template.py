"""Templates among the assets, and files that are written whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

ANSWERING = ("read.js", "answer.js", "words.js", "facts.js", "sentences.js")
"""The scripts that give the page its answer and its sentences: they never touch the page itself."""
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def asset(name: str) -> str:
    """Return the text of a file among the assets."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def filled(template: str, slots: Mapping[str, str]) -> bytes:
    """Fill the slots of a template; what users wrote must come escaped."""
    return _SLOT.sub(lambda m: slots[m[1]], asset(template)).encode()


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; OSError where the disk refuses."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
