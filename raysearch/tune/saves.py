"""Where unfinished trials keep their checkpoints: beside the records, or on shared storage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raysearch.engine.remote import Remote, below
from raysearch.engine.store import Store, copy_of

CHECKPOINTS = "checkpoints"
"""Of a run on shared storage."""


@dataclass(frozen=True, slots=True)
class Saves:
    """The checkpoints of one study: of each trial the newest, whole or absent."""

    folder: Path
    """On the driver's machine, and on every other where there is no storage."""
    storage: str | None = None
    """The run's place on shared storage."""

    def newest(self, id_: str) -> Path | None:
        """A folder with the latest checkpoint of a trial; its name is its number."""
        store = self._here()
        # backwards: what was listed may have been dropped by the driver meanwhile
        numbers = sorted(store.keys(id_), key=int, reverse=True)
        return next((found for n in numbers if (found := store.entry(id_, n))), None)

    def save(self, id_: str, fill: Callable[[Path], None]) -> None:
        """Write the next checkpoint of a trial, then drop those before."""
        store = self._here()
        before = sorted(store.keys(id_), key=int)
        store.build(id_, f"{int(before[-1]) + 1 if before else 0:06d}", fill)
        for number in before:
            store.drop(id_, number)

    def drop(self, id_: str) -> None:
        """Forget a trial's checkpoints; for the driver."""
        behind = None if self.storage is None else self._behind()
        Store(self.folder, behind).drop_all(id_)

    def _here(self) -> Store:
        """This machine's side of it."""
        if self.storage is None:
            return Store(self.folder)
        return copy_of(below(self.storage, CHECKPOINTS))

    def _behind(self) -> Remote:
        assert self.storage is not None
        return Remote(below(self.storage, CHECKPOINTS), patience=IMPATIENT)


IMPATIENT = 5.0
"""How long the driver waits for a storage where it only tidies up [s]."""
