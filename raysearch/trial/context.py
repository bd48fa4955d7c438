"""Where a trial runs, and what its configuration means on that machine: data, checkpoint, knobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.config.catalog import task_from_json
from raysearch.config.ladder import ModelSize
from raysearch.config.task import Task
from raysearch.config.trial import ArtifactConfig, digest
from raysearch.data.corpora import Corpus, open_corpus, read_corpus
from raysearch.data.rows import Rows
from raysearch.data.sources import localised
from raysearch.data.task_data import TaskData, load_task
from raysearch.errors import InputError
from raysearch.storage.checkpoints import weights_folder
from raysearch.storage.store import Store, copy_of
from raysearch.training.protocol import Method, Prompt

LENGTHS = 512
"""Texts whose lengths represent the evaluation's when inference FLOPs are computed."""


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """Where a trial runs; nothing of it enters an id."""

    store: str
    """Folder of the Store."""
    task: Mapping[str, Any]
    """The task as JSON."""
    data_dir: str | None = None
    models_dir: str | None = None
    device: str = "cpu"
    gpus: float = 0.0
    """GPUs a trial holds; a part of one where several share it."""
    threads: int = 1
    """CPU threads a trial may use."""
    concurrency: int = 1
    """Trials at once on the machine."""
    pool: str | None = None
    """A corpus for transfer instead of the task's own texts: a file, or a name under data_dir."""
    pool_lines: bool = False
    """Whether each line of its texts is a text."""
    storage: str | None = None
    """Shared storage behind the Store, a folder or a URI; a machine then has a copy of its own."""
    inputs: str | None = None
    """Likewise of data and checkpoints, which studies share."""
    shipped: Mapping[str, str] = field(default_factory=dict)
    """Keys of the uploaded inputs there, by role: `task`, `pool`, and each model by its name."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ExecutionContext:
        """Read what `to_json` wrote."""
        return cls(**value)

    def open_store(self) -> Store:
        """Open the Store of the study."""
        return Store(Path(self.store)) if self.storage is None else copy_of(self.storage)

    def open_task(self) -> TaskData:
        """Load the task's data; once a process."""
        task = task_from_json(self.task)
        folder = self._arrived("data", "task")
        if folder is not None:
            return load_task(localised(task, folder), data_dir=folder)
        return load_task(task, data_dir=None if self.data_dir is None else Path(self.data_dir))

    def corpus(self, data: TaskData, store: Store | None = None) -> Corpus | None:
        """Return the corpus for transfer, without the task's own texts.

        None where none is named.
        """
        if self.pool is None:
            return None
        store = store or self.open_store()
        if (key := self.shipped.get("pool")) is not None:
            return read_corpus(self.pool, key, store)
        folder = None if self.data_dir is None else Path(self.data_dir)
        return open_corpus(self.pool, data, folder, store, lines=self.pool_lines)

    def folder(self, rung: ModelSize) -> Path | None:
        """Return the folder of the rung's checkpoint; None for rungs that have none."""
        if not rung.has_checkpoint:
            return None
        if (folder := self._arrived("models", rung.name)) is not None:
            return folder
        return weights_folder(rung, None if self.models_dir is None else Path(self.models_dir))

    def _arrived(self, kind: str, role: str) -> Path | None:
        """Return this machine's copy of an uploaded input; None if it was not uploaded.

        Raises:
            InputError: it has gone from the storage.
        """
        key = self.shipped.get(role)
        if key is None or self.inputs is None:
            return None
        folder = copy_of(self.inputs).entry(kind, key)
        if folder is None:
            raise InputError(
                f"storage '{self.inputs}': {kind}/{key} ({role}) is not there any more"
            )
        return folder


def prompt_of(task: Task) -> Prompt | None:
    """Return the task's templates and label words, the words in the order of its classes."""
    if not task.templates or not task.words:
        return None
    return Prompt(task.templates, {name: task.words[name] for name in task.label_names})


def prompt_digest(task: Task, template: int) -> ArtifactConfig:
    """Return a template of the task with its label words, as an input of a prompting trial."""
    prompt = prompt_of(task)
    assert prompt is not None
    question = {
        "template": prompt.templates[template],
        "words": list(map(list, prompt.words.values())),
    }
    return ArtifactConfig("question", digest(question))


def parse_knobs(method: Method, hyper: Mapping[str, Any]) -> Any:
    """Return the method's knobs with these values, the others at their default.

    A number takes the type of its knob's default, so that 10 and 10.0 are one configuration.
    """
    defaults = {f.name: f.default for f in fields(method.knobs)}
    return method.knobs(**{k: _like(defaults.get(k), v) for k, v in hyper.items()})


def _like(default: Any, value: Any) -> Any:
    kinds = {type(default), type(value)}
    return type(default)(value) if kinds == {int, float} and float(value).is_integer() else value


def lengths_sample(data: TaskData) -> Rows:
    """Return up to 512 texts, labels hidden, whose lengths represent the evaluation's."""
    rows = data.splits["validation"] if len(data.splits["validation"]) else data.splits["train"]
    index = np.linspace(0, len(rows) - 1, min(LENGTHS, len(rows))).astype(np.int64)
    sample = rows.take(index)
    return Rows(sample.split, sample.ids, sample.text, sample.pair)
