"""A study's world on the driver: proposals become configurations with their price and place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Set
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from raysearch.config.catalog import find_rung, task_to_json
from raysearch.config.space import Proposal, SearchSpace
from raysearch.config.study import Study
from raysearch.config.trial import Scalar, TrialConfig
from raysearch.costs.memory import MemoryEstimate
from raysearch.data.corpora import Corpus
from raysearch.data.evaluate import majority
from raysearch.data.task_data import TaskData
from raysearch.errors import InputError
from raysearch.planning.configuration import Configurator
from raysearch.planning.cost_model import CostModel
from raysearch.planning.eligibility import Eligibility, eligible
from raysearch.planning.grid import GridDesign, grid
from raysearch.planning.throughput import Price
from raysearch.planning.upload import KEPT, inputs_of, ship
from raysearch.run.folder import STORE, RunFolder
from raysearch.stages import find
from raysearch.storage.remote import Remote, below
from raysearch.storage.store import Store, copy_of
from raysearch.training.precision import resolve
from raysearch.trial.context import ExecutionContext, parse_knobs

TABLE_BYTES, BESIDE = 4, 2**31
"""A table's parameter's, and what training takes beside a table whatever its size [bytes]."""


class Planner:
    """The driver's side of a study: the space, configurations and their prices, and the place.

    Args:
        study: the plan.
        data: the task's.
        out: the run's folder.
        data_dir: folder of data sets; None: the hub.
        models_dir: folder of checkpoints; None: the hub.
        storage: the run's place on storage that all machines see; None: `out` is all there is.
        device: what trials run on; None: a GPU where this machine has one.
        call_worker: calls a function where trials run, for what this machine cannot measure.
        at_once: trials that a cluster has room for, where the study has no number; None: fitted to
            this machine.
    """

    def __init__(
        self,
        study: Study,
        data: TaskData,
        *,
        out: Path,
        data_dir: Path | None = None,
        models_dir: Path | None = None,
        storage: str | None = None,
        device: str | None = None,
        call_worker: Callable[..., Any] | None = None,
        at_once: int | None = None,
    ) -> None:
        self.study = study
        self.data = data
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if call_worker is None or torch.cuda.is_available() or device == "cpu":
            call_worker = _call_locally
        self.precision = str(call_worker(resolve, study.precision, torch.device(device)))
        concurrency = study.concurrency or at_once or _concurrency(device)
        self.place = ExecutionContext(
            store=str(RunFolder(out).store.resolve()),
            task=task_to_json(data.task),
            data_dir=None if data_dir is None else str(data_dir.resolve()),
            models_dir=None if models_dir is None else str(models_dir.resolve()),
            device=device,
            threads=max(1, (os.cpu_count() or 1) // concurrency),
            concurrency=concurrency,
            pool=study.pool,
            pool_lines=study.pool_lines,
        )
        self._storage = storage
        """The run's place on shared storage."""
        behind = None if storage is None else Remote(below(storage, STORE))
        self._store = Store(RunFolder(out).store, behind)
        self.cost_model = CostModel(
            data, self.place, self._store, self.precision, self._texts, call_worker
        )

    @cached_property
    def eligibility(self) -> Eligibility:
        """Return what takes part in the study, and why the rest does not.

        Raises:
            InputError: a name does not exist, or nothing is left.
        """
        return eligible(self.study, self.data, self.place, self.cost_model, self._texts)

    @property
    def space(self) -> SearchSpace:
        """Return the joint space of the study."""
        return self.eligibility.space

    @property
    def excluded(self) -> dict[str, str]:
        """Return why a method, model or budget does not take part, by name."""
        return {**self.eligibility.excluded, **self._grid.excluded}

    @cached_property
    def _grid(self) -> GridDesign:
        return grid(
            self.study.procedures,
            self.eligibility,
            self._configurator.first_inputs,
            self._check_model,
        )

    @cached_property
    def _configurator(self) -> Configurator:
        return Configurator(
            self.data, self.place, self.precision, self.corpus, lambda: self.space, self._texts
        )

    @cached_property
    def corpus(self) -> Corpus | None:
        """Return the corpus for transfer; None where the task's own texts serve."""
        return self.place.corpus(self.data, self._store)

    def _texts(self, labels: int) -> int:
        """Return the number of unlabelled texts left beside this many labelled ones."""
        if self.corpus is not None:
            return len(self.corpus)
        if "unlabelled" in self.data.splits:
            return len(self.data.splits["unlabelled"])
        return len(self.data.splits["train"]) - labels

    def crossing(self) -> list[Proposal]:
        """Return every proposal of a grid study, inputs first; empty for a search."""
        return list(self._grid.proposals)

    def _check_model(self, name: str, rung: str, hyper: Mapping[str, Scalar]) -> str:
        """Return why a method cannot train a model with these knobs.

        Empty where it can.
        """
        method = find(name)
        try:
            return method.check_model(parse_knobs(method, hyper), find_rung(rung))
        except TypeError as e:
            raise InputError(f"procedures: '{name}': {e}") from e

    @property
    def _validation(self) -> int:
        return len(self.data.splits["validation"])

    def configure(
        self, proposal: Proposal, *, data_seed: int = 0, init_seed: int = 0
    ) -> TrialConfig:
        """Return the whole configuration of a proposal.

        Raises:
            Infeasible: the data or the model cannot fill it.
        """
        return self._configurator.configure(proposal, data_seed=data_seed, init_seed=init_seed)

    def hyper(self, config: TrialConfig) -> dict[str, Any]:
        """Return all knobs of a configuration, defaults included."""
        return asdict(parse_knobs(find(config.method), config.hyper))

    def predicted_cost(self, config: TrialConfig) -> Price:
        """Return a configuration's predicted cost on this machine, its teacher's in full."""
        return self.cost_model.predicted_cost(config)

    def test_seconds(self, config: TrialConfig) -> float:
        """Return the predicted time to score a trial's point on the whole test split [s]."""
        return self.cost_model.test_seconds(config)

    def keep(self, ids: Set[str]) -> None:
        """Drop the kept weights of every trial but these."""
        self._store.keep_only("weights", ids)

    def demands(self) -> dict[tuple[str, str], MemoryEstimate]:
        """Return what trials need, by method and model, teachers included."""
        return self.cost_model.demands(self.space)

    def ship(self) -> ExecutionContext:
        """Return the place as workers see it; upload what they read, where there is a storage.

        Raises:
            StorageLost: the storage does not answer.
        """
        if self._storage is None:
            return self.place
        self._store.publish(*KEPT)  # of a run that began without a storage
        inputs = inputs_of(self._storage)
        place = replace(self.place, storage=below(self._storage, STORE), inputs=inputs)
        space = self.space
        named = {
            n for part in (space.rungs, space.upstream_rungs) for ns in part.values() for n in ns
        }
        rungs = [find_rung(name) for name in sorted(named)]
        return ship(place, self.data, rungs, copy_of(inputs))

    def fetch(self) -> None:
        """Download into the run's folder what its readers expect, wherever it was made."""
        self._store.fetch(*KEPT)

    def baselines(self) -> dict[str, float]:
        """Return the main score on test of always predicting the commonest training class."""
        train, test = self.data.splits["train"].label, self.data.splits["test"].label
        if train is None or test is None or not len(test):
            return {}
        return {"majority": majority(train, test)[self.data.task.score]}

    def reference(self) -> dict[str, float]:
        """Return the hypervolume reference: majority score and the dearest configuration's costs.

        Predicted before the first trial: each knob is set in turn to the end or option that makes
        the method's price largest.
        """
        most = self.cost_model.reference_point(self.space)
        floor = self.baselines().get("majority", 0.0)
        return {"score": floor, **most}


def _call_locally(act: Callable[..., Any], *given: Any) -> Any:
    return act(*given)


def _concurrency(device: str) -> int:
    """Return how many trials run at once: one a core up to 8 on a CPU, one a GPU."""
    if device == "cuda":
        return max(1, torch.cuda.device_count())
    return max(1, min(8, os.cpu_count() or 1))
