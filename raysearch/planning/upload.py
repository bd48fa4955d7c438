"""Upload what a study needs to machines without a shared disk: data, checkpoints, a corpus."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from urllib.parse import quote

from raysearch.config.ladder import ModelSize
from raysearch.config.trial import digest
from raysearch.data import sources
from raysearch.data.corpora import corpus_key
from raysearch.data.task_data import TaskData
from raysearch.outputs.point_kinds import raw_kinds
from raysearch.storage.checkpoints import BUILTIN, weights_digest
from raysearch.storage.remote import below
from raysearch.storage.store import Store
from raysearch.trial.context import ExecutionContext

CHECKPOINT = ("*.json", "model.safetensors", "vocab.txt", "merges.txt")
"""Files of a checkpoint that are opened."""


RUNS, INPUTS = "runs", "inputs"
"""Folders of a storage: one for each run, and what runs share."""
KEPT = ("logits", *raw_kinds(), "bills", "weights", "answers", "outside")
"""Kinds of the Store that readers of a run, and further trials, look for."""


def run_of(storage: str, name: str) -> str:
    """Return the place of a run on a storage."""
    return below(below(storage, RUNS), quote(name) if "://" in storage else name)


def inputs_of(run: str) -> str:
    """Return the place of data and checkpoints on the storage of a run.

    >>> inputs_of(run_of("s3://bucket/x?region=eu-west-1", "sst2-quick"))
    's3://bucket/x/inputs?region=eu-west-1'
    """
    path, mark, options = run.partition("?") if "://" in run else (run, "", "")
    return below(path.rsplit("/", 2)[0] + mark + options, INPUTS)


def ship(
    place: ExecutionContext, data: TaskData, rungs: Iterable[ModelSize], inputs: Store
) -> ExecutionContext:
    """Upload what a study's trials read to the Store of inputs; return the place that reads it.

    What is stored already, by the digest of its bytes, is not written again. A corpus has been
    written to the Store of the study when the study was planned.

    Raises:
        StorageLost: the storage does not answer.
    """
    folder = None if place.data_dir is None else Path(place.data_dir)
    shipped = {}
    packed = sources.input_files(data.task, folder)
    if packed:
        key = digest({name: _sha(path) for name, path in sorted(packed.items())})
        inputs.build("data", key, _copy(packed))
        shipped["task"] = key
    for rung in rungs:
        home = place.folder(rung)
        if home is None or BUILTIN in home.resolve().parents:
            continue  # trained from nothing, or part of the package
        files = {p.name: p for pattern in CHECKPOINT for p in home.glob(pattern)}
        shipped[rung.name] = weights_digest(home)
        inputs.build("models", shipped[rung.name], _copy(files))
    if place.pool is not None:
        shipped["pool"] = corpus_key(place.pool, data, folder, lines=place.pool_lines)
    return replace(place, shipped=shipped)


def _copy(files: Mapping[str, Path]) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        for name, path in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)

    return fill


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
