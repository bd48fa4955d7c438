"""One line for each write: who did what, when, and what came of it. Only ever appended to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


class Audit:
    """The file of these lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, owner: str, token: str, verb: str, path: str, status: int) -> None:
        """Append one line; a single `write`, so that lines of several processes stay whole."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "owner": owner,
            "token": token,
            "verb": verb,
            "what": path[:200],
            "status": status,
        }
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, (json.dumps(line) + "\n").encode())
            os.fsync(handle)
        finally:
            os.close(handle)
