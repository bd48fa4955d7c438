"""What verbs add to a run goes to its storage too."""

from __future__ import annotations

from pathlib import Path

from raysearch.run.study_file import read_asrun


def carry(out: Path) -> None:
    """Have on a run's storage what its folder holds; nothing where it has none.

    Raises:
        InputError: the storage holds another run of this name, or does not answer.
    """
    storage = read_asrun(out).folders.get("storage")
    if storage is None:
        return
    from raysearch.cli.prepare import run_at
    from raysearch.planning.upload import KEPT, STORE
    from raysearch.run.folder import Folder
    from raysearch.storage.mirror import Mirror
    from raysearch.storage.remote import Remote, below
    from raysearch.storage.store import Store

    at = run_at(storage, out)
    Store(out / STORE, Remote(below(at, STORE))).publish(*KEPT)
    mirror = Mirror(at, Folder(out.resolve()))
    mirror.meet()
    mirror.claim()
    mirror.push()
