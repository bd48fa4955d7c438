"""A run's records on shared storage: immutable segments, each what was new since the last."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from raysearch.errors import InputError, RecordError
from raysearch.run.folder import LOG, NODES, STUDY, SUGGESTIONS, RunFolder
from raysearch.storage.remote import Remote, StorageLost
from raysearch.storage.trial_checkpoints import IMPATIENT

SEGMENTS = "records"
DRIVER = "driver"
"""Whose turn it is to write."""
BESIDE = (STUDY, SUGGESTIONS, NODES, LOG)
"""Files that go along whole: the study as it runs, what was proposed, node-hours, what happened."""
EVERY = 10.0
"""At least between two segments while a study runs [s]."""


class LostOwnership(RecordError):
    """Another driver has claimed the run."""


class Mirror:
    """Copies a run's folder to its place on a storage, and back to a machine that lacks it.

    The driver's folder is authoritative: segments only repeat what is in it. The driver that
    claimed the run last may write; an earlier one that was cut off finds that out before it writes.
    """

    def __init__(self, run: str, folder: RunFolder) -> None:
        self._run, self._folder = run, folder
        self._me = uuid.uuid4().hex
        self._at = 0
        """Bytes of the records that lie there."""
        self._next = 1
        self._last = time.monotonic()

    def meet(self, *, adopt: bool = True) -> bool:
        """Compare both sides and copy what is missing here; return True if anything was missing.

        Args:
            adopt: False: what this side lacks is an error.

        Raises:
            InputError: another run lies there under this name.
            StorageLost: the storage does not answer.
        """
        remote = Remote(self._run)
        names = remote.files(SEGMENTS)
        stored = b"".join(remote.read(f"{SEGMENTS}/{name}") or b"" for name in names)
        path = self._folder.records
        local = path.read_bytes() if path.exists() else b""
        local = local[: local.rfind(b"\n") + 1]
        if not (local.startswith(stored) or stored.startswith(local)):
            raise InputError(
                f"storage '{self._run}': holds another run than {self._folder.root}; "
                "give another --out, whose last part names the run there"
            )
        self._at, self._next = len(stored), len(names) + 1
        if len(stored) <= len(local):
            return False
        if not adopt:
            raise InputError(f"storage '{self._run}': somebody has gone on with it; run it again")
        self._folder.root.mkdir(parents=True, exist_ok=True)
        for name in BESIDE:
            if (data := remote.read(name)) is not None:
                (self._folder.root / name).write_bytes(data)
        path.write_bytes(stored)
        return True

    def claim(self) -> None:
        """Claim the run for this driver: an earlier one may no longer write."""
        Remote(self._run).write(DRIVER, self._me.encode())

    def soon(self) -> str:
        """Push if the last push is long enough ago; return a sentence if that failed.

        Raises:
            LostOwnership: another driver has claimed the run.
        """
        if time.monotonic() - self._last < EVERY:
            return ""
        try:
            self.push(patience=0.0)
        except StorageLost as e:
            return f"records not mirrored now: {e}"
        finally:
            self._last = time.monotonic()
        return ""

    def push(self, *, patience: float = IMPATIENT) -> None:
        """Upload everything that is new in the folder.

        Raises:
            LostOwnership: another driver has claimed the run.
            StorageLost: the storage does not answer.
        """
        remote = Remote(self._run, patience=patience)
        if remote.read(DRIVER) != self._me.encode():
            raise LostOwnership(f"storage '{self._run}': another driver has taken this run up")
        for name in BESIDE:
            path = self._folder.root / name
            if path.exists():
                remote.write(name, path.read_bytes())
        new = _from(self._folder.records, self._at)
        if new:
            remote.write(f"{SEGMENTS}/{self._next:06d}-{self._me[:8]}.jsonl", new)
            self._at, self._next = self._at + len(new), self._next + 1


def _from(path: Path, at: int) -> bytes:
    """Return whole lines from a byte offset on."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(at)
        data = file.read()
    return data[: data.rfind(b"\n") + 1]
