"""Checkpoints of unfinished trials: beside the records, or on shared storage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raysearch.run.folder import CHECKPOINTS
from raysearch.storage.remote import PATIENCE, Remote, below
from raysearch.storage.store import Store, copy_of


@dataclass(frozen=True, slots=True)
class TrialCheckpoints:
    """The checkpoints of one study: of each trial the newest, whole or absent."""

    folder: Path
    """On the driver's machine, and on every other where there is no storage."""
    storage: str | None = None
    """The run's place on shared storage."""

    def newest(self, id_: str) -> Path | None:
        """Return a folder with the latest checkpoint of a trial, named by its number."""
        store = self._here(PATIENCE)
        # backwards: what was listed may have been dropped by the driver meanwhile
        numbers = sorted(store.keys(id_), key=int, reverse=True)
        entry = next((e for n in numbers if (e := store.entry(id_, n))), None)
        return entry or self._older(id_)

    def _older(self, id_: str) -> Path | None:
        """Return a checkpoint of versions that kept no manifest.

        There a folder was whole once it had its number.
        """
        home = self.folder / id_
        known = home.iterdir() if home.is_dir() else ()
        return max((p for p in known if p.name.isdigit()), key=lambda p: p.name, default=None)

    def save(self, id_: str, fill: Callable[[Path], None]) -> None:
        """Write the next checkpoint of a trial, then drop those before."""
        store = self._here(IMPATIENT)  # without a checkpoint the trial still goes on
        before = sorted(store.keys(id_), key=int)
        store.build(id_, f"{int(before[-1]) + 1 if before else 0:06d}", fill)
        for number in before:
            store.drop(id_, number)
        self.leave(id_)

    def leave(self, id_: str) -> None:
        """Drop this machine's copies of what is on shared storage."""
        if self.storage is not None:
            shutil.rmtree(self._here(IMPATIENT).root / id_, ignore_errors=True)

    def drop(self, id_: str) -> None:
        """Delete a trial's checkpoints; for the driver."""
        behind = None if self.storage is None else self._behind()
        Store(self.folder, behind).drop_all(id_)

    def _here(self, patience: float) -> Store:
        """Return this machine's Store of checkpoints."""
        if self.storage is None:
            return Store(self.folder)
        return copy_of(below(self.storage, CHECKPOINTS), patience=patience)

    def _behind(self) -> Remote:
        assert self.storage is not None
        return Remote(below(self.storage, CHECKPOINTS), patience=IMPATIENT)


IMPATIENT = 5.0
"""How long a storage is waited for where the study can go on without it [s]."""
