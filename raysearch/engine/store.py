"""The Store: content-addressed tokens, weights and logits, committed by writing the manifest last.

No lock is needed: an entry without its manifest does not exist, and two builders of one key build
the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from raysearch.engine.protocol import State

MANIFEST = "manifest.json"


class Store:
    """A folder of entries `<kind>/<key>/`, each whole or absent."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entry(self, kind: str, key: str) -> Path | None:
        """The folder of an entry that was committed, else None."""
        folder = self._folder(kind, key)
        return folder if (folder / MANIFEST).is_file() else None

    def build(self, kind: str, key: str, fill: Callable[[Path], dict[str, Any] | None]) -> Path:
        """Return the entry's folder, building it with `fill(folder)` when it is absent.

        `fill` writes files into a fresh folder and may return facts for the manifest.
        """
        done = self.entry(kind, key)
        if done is not None:
            return done
        folder = self._folder(kind, key)
        draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        draft.mkdir(parents=True)
        try:
            facts = fill(draft) or {}
            _write_json(draft / MANIFEST, facts)
            for attempts_left in reversed(range(8)):
                try:
                    draft.rename(folder)
                    break
                except OSError:
                    # Another builder was first, or a torn entry stands there: clear the torn one.
                    if self.entry(kind, key) is not None:
                        break
                    if not attempts_left:
                        raise
                    shutil.rmtree(folder, ignore_errors=True)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    def drop(self, kind: str, key: str) -> None:
        """Forget an entry; nothing happens when it is absent."""
        folder = self._folder(kind, key)
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def keys(self, kind: str) -> list[str]:
        """The committed keys of a kind, sorted."""
        folder = self.root / kind
        if not folder.is_dir():
            return []
        found = (p.parent.name for p in folder.glob(f"*/{MANIFEST}"))
        return sorted(name for name in found if not name.startswith("."))  # drafts are no entries

    def keep_only(self, kind: str, keys: Iterable[str]) -> None:
        """Drop every entry of a kind whose key is not listed."""
        kept = set(keys)
        for key in self.keys(kind):
            if key not in kept:
                self.drop(kind, key)

    def _folder(self, kind: str, key: str) -> Path:
        for part in (kind, key):
            if not part or part.startswith(".") or "/" in part or "\\" in part:
                raise ValueError(f"store: '{part}' cannot name an entry")
        return self.root / kind / key


def facts(entry: Path) -> dict[str, Any]:
    """What the builder of a committed entry said about it."""
    found: dict[str, Any] = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
    return found


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
