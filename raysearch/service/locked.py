"""A small JSON list on disk that several processes change: whole, locked, mode 0600."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raysearch.errors import InputError, RecordError

Entry = dict[str, Any]


class LockedList:
    """A list of entries; what another process wrote is seen at the next `read`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._entries: tuple[Entry, ...] = ()

    def read(self) -> tuple[Entry, ...]:
        """The entries now; InputError where others may read the file, or it is not whole."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return ()
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        if mark == self._seen:
            return self._entries
        if stat.S_IMODE(found.st_mode) & 0o077:
            mode = stat.S_IMODE(found.st_mode)
            raise InputError(f"{self._path}: its mode is {mode:04o}, must be 0600")
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
            self._entries = tuple(dict(e) for e in entries)
        except (OSError, ValueError, TypeError) as e:
            raise InputError(f"{self._path}: cannot be read: {e}") from e
        self._seen = mark
        return self._entries

    def change(self, how: Callable[[Sequence[Entry]], Sequence[Entry]]) -> None:
        """Replace the entries by `how` of them, while no other process does."""
        draft = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex[:8]}")
        try:
            lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                text = json.dumps(list(how(self.read())), indent=1)
                handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as f:
                    f.write(text + "\n")
                    f.flush()
                    os.fsync(f.fileno())
                os.replace(draft, self._path)
            finally:
                os.close(lock)
        except OSError as e:
            raise RecordError(f"{self._path}: cannot be written: {e.strerror}") from e
