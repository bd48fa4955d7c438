"""A run and its place on storage: found there, and kept up to date."""

from __future__ import annotations

from pathlib import Path

from raysearch.run.folder import STORE, RunFolder
from raysearch.run.study_file import StudyManifest, read_study_manifest


def push_to_storage(out: Path) -> None:
    """Write to a run's storage what its folder holds; nothing where it has none.

    Raises:
        InputError: the storage holds another run of this name, or does not answer.
    """
    storage = read_study_manifest(out).folders.get("storage")
    if storage is None:
        return
    from raysearch.planning.upload import KEPT
    from raysearch.storage.mirror import Mirror
    from raysearch.storage.remote import Remote, below
    from raysearch.storage.store import Store

    at = run_at(storage, out)
    Store(RunFolder(out).store, Remote(below(at, STORE))).publish(*KEPT)
    mirror = Mirror(at, RunFolder(out.resolve()))
    mirror.meet()
    mirror.claim()
    mirror.push()


def find_run(out: Path, storage: str | None) -> StudyManifest | None:
    """Return the run of a folder, or of its name on a storage; None where there is none.

    What the folder lacks of it is brought from the storage.

    Raises:
        InputError: another run has this name there.
    """
    from raysearch.storage.mirror import Mirror

    old = read_study_manifest(out) if RunFolder(out).study.exists() else None
    storage = storage or (None if old is None else old.folders.get("storage"))
    if storage is not None and Mirror(run_at(storage, out), RunFolder(out.resolve())).meet():
        old = read_study_manifest(out)
    return old


def absolute(storage: str) -> str:
    """Return a storage's name that is good in any working folder."""
    return storage if "://" in storage else str(Path(storage).expanduser().resolve())


def run_at(storage: str, out: Path) -> str:
    """Return the place of a run on a storage: it has the name of the run's folder.

    Raises:
        InputError: the storage is none that can be opened, written and read.
    """
    from raysearch.planning.upload import run_of
    from raysearch.storage.remote import SOON, Remote

    where = Remote(absolute(storage), patience=SOON).where
    return Remote(run_of(where, out.resolve().name), patience=SOON).usable().where
