"""The Store: content-addressed tokens, weights and logits, committed by writing the manifest last.

No lock is needed: an entry without its manifest does not exist, and two builders of one key build
the same bytes. With shared storage behind it the folder is this machine's copy: missing entries are
fetched once, whole, and memory-mapped; new entries are uploaded too.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file, save_file

from raysearch.config.trial import digest
from raysearch.storage.remote import PATIENCE, Remote

MANIFEST = "manifest.json"
CACHE = "RAYSEARCH_CACHE_DIR"
"""Environment variable: where a machine keeps its copies."""
DROPPED = "weights"
"""The kind whose entries come and go: copies of dropped ones leave with the next one built."""


State: TypeAlias = dict[str, Any]
"""Tensors and JSON values of a trained state, nested by name."""


class Store:
    """A folder of entries `<kind>/<key>/`, each whole or absent.

    Args:
        root: the folder, on this machine where there is something behind it.
        behind: storage that several machines see; it then says what exists.
    """

    def __init__(self, root: Path, behind: Remote | None = None) -> None:
        self.root, self._behind = root, behind

    def entry(self, kind: str, key: str) -> Path | None:
        """Return the folder of a committed entry, fetched if remote; None where there is none."""
        folder = self._folder(kind, key)
        if (folder / MANIFEST).is_file():
            return folder
        if self._behind is None or not self._behind.has(f"{kind}/{key}/{MANIFEST}"):
            return None
        draft = _draft(folder)
        try:
            self._behind.get(f"{kind}/{key}", draft)
            if not (draft / MANIFEST).is_file():
                return None
            self._settle(draft, folder)
        except FileNotFoundError:  # dropped meanwhile
            return None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    def build(self, kind: str, key: str, fill: Callable[[Path], dict[str, Any] | None]) -> Path:
        """Return the entry's folder, building it with `fill(folder)` when it is absent.

        `fill` writes files into a fresh folder and may return facts for the manifest.
        """
        done = self.entry(kind, key)
        if done is not None:
            self._put(done, kind, key)  # this machine's copy may be older than the shared one
            return done
        folder = self._folder(kind, key)
        draft = _draft(folder)
        try:
            facts = fill(draft) or {}
            _write_json(draft / MANIFEST, facts)
            self._put(draft, kind, key)  # first: local entries are always shared
            self._settle(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        if self._behind is not None and kind == DROPPED:
            self._forget(kind, set(self.keys(kind)) | {key})
        return folder

    def _put(self, folder: Path, kind: str, key: str) -> None:
        """Upload an entry unless the shared storage has it."""
        if self._behind is not None and not self._behind.has(f"{kind}/{key}/{MANIFEST}"):
            self._behind.put(folder, f"{kind}/{key}", MANIFEST)

    def _settle(self, draft: Path, folder: Path) -> None:
        """Rename a whole draft to its entry; another builder's entry stays."""
        for attempts_left in reversed(range(8)):
            try:
                draft.rename(folder)
                break
            except OSError:
                # Another builder was first, or there is a torn entry: remove the torn one.
                if (folder / MANIFEST).is_file():
                    break
                if not attempts_left:
                    raise
                shutil.rmtree(folder, ignore_errors=True)

    def drop(self, kind: str, key: str) -> None:
        """Delete an entry; do nothing when it is absent."""
        folder = self._folder(kind, key)
        if self._behind is not None:
            self._behind.drop(f"{kind}/{key}", MANIFEST)
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def keys(self, kind: str) -> list[str]:
        """Return the committed keys of a kind, sorted."""
        if self._behind is not None:
            files = (name.split("/") for name in self._behind.files(kind))
            return sorted(f[0] for f in files if len(f) == 2 and f[1] == MANIFEST)
        folder = self.root / kind
        if not folder.is_dir():
            return []
        names = (p.parent.name for p in folder.glob(f"*/{MANIFEST}"))
        return sorted(name for name in names if not name.startswith("."))  # drafts are no entries

    def keep_only(self, kind: str, keys: Iterable[str]) -> None:
        """Drop every entry of a kind whose key is not listed."""
        kept = set(keys)
        for key in self.keys(kind):
            if key not in kept:
                self.drop(kind, key)

    def drop_all(self, kind: str) -> None:
        """Delete every entry of a kind, and its folder."""
        self.keep_only(kind, ())
        shutil.rmtree(self.root / kind, ignore_errors=True)

    def fetch(self, *kinds: str) -> None:
        """Download every entry of these kinds to this machine."""
        for kind in kinds if self._behind is not None else ():
            for key in self.keys(kind):
                self.entry(kind, key)

    def publish(self, *kinds: str) -> None:
        """Upload every entry of these kinds that is on this machine."""
        if self._behind is None:
            return
        for kind in kinds:
            stored = set(self.keys(kind))
            for path in (self.root / kind).glob(f"*/{MANIFEST}"):
                key = path.parent.name
                if key not in stored and not key.startswith("."):
                    self._behind.put(path.parent, f"{kind}/{key}", MANIFEST)

    def _forget(self, kind: str, kept: set[str]) -> None:
        """Drop this machine's copies of entries that the shared storage no longer has."""
        for path in (self.root / kind).iterdir():
            if path.name not in kept and not path.name.startswith("."):
                (path / MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(path, ignore_errors=True)

    def _folder(self, kind: str, key: str) -> Path:
        for part in (kind, key):
            if not part or part.startswith(".") or "/" in part or "\\" in part:
                raise ValueError(f"store: '{part}' cannot name an entry")
        return self.root / kind / key


def copy_of(storage: str, *, patience: float = PATIENCE) -> Store:
    """Return this machine's copy of a Store on shared storage.

    `patience` is how long to wait for that storage [s]. Copies are in RAYSEARCH_CACHE_DIR, else
    ~/.cache/raysearch: a folder for each storage.
    """
    cache = Path(os.environ.get(CACHE) or Path.home() / ".cache" / "raysearch")
    return Store(cache / digest({"storage": storage}), Remote(storage, patience=patience))


def _draft(folder: Path) -> Path:
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    draft.mkdir(parents=True)
    return draft


def facts(entry: Path) -> dict[str, Any]:
    """Return the facts that the builder of a committed entry gave."""
    value: dict[str, Any] = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
    return value


def save_state(folder: Path, state: State) -> None:
    """Write a learner's state: tensors to state.safetensors, JSON values to state.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.contiguous() for k, v in state.items() if isinstance(v, torch.Tensor)}
    values = {k: v for k, v in state.items() if not isinstance(v, torch.Tensor)}
    draft = folder / f".state.{uuid.uuid4().hex[:8]}"
    save_file(tensors, draft)
    os.replace(draft, folder / "state.safetensors")
    _write_json(folder / "state.json", values)


def load_state(folder: Path) -> State:
    """Read what `save_state` wrote; nothing is unpickled."""
    values: State = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    values.update(load_file(folder / "state.safetensors"))
    return values


def _write_json(path: Path, value: Any) -> None:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    draft.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")
    os.replace(draft, path)
