"""A run's records on shared storage: immutable segments, each what was new since the last."""

from __future__ import annotations

import time
from pathlib import Path

from raysearch.engine.remote import Remote, StorageLost
from raysearch.errors import InputError
from raysearch.plan.asrun import FILE
from raysearch.tune.folder import Folder
from raysearch.tune.saves import IMPATIENT

SEGMENTS = "records"
BESIDE = (FILE, "suggestions.jsonl")
"""Files that go along whole: the study as it runs, and what was proposed."""
EVERY = 10.0
"""At least between two segments while a study runs [s]."""


class Mirror:
    """Carries a run's folder to its place on a storage, and back to a machine that lacks it.

    The driver's folder stays the one truth: segments only ever repeat what stands in it.
    """

    def __init__(self, run: str, folder: Folder) -> None:
        self._run, self._folder = run, folder
        self._at = 0
        """Bytes of the records that lie there."""
        self._next = 1
        self._last = time.monotonic()

    def meet(self) -> bool:
        """Compare both sides, and take over what this side lacks; whether it lacked something.

        Raises:
            InputError: another run lies there under this name.
            StorageLost: the storage does not answer.
        """
        remote = Remote(self._run)
        names = remote.files(SEGMENTS)
        there = b"".join(remote.read(f"{SEGMENTS}/{name}") or b"" for name in names)
        path = self._folder.records
        here = path.read_bytes() if path.exists() else b""
        here = here[: here.rfind(b"\n") + 1]
        if not (here.startswith(there) or there.startswith(here)):
            raise InputError(
                f"storage '{self._run}': holds another run than {self._folder.root}; "
                "give another --out, whose last part names the run there"
            )
        self._at, self._next = len(there), len(names) + 1
        if len(there) <= len(here):
            return False
        self._folder.root.mkdir(parents=True, exist_ok=True)
        for name in BESIDE:
            if (data := remote.read(name)) is not None:
                (self._folder.root / name).write_bytes(data)
        path.write_bytes(there)
        return True

    def soon(self) -> str:
        """Push where the last time is long enough ago; a sentence where that was in vain."""
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
        """Have everything there that stands here.

        Raises:
            StorageLost: the storage does not answer.
        """
        remote = Remote(self._run, patience=patience)
        for name in BESIDE:
            path = self._folder.root / name
            if path.exists():
                remote.write(name, path.read_bytes())
        new = _from(self._folder.records, self._at)
        if new:
            remote.write(f"{SEGMENTS}/{self._next:06d}.jsonl", new)
            self._at, self._next = self._at + len(new), self._next + 1


def _from(path: Path, at: int) -> bytes:
    """Whole lines from a byte on."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(at)
        data = file.read()
    return data[: data.rfind(b"\n") + 1]
