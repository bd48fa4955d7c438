"""Read a root of the releases that kept JSON files into the database, once.

What was read is noted in the database by the very transaction that wrote it; then the file gets a
suffix. A crash in between costs nothing: what is noted is not read again.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

from raysearch.config.names import NAME
from raysearch.errors import InputError
from raysearch.service import study_repository
from raysearch.service.database import Database
from raysearch.service.datasets import Dataset
from raysearch.service.paths import Paths
from raysearch.service.study_state import Spec, State
from raysearch.service.tokens import Token

SUFFIX = ".imported"
LISTS = ("tokens.json", "visits.json")
AUDIT = "audit.jsonl"


def find(paths: Paths) -> list[Path]:
    """Return the old files of a root, in the order in which they are read."""
    lists = [paths.root / name for name in (*LISTS, AUDIT)]
    datasets = sorted(paths.datasets.glob("*/*/dataset.json"))
    studies = [p for p in sorted(paths.studies.glob("*/states.jsonl")) if NAME.match(p.parent.name)]
    return [p for p in (*lists, *datasets, *studies) if p.is_file()]


def has_tokens(paths: Paths) -> bool:
    """Return whether the tokens of an earlier release are still to be read."""
    return any((paths.root / name).is_file() for name in LISTS)


def import_all(paths: Paths, database: Database) -> list[str]:
    """Import the old files, give them a suffix, and return the names of those left as they are.

    A data set's or study's files that cannot be read are left: they were left out before, too.

    Raises:
        InputError: the tokens or the browsers' list cannot be read, or others may read them.
        RecordError: the database cannot be written.
    """
    files, left = find(paths), []
    if not files:
        return []
    with database.transaction() as db:
        for path in files:
            name = path.relative_to(paths.root).as_posix()
            if db.execute("SELECT 1 FROM imported_files WHERE path = ?", (name,)).fetchone():
                continue
            db.execute("SAVEPOINT file")
            try:
                read = _import(db, path)
            except sqlite3.IntegrityError:  # a value that no release has written
                read = path.name in LISTS and _refuse(path)
            if not read:
                db.execute("ROLLBACK TO file")
                left.append(name)
                continue
            db.execute("INSERT INTO imported_files VALUES (?, ?)", (name, time.time()))
    for path in files:
        if path.relative_to(paths.root).as_posix() not in left:
            beside = [path.with_name("spec.json")] if path.name == "states.jsonl" else []
            for file in (*beside, path):
                with suppress(OSError):  # another process was faster, or it may only be read
                    os.replace(file, file.with_name(file.name + SUFFIX))
    return left


def _import(db: sqlite3.Connection, path: Path) -> bool:
    """Write what a file holds; False where it cannot be read and is left out."""
    if path.name == "tokens.json":
        try:
            tokens = [Token(**entry) for entry in _entries(path)]
        except TypeError as e:
            raise InputError(f"{path}: cannot be read: {e}") from e
        db.executemany("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)", map(astuple, tokens))
    elif path.name == "visits.json":
        known = {row["sha256"] for row in db.execute("SELECT sha256 FROM tokens")}
        entries = [e for e in _entries(path) if e["token"] in known]
        _insert(db, "browser_sessions", ("sha256", "kind", "token", "expires"), entries)
    elif path.name == AUDIT:
        names = ("time", "owner", "token", "verb", "what", "status")
        _insert(db, "audit", names, [e for e in _lines(path) if set(names) <= set(e)])
    elif path.name == "dataset.json":
        try:
            made = Dataset(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return False
        db.execute(
            "INSERT INTO datasets (id, owner, file, bytes, created, expires) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            astuple(made),
        )
    else:
        return _study(db, path)
    return True


def _insert(
    db: sqlite3.Connection, table: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    marks = ", ".join("?" * len(names))
    db.executemany(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",
        [[row[n] for n in names] for row in rows],
    )


def _study(db: sqlite3.Connection, path: Path) -> bool:
    try:
        spec = Spec(**json.loads(path.with_name("spec.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return False
    states = []
    for line in _lines(path):
        with suppress(TypeError):
            states.append(State(**line))
    if not states or spec.id != path.parent.name or not NAME.match(spec.id):
        return False
    study_repository.insert(db, spec, states)
    return True


def _refuse(path: Path) -> bool:
    raise InputError(f"{path}: cannot be read: an entry has a wrong or a doubled value")


def _entries(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a list that its owner alone may read; InputError otherwise."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise InputError(f"{path}: its mode is {mode:04o}, must be 0600")
    try:
        return [dict(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as e:
        raise InputError(f"{path}: cannot be read: {e}") from e


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines; a torn line is left out."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                yield value
