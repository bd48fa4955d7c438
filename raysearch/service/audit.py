"""Two lines for each write: who began what, when, and what came of it. Only ever appended to."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGINS = "begins"
"""Stands where the second line has the answer's status."""
AWAY_SECONDS = 60.0
"""Those who are turned away are counted, a line for so long [s]: nobody fills a disk from outside.
"""


class Audit:
    """The file of these lines; its methods wait for the disk."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path, self._now = path, now
        self._lock = threading.Lock()
        self._away, self._last = 0, float("-inf")

    def write(self, owner: str, token: str, verb: str, path: str, status: int | str) -> None:
        """Append one line; OSError where that cannot be."""
        self._append(owner=owner, token=token, verb=verb, what=path[:200], status=status)

    def turned_away(self) -> None:
        """Count a write that came from nobody known."""
        with self._lock:
            self._away += 1
            if self._now() - self._last < AWAY_SECONDS:
                return
            self._last, many, self._away = self._now(), self._away, 0
        self._append(owner="", token="", verb="", what=f"{many} requests", status="turned away")

    def _append(self, **line: Any) -> None:
        """A single `write`, so that lines of several processes stay whole."""
        stamp = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, (json.dumps({**stamp, **line}) + "\n").encode())
            os.fsync(handle)
        finally:
            os.close(handle)
