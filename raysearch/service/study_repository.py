"""Studies and their states in the database; each study's files are in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any

from raysearch.config.names import NAME
from raysearch.errors import RecordError
from raysearch.run.folder import STUDY
from raysearch.service.database import Database
from raysearch.service.errors import NotFound
from raysearch.service.paths import Paths
from raysearch.service.study_state import ENDED, Kind, Spec, State, run_in

SPEC = tuple(f.name for f in fields(Spec))
STATE = tuple(f.name for f in fields(State))
JSON = frozenset({"arguments", "datasets", "quote", "words"})
"""Columns that hold JSON."""
LAST = "x.number = (SELECT max(number) FROM states WHERE study = x.study)"


class StudyRepository:
    """All studies of a service. Every change is one transaction, whichever process makes it."""

    def __init__(
        self, database: Database, paths: Paths, now: Callable[[], float] = time.time
    ) -> None:
        self._database, self._paths, self._now = database, paths, now

    def atomically(self) -> AbstractContextManager[sqlite3.Connection]:
        """Return a transaction: what is read in it is as it was when it is acted upon."""
        return self._database.transaction()

    def all(self) -> list[tuple[Spec, State]]:
        """Return every study with its state, the oldest first."""
        columns = ", ".join([f"s.{c}" for c in SPEC] + [f"x.{c}" for c in STATE])
        with self._database.snapshot() as db:
            rows = db.execute(
                f"SELECT {columns} FROM studies s JOIN states x ON x.study = s.id "
                f"WHERE {LAST} ORDER BY s.created, s.id"
            )
            return [
                (Spec(*_read(SPEC, row[: len(SPEC)])), State(*_read(STATE, row[len(SPEC) :])))
                for row in map(tuple, rows)
            ]

    def ids(self) -> list[str]:
        """Return every study's id, the oldest first."""
        with self._database.snapshot() as db:
            return [r["id"] for r in db.execute("SELECT id FROM studies ORDER BY created, id")]

    def folder(self, id: str) -> Path:
        """Return the folder of a study's files; NotFound when there is none."""
        with self._database.snapshot() as db:
            row = db.execute("SELECT 1 FROM studies WHERE id = ?", (id,)).fetchone()
        if row is None or not NAME.match(id):
            raise _none(id)
        return self._paths.studies / id

    def run(self, id: str) -> Path:
        """Return the run's folder: the command line's --out.

        On a storage a run is under its folder's name, so that it is called as the study is.
        """
        return run_in(self.folder(id))

    def spec(self, id: str) -> Spec:
        """Return what a study is; NotFound when there is none."""
        with self._database.snapshot() as db:
            row = db.execute(
                f"SELECT {', '.join(SPEC)} FROM studies WHERE id = ?", (id,)
            ).fetchone()
        if row is None:
            raise _none(id)
        return Spec(*_read(SPEC, tuple(row)))

    def by_key(self, owner: str, key: str) -> Spec | None:
        """Return the study that an owner's program made under this key."""
        with self._database.snapshot() as db:
            row = db.execute(
                f"SELECT {', '.join(SPEC)} FROM studies WHERE owner = ? AND key = ? AND key <> ''",
                (owner, key),
            ).fetchone()
        return None if row is None else Spec(*_read(SPEC, tuple(row)))

    def count(self, owner: str) -> int:
        """Return how many studies an owner keeps."""
        with self._database.snapshot() as db:
            rows = db.execute("SELECT count(*) FROM studies WHERE owner = ?", (owner,))
            return int(rows.fetchone()[0])

    def state(self, id: str) -> State:
        """Return a study's state; NotFound when there is none."""
        return self.states(id, last=True)[0]

    def states(self, id: str, *, last: bool = False) -> list[State]:
        """Return a study's states, the oldest first, or its last state alone."""
        only = f"AND {LAST}" if last else ""
        with self._database.snapshot() as db:
            rows = db.execute(
                f"SELECT {', '.join(STATE)} FROM states x WHERE study = ? {only} ORDER BY number",
                (id,),
            ).fetchall()
        if not rows:
            raise _none(id)
        return [State(*_read(STATE, tuple(row))) for row in rows]

    def last_starts(self) -> dict[str, float]:
        """Return when each owner's last study was started [s since 1970]; 0 for none."""
        with self._database.snapshot() as db:
            rows = db.execute(
                "SELECT s.owner, max(iif(x.state = 'starting', x.time, 0)) FROM studies s "
                "JOIN states x ON x.study = s.id GROUP BY s.owner"
            )
            return {owner: float(at) for owner, at in rows}

    def datasets_in_use(self) -> set[tuple[str, str]]:
        """Return (owner, id) of the data sets of studies that run or wait."""
        ended = ", ".join(f"'{s}'" for s in sorted(ENDED))
        with self._database.snapshot() as db:
            rows = db.execute(
                "SELECT DISTINCT s.owner, d.value FROM studies s JOIN states x ON x.study = s.id, "
                f"json_each(s.datasets) d WHERE {LAST} AND x.state NOT IN ({ended})"
            )
            return {(owner, dataset) for owner, dataset in rows}

    def create(self, spec: Spec, draft: Path, admit: Callable[[], None] = lambda: None) -> Spec:
        """Enter a study that waits, and return it.

        Args:
            spec: what it is.
            draft: the folder prepared for it, which takes its name.
            admit: called in the same transaction; raises where the study may not come in.

        Raises:
            RecordError: it cannot be written.
        """
        final, placed = self._paths.study(spec.id), False
        try:
            with self._database.transaction() as db:
                known = self.by_key(spec.owner, spec.key)
                if known is not None:
                    return known
                admit()
                insert(db, spec, [State(self._now(), "queued")])
                os.rename(draft, final)
                placed = True
        except OSError as e:
            raise RecordError(f"study '{spec.id}' cannot be written: {e.strerror}") from e
        except BaseException:
            if placed:  # the commit has failed
                os.rename(final, draft)
            raise
        return spec

    def transition(
        self, id: str, state: Kind, *, expected: Sequence[Kind] = (), **change: Any
    ) -> State | None:
        """Write the next state; what `change` does not name stays as it was.

        Args:
            id: of the study.
            state: the state it goes to.
            expected: the states it may come from; empty: any.
            change: further fields of the new state; `why` is empty unless it is given.

        Returns:
            The new state; None where the study is in no expected state.

        Raises:
            NotFound: there is no such study.
        """
        change.setdefault("why", "")
        with self._database.transaction() as db:
            before = self.state(id)
            if expected and before.state not in expected:
                return None
            new = replace(before, time=self._now(), state=state, **change)
            _append(db, id, new)
            return new

    def delete(self, id: str, admit: Callable[[State], None] = lambda state: None) -> None:
        """Remove a study and its files.

        Args:
            id: of the study.
            admit: called in the same transaction; raises where the study must stay.
        """
        folder = self.folder(id)
        gone = folder.with_name(f".{id}.{uuid.uuid4().hex[:8]}")
        try:
            with self._database.transaction() as db:
                admit(self.state(id))
                db.execute("DELETE FROM studies WHERE id = ?", (id,))
                with suppress(FileNotFoundError):
                    os.rename(folder, gone)
        except BaseException:
            if gone.exists():  # the commit has failed
                os.rename(gone, folder)
            raise
        shutil.rmtree(gone, ignore_errors=True)

    def clear(self) -> None:
        """Remove what a crash left: half a submission, half a deletion. Nothing else may run."""
        for draft in self._paths.studies.glob(".*"):
            id_ = draft.name[1:].partition(".")[0]
            if draft.name.count(".") == 2 and not (self._paths.studies / id_).exists():
                with self._database.transaction() as db:  # its name had gone already
                    db.execute("DELETE FROM studies WHERE id = ?", (id_,))
            shutil.rmtree(draft, ignore_errors=True)
        known = set(self.ids())
        for folder in self._paths.studies.iterdir():
            if folder.name in known or not folder.is_dir():
                continue
            if {p.name for p in folder.iterdir()} <= {STUDY}:
                shutil.rmtree(folder, ignore_errors=True)  # its submission was never answered


