"""A chosen point, or a whole study, as files that work without us: one file a format."""

from __future__ import annotations

__all__: list[str] = []
