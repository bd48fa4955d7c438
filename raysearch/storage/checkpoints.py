"""Locations of a rung's weights: a folder of the user's, the package's own, or the hub's cache."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from raysearch.config.ladder import ModelSize
from raysearch.errors import InputError
from raysearch.storage.hub import answers

AWAY = "not on this machine, and the hub is out of reach"


class NotHere(InputError):
    """A checkpoint that cannot be found anywhere; `why` names no model."""

    def __init__(self, text: str, why: str = "") -> None:
        super().__init__(text)  # `why` has a default: errors travel between processes by their text
        self.why = why


BUILTIN = Path(__file__).resolve().parent.parent / "toy" / "rungs"


def weights_folder(rung: ModelSize, models_dir: Path | None) -> Path:
    """Find the folder of a rung's checkpoint: --models-dir first, then the rung's own source.

    Raises:
        InputError: the folder has no weights, or the hub cannot be reached.
    """
    if models_dir is not None and rung.folder and (models_dir / rung.folder).is_dir():
        return _checked(models_dir / rung.folder, rung)
    kind, _, place = rung.source.partition(":")
    if kind == "builtin":
        return _checked(BUILTIN / place, rung)
    if kind == "file":
        return _checked(Path(place), rung)
    if kind == "hf":
        return _from_hub(rung, place)
    where = f" (looked in {models_dir})" if models_dir is not None else ""
    raise InputError(
        f"model '{rung.name}': no folder '{rung.folder}' under --models-dir{where} and no hub id"
    )


def _checked(folder: Path, rung: ModelSize) -> Path:
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(
                f"model '{rung.name}': {folder.name}/ has no {name}; a folder of weights holds "
                "config.json, model.safetensors and tokenizer.json"
            )
    vocabulary_file(folder)
    return folder


def vocabulary_file(folder: Path) -> Path:
    """Return the file of a folder's tokeniser; InputError where there is none."""
    for name in ("tokenizer.json", "vocab.txt"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"model folder {folder.name}/ has no tokenizer.json and no vocab.txt")


@cache
def _from_hub(rung: ModelSize, place: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = place.partition("@")
    try:
        with quiet_libraries():
            folder = snapshot_download(
                name,
                revision=revision or None,
                local_files_only=not answers(),
                allow_patterns=["*.json", "model.safetensors", "vocab.txt", "merges.txt"],
                etag_timeout=5,
            )
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as e:
        why = f"cannot be fetched ({type(e).__name__})" if answers() else AWAY
        raise NotHere(
            f"model '{rung.name}': hub id '{name}': {why}; put its folder "
            f"'{rung.folder or rung.name}' under a directory and give --models-dir DIR",
            why,
        ) from e
    return _checked(Path(folder), rung)


@cache
def weights_digest(folder: Path) -> str:
    """Return 16 hex digits over the checkpoint's weights, shape and vocabulary.

    Its path does not count.
    """
    h = hashlib.sha256()
    for name in ("config.json", vocabulary_file(folder).name, "model.safetensors"):
        path = folder / name
        if path.is_file():
            h.update(name.encode())
            with path.open("rb") as f:
                h.update(hashlib.file_digest(f, "sha256").digest())
    return h.hexdigest()[:16]


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence transformers and huggingface_hub while a checkpoint loads."""
    from transformers.utils import logging as hf_logging

    level = hf_logging.get_verbosity()
    bars = hf_logging.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    hub.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
        hub.setLevel(hub_level)
