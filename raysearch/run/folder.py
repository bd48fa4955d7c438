"""A run's folder: the paths of its files, and the lock of the process that works in it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from raysearch.config.space import Proposal
from raysearch.config.trial import canonical
from raysearch.errors import InputError, RecordError
from raysearch.run.records import Records, read_records

RECORDS, SUGGESTIONS, STUDY = "records.jsonl", "suggestions.jsonl", "study.yaml"
"""Names of the files of records, of what was proposed, and of the study as it runs."""
NODES, LOG, DOMAINS = "nodes.json", "log.txt", "domains.json"
"""Names of the files of node-hours, of what happened, and of scores on other runs' tests."""
TABLE, PAGES, REPORT = "records.parquet", "dashboard", "report.html"
"""Names of the table, of the folder of pages, and of a point's page in it."""
STORE, CHECKPOINTS = "store", "checkpoints"
"""Names of the folder of logits, weights and what else is kept by its content, and of the folder of
unfinished trials."""

Mark: TypeAlias = tuple[tuple[int, int], ...]
"""Time [ns] and size [bytes] of the files that a run is read from."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Every path of one run."""

    root: Path

    @property
    def study(self) -> Path:
        """Return the file of the study as it runs, and of what it found when it began."""
        return self.root / STUDY

    @property
    def records(self) -> Path:
        """Return the file of records, the truth: one event a line."""
        return self.root / RECORDS

    @property
    def suggestions(self) -> Path:
        """Return the file of what was proposed, in order."""
        return self.root / SUGGESTIONS

    @property
    def checkpoints(self) -> Path:
        """Return the folder of checkpoints, one folder for each unfinished trial."""
        return self.root / CHECKPOINTS

    @property
    def store(self) -> Path:
        """Return the folder of the Store: logits, weights, bills, systems from outside."""
        return self.root / STORE

    @property
    def log(self) -> Path:
        """Return the file of what happened and when, tracebacks included."""
        return self.root / LOG

    @property
    def nodes(self) -> Path:
        """Return the file of node-hours by machine, as JSON."""
        return self.root / NODES

    @property
    def domains(self) -> Path:
        """Return the file of scores on the tests of other runs, as JSON."""
        return self.root / DOMAINS

    @property
    def table(self) -> Path:
        """Return the file of the table of points; written anew from the records."""
        return self.root / TABLE

    @property
    def pages(self) -> Path:
        """Return the folder of pages; written anew from the records."""
        return self.root / PAGES

    @property
    def report(self) -> Path:
        """Return the page that looks closely at one point."""
        return self.pages / REPORT

    @property
    def optuna(self) -> Path:
        """Return the database that optuna-dashboard opens."""
        return self.root / "optuna.db"

    @property
    def lock(self) -> Path:
        """Return the file that the one driver of the study locks."""
        return self.root / ".lock"

    def read(self) -> Records:
        """Return the records so far; none when the study has not begun."""
        return read_records(self.records) if self.records.exists() else Records(())

    def mark(self) -> Mark:
        """Return what changes when the records or the study do; zeros where a file is absent."""
        stats = []
        for path in (self.records, self.study):
            try:
                stat = path.stat()
                stats.append((stat.st_mtime_ns, stat.st_size))
            except OSError:
                stats.append((0, 0))
        return tuple(stats)


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Lock the folder for this process; InputError when another one runs the study.

    The lock is the kernel's: a killed driver leaves a stale file, never a lock.
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


def running(folder: RunFolder) -> bool:
    """Return whether a driver has locked the folder."""
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
class SuggestionLogEntry:
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
    def from_json(cls, value: Mapping[str, Any]) -> SuggestionLogEntry:
        """Read what `to_json` wrote."""
        proposal = Proposal.from_json(value["proposal"])
        return cls(value["number"], value["id"], proposal, value["source"])


def append_suggestion(folder: RunFolder, entry: SuggestionLogEntry) -> None:
    """Log one suggestion before its trial starts; not fsynced: losing the tail loses no result."""
    line = canonical(entry.to_json()) + "\n"
    try:
        with folder.suggestions.open("a", encoding="utf-8") as f:
            f.write(line)
    except OSError as e:
        raise RecordError(f"{folder.suggestions}: cannot be written: {e.strerror}") from e


def read_suggestions(folder: RunFolder) -> tuple[SuggestionLogEntry, ...]:
    """Return what was proposed so far; a torn line (a full disk, a crash) is left out."""
    if not folder.suggestions.exists():
        return ()
    entries = []
    for line in folder.suggestions.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entries.append(SuggestionLogEntry.from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError):
            continue
    return tuple(entries)
