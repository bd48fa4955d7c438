"""Write two lines for each write: owner, action, time and outcome. Only ever appended to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from raysearch.service.database import Database

BEGINS = "begins"
"""Placeholder of the answer's status in the first line."""
AWAY_SECONDS = 60.0
"""Requests without a token are counted, one line for so long [s]: so they cannot fill a disk.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the audit."""

    time: str
    """ISO 8601, in UTC."""
    owner: str
    token: str
    verb: str
    what: str
    status: int | str


class Audit:
    """The lines in the database; its methods wait for the disk."""

    def __init__(self, database: Database, now: Callable[[], float] = time.monotonic) -> None:
        self._database, self._now = database, now
        self._lock = threading.Lock()
        self._away, self._last = 0, float("-inf")

    def write(self, owner: str, token: str, verb: str, path: str, status: int | str) -> None:
        """Append one line; RecordError where that cannot be."""
        self._append(owner, token, verb, path[:200], status)

    def turned_away(self) -> None:
        """Count a write that came without a token that is known."""
        with self._lock:
            self._away += 1
            if self._now() - self._last < AWAY_SECONDS:
                return
            self._last, count, self._away = self._now(), self._away, 0
        self._append("", "", "", f"{count} requests", "turned away")

    def lines(self) -> list[Line]:
        """Return every line, the oldest first."""
        with self._database.snapshot() as db:
            rows = db.execute(
                "SELECT time, owner, token, verb, what, status FROM audit ORDER BY number"
            )
            return [Line(*row) for row in rows]

    def _append(self, *values: int | str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO audit (time, owner, token, verb, what, status) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (stamp, *values),
            )