def insert(db: sqlite3.Connection, spec: Spec, states: Collection[State]) -> None:
    """Write a study with its states; sqlite3.IntegrityError where its id or key is taken."""
    marks = ", ".join("?" * len(SPEC))
    db.execute(
        f"INSERT INTO studies ({', '.join(SPEC)}) VALUES ({marks})", _written(SPEC, astuple(spec))
    )
    for state in states:
        _append(db, spec.id, state)


def _append(db: sqlite3.Connection, id_: str, state: State) -> None:
    marks = ", ".join("?" * len(STATE))
    db.execute(
        f"INSERT INTO states (study, number, {', '.join(STATE)}) VALUES "
        f"(?, (SELECT coalesce(max(number), -1) + 1 FROM states WHERE study = ?), {marks})",
        (id_, id_, *_written(STATE, astuple(state))),
    )


def _written(names: tuple[str, ...], values: tuple[Any, ...]) -> list[Any]:
    return [json.dumps(v) if n in JSON else v for n, v in zip(names, values, strict=True)]


def _read(names: tuple[str, ...], values: tuple[Any, ...]) -> list[Any]:
    return [json.loads(v) if n in JSON else v for n, v in zip(names, values, strict=True)]


def _none(id_: str) -> NotFound:
    return NotFound(f"no study '{id_[:80]}'")
