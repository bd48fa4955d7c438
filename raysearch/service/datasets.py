"""Data sets that people upload: named by their content, an owner's alone, gone when they expire."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from raysearch.errors import InputError, RecordError
from raysearch.service.home import Home, checked, slug

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
ID_LENGTH = 32
"""Hex digits of the content's sha256 that name it."""
DAYS = 30.0
MOST_DAYS = 366.0
UNDER_WAY = 4
"""Files that an owner uploads at once."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One uploaded file."""

    id: str
    """The first 32 hex digits of the sha256 of its bytes."""
    owner: str
    file: str
    """What it is called here: the given name's letters and digits, and its ending."""
    bytes: int
    created: float
    expires: float
    """Seconds since 1970, as `created`."""


class Missing(InputError):
    """There is no such thing, or it is somebody else's."""


class Crowded(InputError):
    """Too many at once; later there is room."""


class Datasets:
    """The data sets of a root folder."""

    def __init__(
        self, home: Home, most_bytes: int, most: int, now: Callable[[], float] = time.time
    ) -> None:
        self._home, self.most_bytes, self._most, self._now = home, most_bytes, most, now
        self._under_way: Counter[str] = Counter()
        self.lock = threading.RLock()
        """Held while it is decided on that a data set goes, or that a study reads it."""

    async def add(
        self, owner: str, name: str, days: float, chunks: AsyncIterator[bytes]
    ) -> Dataset:
        """Take a file in as it comes; the same bytes again only move its expiry.

        Raises:
            InputError: no kind of file that is read here, empty, too many, or no such time.
            Crowded: too many of the owner's come in at once.
        """
        ending = next((k for k in KINDS if name.lower().endswith(k)), None)
        if ending is None:
            raise InputError(f"name: '{name[:80]}' must end in {', '.join(KINDS)}")
        if not 0 < days <= MOST_DAYS:
            raise InputError(f"days: {days:g} given, must be above 0, at most {MOST_DAYS:g}")
        self._count(owner)
        if self._under_way[owner] >= UNDER_WAY:
            raise Crowded(f"{owner} uploads {UNDER_WAY} files already; wait for one to end")
        self._under_way[owner] += 1
        try:
            return await self._take(owner, name, ending, days, chunks)
        except OSError as e:
            raise RecordError(f"{owner}'s data set cannot be written: {e.strerror}") from e
        finally:
            self._under_way[owner] -= 1

    async def _take(
        self, owner: str, name: str, ending: str, days: float, chunks: AsyncIterator[bytes]
    ) -> Dataset:
        folder = self._home.datasets / checked(owner, "owner")
        draft = folder / f".{uuid.uuid4().hex}"
        file = (slug(name[: -len(ending)]) or "data") + ending
        try:
            draft.mkdir(parents=True, mode=0o700)
            size, sha = 0, hashlib.sha256()
            with (draft / file).open("wb") as f:
                async for chunk in chunks:
                    size += len(chunk)
                    sha.update(chunk)
                    f.write(chunk)
                f.flush()
                os.fsync(f.fileno())
            if not size:
                raise InputError("the body is empty, must be the file's bytes")
            id_, now = sha.hexdigest()[:ID_LENGTH], self._now()
            made = Dataset(id_, owner, file, size, now, now + 86400 * days)
            with self.lock:
                return self._put(made, draft)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _put(self, made: Dataset, draft: Path) -> Dataset:
        """Have the draft take its place, or move the expiry of what is there."""
        there = draft.with_name(made.id)
        old = _read(there)
        if old is None or old.expires <= self._now():
            self._count(made.owner)  # others may have come in while this one did
        if old is not None:
            made = replace(made, file=old.file)
        (draft / "dataset.json").write_text(json.dumps(asdict(made)), "utf-8")
        if old is not None:
            os.replace(draft / "dataset.json", there / "dataset.json")
        else:
            self._remove(there)  # half of something
            os.rename(draft, there)
        return made

    def _count(self, owner: str) -> None:
        if len(self.all(owner)) >= self._most:
            raise InputError(f"{owner} has {self._most} data sets already; delete one first")

    def all(self, owner: str) -> list[Dataset]:
        """An owner's data sets that have not expired, the newest first."""
        folder = self._home.datasets / checked(owner, "owner")
        found = [_read(p.parent) for p in folder.glob("[0-9a-f]*/dataset.json")]
        alive = [d for d in found if d is not None and d.expires > self._now()]
        return sorted(alive, key=lambda d: (-d.created, d.id))

    def get(self, owner: str, id: str) -> Dataset:
        """One of an owner's data sets; Missing when there is none."""
        for found in self.all(owner):
            if found.id == id:
                return found
        raise Missing(f"no data set '{id[:80]}' of {owner}")

    def path(self, dataset: Dataset) -> Path:
        """Where its file lies."""
        return self._home.datasets / dataset.owner / dataset.id / dataset.file

    def delete(self, dataset: Dataset) -> None:
        """Remove it."""
        with self.lock:
            self._remove(self.path(dataset).parent)

    def _remove(self, folder: Path) -> None:
        """First its name goes, then its files: it is never there by half."""
        gone = folder.with_name(f".{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):
            os.rename(folder, gone)
        shutil.rmtree(gone, ignore_errors=True)

    def expired(self) -> list[Dataset]:
        """Those of all owners whose time has come."""
        found = [_read(p.parent) for p in self._home.datasets.glob("*/[0-9a-f]*/dataset.json")]
        return [d for d in found if d is not None and d.expires <= self._now()]


def _read(folder: Path) -> Dataset | None:
    try:
        return Dataset(**json.loads((folder / "dataset.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # half a deletion
