"""Open, migrate and change the service's SQLite database, which several processes share.

Writers take turns (`BEGIN IMMEDIATE`, a busy timeout); readers see the last commit and never wait
(write-ahead log). A killed process leaves either the whole of a transaction or nothing.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from raysearch.errors import InputError, RecordError
from raysearch.service.schema import MIGRATIONS

BUSY_SECONDS = 30.0
"""How long a writer waits for another one [s]."""
OLDEST_SQLITE = (3, 38, 0)
"""The first release with strict tables and JSON built in."""


class Database:
    """A database file, closed to other users (mode 0600); made where there is none.

    Args:
        path: the file.

    Raises:
        InputError: others may read the file, it is no database, or a later release made it.
    """

    def __init__(self, path: Path) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            least = ".".join(map(str, OLDEST_SQLITE))
            raise InputError(f"SQLite {sqlite3.sqlite_version}: must be {least} or later")
        self.path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._local = threading.local()
        try:
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            self._migrate()
        except OSError as e:
            raise RecordError(f"{path}: cannot be written: {e.strerror}") from e

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that may write; commit at the end, roll back after an error.

        Inside another transaction of the same thread it is part of that one.

        Raises:
            RecordError: the database cannot be written.
        """
        with self._within("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that reads one state of the database.

        Raises:
            RecordError: the database cannot be read.
        """
        with self._within("BEGIN") as connection:
            yield connection

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _within(self, begin: str) -> Iterator[sqlite3.Connection]:
        outer: tuple[sqlite3.Connection, str] | None = getattr(self._local, "current", None)
        if outer is not None:
            if begin != "BEGIN" and outer[1] == "BEGIN":
                raise RuntimeError("a snapshot cannot become a transaction")
            yield outer[0]
            return
        connection: sqlite3.Connection | None = None
        try:
            connection = self._connection()
            self._local.current = (connection, begin)
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as e:
            if connection is not None:
                connection.close()  # rolls back
            connection = None
            raise RecordError(f"{self.path}: {e}") from e
        except BaseException:
            if connection is not None and connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            self._local.current = None
            if connection is not None:
                self._idle.append(connection)

    def _connection(self) -> sqlite3.Connection:
        with suppress(IndexError):
            return self._idle.pop()
        mode = stat.S_IMODE(self.path.stat().st_mode)
        if mode & 0o077:
            raise InputError(f"{self.path}: its mode is {mode:04o}, must be 0600")
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_SECONDS,
            isolation_level=None,  # this module begins and ends transactions
            check_same_thread=False,  # one thread at a time, whichever has taken it
        )
        connection.row_factory = sqlite3.Row
        try:
            for attempt in Retrying(
                retry=retry_if_exception(is_locked),
                stop=stop_after_delay(BUSY_SECONDS),
                wait=wait_fixed(0.05),
                reraise=True,
            ):
                with attempt:  # two processes that make the file at once
                    connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # what is committed survives a crash
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self) -> None:
        """Bring the schema to this release's version, once."""
        try:
            with self.snapshot() as db:
                version = _version(db)
            if version == len(MIGRATIONS):
                return
            with self.transaction() as db:
                version = _version(db)
                if version > len(MIGRATIONS):
                    raise InputError(
                        f"{self.path}: has schema {version}, this release knows up to "
                        f"{len(MIGRATIONS)}; use the release that made it, or a later one"
                    )
                for statement in (s for m in MIGRATIONS[version:] for s in m):
                    db.execute(statement)
                db.execute("UPDATE schema_version SET version = ?", (len(MIGRATIONS),))
        except RecordError as e:
            raise InputError(str(e)) from e


def is_locked(error: BaseException) -> bool:
    """Return whether another process holds the database at this moment."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _version(db: sqlite3.Connection) -> int:
    known = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone()
    if known is None:
        return 0
    return int(db.execute("SELECT version FROM schema_version").fetchone()[0])
