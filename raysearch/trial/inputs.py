"""Inputs of a trial: one adapter for each kind of input.

An adapter checks the input, charges what it costs, and passes the learner its value. A role's name
is known only to the method that declares it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from raysearch.config.trial import ArtifactConfig, TrialConfig
from raysearch.data.rows import Rows
from raysearch.data.task_data import TaskData
from raysearch.data.texts import read_texts, taken
from raysearch.errors import InputError
from raysearch.ledger import Ledger
from raysearch.storage.store import Store
from raysearch.training.protocol import Checkpoint, Input, LogitsSource, Prompt, TextPool
from raysearch.trial.context import ExecutionContext, prompt_digest, prompt_of
from raysearch.trial.upstream import Run, UpstreamTrial

Value = LogitsSource | TextPool | Checkpoint | Prompt
KINDS = {"texts": "texts", "checkpoint": "checkpoints"}
"""Kinds of the Store that hold what stages have made, by what is given."""


OpenRun = Callable[[TrialConfig], Run]
"""Opens a trial by its configuration."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the adapters of one trial have in common."""

    config: TrialConfig
    place: ExecutionContext
    data: TaskData
    store: Store
    open_run: OpenRun
    template: int
    """Which of the task's templates the knobs name."""


class Adapter(Protocol):
    """An input of a running trial."""

    def value(self) -> Value:
        """Return the value for the learner."""

    def charge(self, ledger: Ledger, train: Rows, unlabelled: Rows) -> None:
        """Inherit what making the input has cost, and what it costs for these rows."""

    def close(self) -> None:
        """Release models that were opened."""


def open_input(declared: Input, given: TrialConfig | ArtifactConfig | None, at: Setting) -> Adapter:
    """Return the adapter of one declared input.

    Raises:
        InputError: what is given has changed since the trial was planned, or does not fit it.
    """
    return ADAPTERS[declared.gives](declared, given, at)


class _Upstream:
    """The bill of a trial or stage that made an input; nothing where no trial did."""

    def __init__(
        self, declared: Input, given: TrialConfig | ArtifactConfig | None, at: Setting
    ) -> None:
        self.role, self.at, self.given = declared.role, at, given
        self.made: UpstreamTrial | None = None
        if isinstance(given, TrialConfig):
            same_task(at.config, declared.role, given)
            self.made = UpstreamTrial(given, at.store, lambda: at.open_run(given))

    def charge(self, ledger: Ledger, train: Rows, unlabelled: Rows) -> None:
        if self.made is not None:
            ledger.inherit(self.made.bill(), self.made.config.id)

    def close(self) -> None:
        if self.made is not None:
            self.made.close()

    def _entry(self, gives: str) -> Path:
        """Return the folder of what a stage made; the stage runs again where it has gone."""
        assert self.made is not None
        self.made.bill()
        kind, id_ = KINDS[gives], self.made.config.id
        if (entry := self.at.store.entry(kind, id_)) is None:
            self.made.run_again()
            entry = self.at.store.entry(kind, id_)
        assert entry is not None, f"{kind}/{id_}"
        return entry


class LogitsInput(_Upstream):
    """The outputs of a trained model for the trial's own rows."""

    def value(self) -> LogitsSource:
        """Return the model's cached outputs."""
        if self.made is None:
            raise InputError(f"{self.role}: the trial names none")
        return self.made

    def charge(self, ledger: Ledger, train: Rows, unlabelled: Rows) -> None:
        """Inherit the model's bill and its outputs for labelled and unlabelled rows."""
        super().charge(ledger, train, unlabelled)
        assert self.made is not None
        # apart: the logits of the same labelled rows serve every size of a pool
        for phase, rows in (("teacher", train), ("label", unlabelled)):
            if len(rows):
                charge = replace(self.made.labelling_cost(rows), phase=phase)
                ledger.inherit([charge], self.made.config.id)


class TextsInput(_Upstream):
    """Texts without labels: of a stage, of a corpus, or the task's own."""

    def value(self) -> TextPool:
        """Return the texts of the trial's budget."""
        return TextPool(self.rows())

    def rows(self) -> Rows:
        """Return the rows, as many as the budget has.

        Raises:
            InputError: the corpus is not the one the trial was planned with.
        """
        at, budget = self.at, self.at.config.data
        if self.made is not None:
            folder = self._entry("texts")
            texts = read_texts(folder)
            count = min(budget.unlabelled or len(texts), len(texts))
            ids = np.arange(count, dtype=np.int64)
            return Rows(f"texts-{folder.name}", ids, taken(texts, ids))
        if not isinstance(self.given, ArtifactConfig):
            return at.data.slice(budget)[2]
        corpus = at.place.corpus(at.data)
        if corpus is None or corpus.digest != self.given.digest:
            raise InputError(
                f"{self.role} '{at.place.pool or ''}': has changed since the trial was planned, "
                "or is not named"
            )
        return corpus.take(budget.unlabelled, budget.seed)


class CheckpointInput(_Upstream):
    """Weights that the trial starts from, made by a stage."""

    def value(self) -> Checkpoint:
        """Return the folder of the weights."""
        return Checkpoint(self._entry("checkpoint"))


class PromptInput(_Upstream):
    """The task's template and label words.

    Raises:
        InputError: they are others than when the trial was planned.
    """

    def __init__(
        self, declared: Input, given: TrialConfig | ArtifactConfig | None, at: Setting
    ) -> None:
        super().__init__(declared, given, at)
        self._prompt = prompt_of(at.data.task)
        expected = None if self._prompt is None else prompt_digest(at.data.task, at.template)
        if given is not None and given != expected:
            raise InputError(
                f"task '{at.config.task}': its template or label words have changed since the "
                "trial was planned"
            )

    def value(self) -> Prompt:
        """Return templates and words; InputError where the task has none."""
        if self._prompt is None:
            raise InputError(f"task '{self.at.config.task}': has no template and label words")
        return self._prompt


ADAPTERS: Mapping[str, Callable[..., Adapter]] = {
    "logits": LogitsInput,
    "texts": TextsInput,
    "checkpoint": CheckpointInput,
    "prompt": PromptInput,
}


def same_task(config: TrialConfig, role: str, given: TrialConfig) -> None:
    """Require that an input has seen the same labels in the same order, and no row of the test.

    Raises:
        InputError: it was made from other data, or from rows that the trial is tested on.
    """
    if given.splits != config.splits:
        raise InputError(
            f"{role} {given.id}: was trained on other data or another order of labels than "
            f"task '{config.task}' (digest {given.splits}, the student's {config.splits})"
        )
    folds = (config.data.folds, config.data.folds and config.data.seed)
    if (given.data.folds, given.data.folds and given.data.seed) != folds:
        raise InputError(f"{role} {given.id}: was trained on rows that its student is tested on")
