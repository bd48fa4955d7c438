"""A run's folder: the paths of its files, and the lock of the process that works in it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.config.space import Proposal
from raysearch.config.trial import canonical
from raysearch.errors import InputError, RecordError
from raysearch.run.records import Records, read_records

NODES = "nodes.json"
"""Name of the file of node-hours."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The paths of one study."""

    root: Path

    @property
    def records(self) -> Path:
        """Return the path of the records: one event a line."""
        return self.root / "records.jsonl"

    @property
    def suggestions(self) -> Path:
        """Return the path of the log of proposals, in order."""
        return self.root / "suggestions.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of checkpoints, one for each unfinished trial."""
        return self.root / "checkpoints"

    @property
    def log(self) -> Path:
        """Return the path of the log of events with their times, tracebacks included."""
        return self.root / "log.txt"

    @property
    def nodes(self) -> Path:
        """Return the path of node-hours by machine, as JSON."""
        return self.root / NODES

    @property
    def lock(self) -> Path:
        """Return the path of the lock, held by the one driver that runs the study."""
        return self.root / ".lock"

    def read(self) -> Records:
        """Return the records so far; none when the study has not begun."""
        return read_records(self.records) if self.records.exists() else Records(())


@contextmanager
def held(folder: Folder) -> Iterator[None]:
    """Hold the folder for this process; InputError when another one runs the study.

    The lock is the kernel's: a killed driver leaves a stale file, never a held lock.
    """
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as e:
        raise InputError(f"{folder.root}: cannot be used for a study: {e.strerror}") from e
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise InputError(
                f"{folder.root}: another run of this study is at work (process {holder}); "
                f"wait for it or stop it first"
            ) from e
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def running(folder: Folder) -> bool:
    """Return True if a driver holds the folder now."""
    try:
        handle = os.open(folder.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One line of suggestions.jsonl."""

    number: int
    id: str
    proposal: Proposal
    source: str
    """`first`: a method's first knob set; `sampler`; `chance`; `teacher` of a student that stands
    below it; `queue`: unfinished, taken up again."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "number": self.number,
            "id": self.id,
            "source": self.source,
            "proposal": self.proposal.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Suggestion:
        """Read what `to_json` wrote."""
        proposal = Proposal.from_json(value["proposal"])
        return cls(value["number"], value["id"], proposal, value["source"])


def append_suggestion(folder: Folder, suggestion: Suggestion) -> None:
    """Log one suggestion before its trial starts; not fsynced: losing the tail loses no result."""
    line = canonical(suggestion.to_json()) + "\n"
    try:
        with folder.suggestions.open("a", encoding="utf-8") as f:
            f.write(line)
    except OSError as e:
        raise RecordError(f"{folder.suggestions}: cannot be written: {e.strerror}") from e


def read_suggestions(folder: Folder) -> tuple[Suggestion, ...]:
    """Return the suggestions so far.

    A torn line (a full disk, a crash) is left out.
    """
    if not folder.suggestions.exists():
        return ()
    found = []
    for line in folder.suggestions.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(Suggestion.from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError):
            continue
    return tuple(found)
