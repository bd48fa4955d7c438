"""Keep data sets that people upload: named by content, an owner's alone, removed when they expire.

The files are in folders; their owners and times are in the database.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from raysearch.config.names import checked
from raysearch.errors import InputError, RecordError
from raysearch.service.database import Database
from raysearch.service.errors import NotFound, TooManyUploads
from raysearch.service.paths import Paths, slug

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


class Datasets:
    """The data sets of a service."""

    def __init__(
        self,
        database: Database,
        paths: Paths,
        most_bytes: int,
        most: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._paths, self._now = database, paths, now
        self.most_bytes, self._most = most_bytes, most
        self._under_way: Counter[str] = Counter()

    def atomically(self) -> AbstractContextManager[sqlite3.Connection]:
        """Return a transaction: whether a data set goes, or a study reads it, is decided in one."""
        return self._database.transaction()

    async def add(
        self, owner: str, name: str, days: float, chunks: AsyncIterator[bytes]
    ) -> Dataset:
        """Take a file in as it comes; the same bytes again only move its expiry.

        Raises:
            InputError: no kind of file that is read here, empty, too many, or no such time.
            TooManyUploads: too many of the owner's come in at once.
        """
        ending = next((k for k in KINDS if name.lower().endswith(k)), None)
        if ending is None:
            raise InputError(f"name: '{name[:80]}' must end in {', '.join(KINDS)}")
        if not 0 < days <= MOST_DAYS:
            raise InputError(f"days: {days:g} given, must be above 0, at most {MOST_DAYS:g}")
        self._count(owner)
        if self._under_way[owner] >= UNDER_WAY:
            raise TooManyUploads(f"{owner} uploads {UNDER_WAY} files already; wait for one to end")
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
        folder = self._paths.datasets / checked(owner, "owner")
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
            return self._put(made, draft)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _put(self, made: Dataset, draft: Path) -> Dataset:
        """Move the draft to its place, or move the expiry of the data set that has the bytes."""
        with self._database.transaction() as db:
            old = self._row(made.owner, made.id)
            if old is None or old.expires <= self._now():
                self._count(made.owner)  # others may have come in while this one did
            if old is not None and self.path(old).is_file():
                made = replace(made, file=old.file)
            else:
                self._remove(self.path(made).parent)  # half of something
                os.rename(draft, self.path(made).parent)
            db.execute(
                "INSERT OR REPLACE INTO datasets (id, owner, file, bytes, created, expires) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                astuple(made),
            )
            return made

    def _count(self, owner: str) -> None:
        if len(self.all(owner)) >= self._most:
            raise InputError(f"{owner} has {self._most} data sets already; delete one first")

    def all(self, owner: str) -> list[Dataset]:
        """Return an owner's data sets that have not expired, the newest first."""
        return self._rows(
            "owner = ? AND expires > ? ORDER BY created DESC, id",
            checked(owner, "owner"),
            self._now(),
        )

    def get(self, owner: str, id: str) -> Dataset:
        """Return one of an owner's data sets; NotFound when there is none."""
        dataset = self._row(checked(owner, "owner"), id)
        if dataset is None or dataset.expires <= self._now():
            raise NotFound(f"no data set '{id[:80]}' of {owner}")
        return dataset

    def _row(self, owner: str, id_: str) -> Dataset | None:
        return next(iter(self._rows("owner = ? AND id = ?", owner, id_)), None)

    def _rows(self, where: str, *values: object) -> list[Dataset]:
        with self._database.snapshot() as db:
            rows = db.execute(
                f"SELECT id, owner, file, bytes, created, expires FROM datasets WHERE {where}",
                values,
            )
            return [Dataset(*row) for row in rows]

    def path(self, dataset: Dataset) -> Path:
        """Return the path of its file."""
        return self._paths.datasets / dataset.owner / dataset.id / dataset.file

    def delete(self, dataset: Dataset) -> None:
        """Remove a data set."""
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM datasets WHERE owner = ? AND id = ?", (dataset.owner, dataset.id)
            )
            self._remove(self.path(dataset).parent)

    def clear(self) -> None:
        """Remove what a crash left: half an upload, half a deletion. Nothing else may run."""
        for draft in self._paths.datasets.glob("*/.*"):
            owner, id_ = draft.parent.name, draft.name[1:].partition(".")[0]
            if draft.name.count(".") == 2 and not (draft.parent / id_).exists():
                with self._database.transaction() as db:  # its name had gone already
                    db.execute("DELETE FROM datasets WHERE owner = ? AND id = ?", (owner, id_))
            shutil.rmtree(draft, ignore_errors=True)

    def _remove(self, folder: Path) -> None:
        """Remove a folder: first its name, then its files."""
        gone = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        with suppress(FileNotFoundError):
            os.rename(folder, gone)
        shutil.rmtree(gone, ignore_errors=True)

    def expired(self) -> list[Dataset]:
        """Return those of all owners whose time has come."""
        return self._rows("expires <= ?", self._now())
