"""Locations of the catalogs shipped with the program: in a checkout or inside the wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(folder: str) -> Path:
    """Return the folder `search_spaces` or `dashboards` as installed.

    The wheel carries both inside the package; a checkout has them beside it.
    """
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder
