"""A study's world on the driver: proposals become configurations with their price and place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from raysearch.config.catalog import find_rung, ladder, method_spaces, task_to_json
from raysearch.config.ladder import Rung
from raysearch.config.space import NONE, MethodSpace, Proposal, SearchSpace
from raysearch.config.study import Procedure, Study
from raysearch.config.trial import ArtifactConfig, DataBudget, Scalar, TrialConfig
from raysearch.costs.memory import TRAINED_BYTES, Demand
from raysearch.data.corpora import Corpus
from raysearch.data.evaluate import majority
from raysearch.data.rows import Rows
from raysearch.data.task_data import TaskData
from raysearch.encoders.cloze import Pattern, lacks, word_ids
from raysearch.encoders.tokens import fast_tokeniser
from raysearch.errors import Infeasible, InputError, unknown
from raysearch.methods import names as method_names
from raysearch.planning.cost_model import Pricing, size_of
from raysearch.planning.grid import Crossing
from raysearch.planning.throughput import Price
from raysearch.planning.upload import KEPT, STORE, inputs_of, ship
from raysearch.stages import find
from raysearch.storage.checkpoints import NotHere, weights_digest
from raysearch.storage.remote import Remote, below
from raysearch.storage.store import Store, copy_of
from raysearch.training.precision import resolve
from raysearch.training.protocol import Method
from raysearch.trial.context import Place, knobs_of, prompt_of, question_of

TABLE_BYTES, BESIDE = 4, 2**31
"""A table's parameter's, and what training takes beside a table whatever its size [bytes]."""


class World:
    """What the runner asks: the space, a proposal's configuration and price, and the place.

    Args:
        study: the plan.
        data: the task's.
        out: the run's folder.
        data_dir: folder of data sets; None: the hub.
        models_dir: folder of checkpoints; None: the hub.
        storage: the run's place on storage that all machines see; None: `out` is all there is.
        device: what trials run on; None: a GPU where this machine has one.
        there: calls a function where trials run, for what this machine cannot measure.
        at_once: trials that a cluster has room for, where the study does not say; None: fitted to
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
        there: Callable[..., Any] | None = None,
        at_once: int | None = None,
    ) -> None:
        self.study = study
        self.data = data
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if there is None or torch.cuda.is_available() or device == "cpu":
            there = _here
        self.precision = str(there(resolve, study.precision, torch.device(device)))
        concurrency = study.concurrency or at_once or _concurrency(device)
        self.place = Place(
            store=str((out / "store").resolve()),
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
        self._store = Store(out / "store", behind)
        self.pricing = Pricing(data, self.place, self._store, self.precision, self._texts, there)
        self.left_out: dict[str, str] = {}
        """Why a method, model or budget does not take part, one sentence each, by name."""

    @cached_property
    def space(self) -> SearchSpace:
        """The joint space of the study: what the task, the folders and the machine allow.

        Raises:
            InputError: a name does not exist, or nothing is left.
        """
        methods = self._methods()
        rungs = self._rungs()
        joined = {name: self._usable(name, rungs) for name in methods}
        spaces = method_spaces()
        upstream = {n: self._usable(n, rungs) for n in self._upstream(methods) if n in spaces}
        upstream = {n: models for n, models in upstream.items() if models}
        for name in list(methods):
            roles = methods[name].inputs.items()
            lacking = [r for r, names in roles if not {NONE, *upstream} & set(names)]
            if joined[name] and lacking:
                joined[name] = ()
                self.left_out[name] = f"no method that could train its {lacking[0]} takes part"
            if not joined[name]:
                families = ", ".join(find(name).families)
                reason = f"no model of its family ({families}) takes part"
                if self.study.methods is not None and name in self.left_out:
                    raise InputError(f"method '{name}': {self.left_out[name]}")
                if self.study.methods is not None or self._offered(name):
                    self.left_out.setdefault(name, reason)
                del joined[name], methods[name]
        if not methods:
            reasons = "; ".join(f"{k}: {v}" for k, v in self.left_out.items())
            raise InputError(f"study '{self.study.name}': no method is left to run ({reasons})")
        found = {n: spaces[n] for n in upstream}
        return SearchSpace(methods, joined, self._labels(), found, upstream)

    def _upstream(self, methods: Iterable[str]) -> set[str]:
        """Return the methods and stages that may make inputs: the study's own ones come first."""
        named = {g.method for p in self.study.procedures for g in p.inputs.values()}
        if named:
            return named
        out: set[str] = set()
        left = list(methods)
        while left:
            for names in method_spaces()[left.pop()].inputs.values():
                wanted = set(names) - {NONE}
                new = (wanted & set(methods) or wanted) & set(method_spaces()) - out
                out |= new
                left += new
        return out

    def _offered(self, name: str) -> bool:
        """Whether the task's ladder or the study has a model of the method's family at all."""
        here, named = self.data.task.ladder, self._named()
        known = [r for r in ladder().values() if here in r.ladders or r.name in named]
        known += [find_rung(n) for n in self.study.models or ()]
        return any(r.family in find(name).families for r in known)

    def _usable(self, name: str, rungs: Iterable[Rung]) -> tuple[str, ...]:
        """The models that a method can train here; why not goes to `left_out` where none is."""
        method = find(name)
        kin = [r for r in rungs if r.family in method.families]
        knobs = knobs_of(method, method_spaces()[name].first)
        refused = {r.name: method.refuses(knobs, r) for r in kin}
        if kin and all(refused.values()):
            self.left_out[name] = next(iter(refused.values()))
        kin = [r for r in kin if not refused[r.name]]
        made = set(method_spaces()[name].inputs) & set(method.inputs_of(knobs, "texts"))
        if kin and not made and method.unlabelled(knobs) and self._texts(min(self._labels())) <= 0:
            self.left_out[name] = "there is no text without a label to transfer by"
            return ()
        limit = self.study.trial_minutes
        if method_spaces()[name].inputs and limit is not None and self.study.models is None:
            longest = {
                r.name: self.pricing.first_seconds(name, r, max(self._labels())) for r in kin
            }
            fit = [r for r in kin if longest[r.name] <= 60 * limit]
            if kin and not fit:
                self.left_out[name] = self._too_long(min(longest.values()))
            kin = fit
        if not method.question(knobs):
            return tuple(r.name for r in kin)
        reasons = {r.name: self._unasked(r) for r in kin}
        if kin and all(reasons.values()):
            self.left_out[name] = next(str(reason) for reason in reasons.values())
        return tuple(n for n, reason in reasons.items() if reason is None)

    def _unasked(self, rung: Rung) -> str | None:
        """Why a model cannot answer the task's cloze question; None when it can."""
        prompt, folder = prompt_of(self.data.task), self.place.folder(rung)
        if prompt is None:
            return (
                f"task '{self.data.task.name}' has no template and label words; "
                "own data: give --template and --words"
            )
        assert folder is not None
        try:
            reason = lacks(folder)
        except (OSError, ValueError, SafetensorError) as e:
            return f"model '{rung.name}': its checkpoint does not load: {str(e).splitlines()[0]}"
        if reason is not None:
            return f"model '{rung.name}': {reason}"
        try:
            word_ids(fast_tokeniser(folder), prompt.words, rung.name)
            for template in prompt.templates:
                none = Rows("none", np.empty(0, np.int64), [], [])
                limit = min(self.data.task.max_length, rung.positions)
                Pattern(template).encode(fast_tokeniser(folder), none, limit)
        except InputError as e:
            return str(e)
        return None

    @cached_property
    def corpus(self) -> Corpus | None:
        """The corpus for transfer; None where the task's own texts serve."""
        return self.place.corpus(self.data, self._store)

    def _texts(self, labels: int) -> int:
        """Texts without a label that are there beside so many labelled ones."""
        if self.corpus is not None:
            return len(self.corpus)
        if "unlabelled" in self.data.splits:
            return len(self.data.splits["unlabelled"])
        return len(self.data.splits["train"]) - labels

    def first_inputs(self, method: str, labels: int) -> dict[str, Proposal]:
        """Return the inputs that are taken where none are named, by role.

        Each is the usual candidate with first knobs on the largest model; a role whose usual
        candidate is `none` is left out.
        """
        out = {}
        for role, names in method_spaces()[method].inputs.items():
            known = next((n for n in names if n == NONE or n in self.space.upstream), NONE)
            if known != NONE:
                first = dict(self.space.upstream[known].first)
                out[role] = Proposal(known, self.space.upstream_rungs[known][-1], labels, first)
        return out

    def crossing(self) -> list[Proposal]:
        """Return every proposal of a grid study, inputs first; empty for a search."""
        made = Crossing(self.space, self.first_inputs, self._refuses, self.left_out)
        return made.proposals(self.study.procedures)

    def _refuses(self, name: str, rung: str, hyper: Mapping[str, Scalar]) -> str:
        """Why a method cannot train a model with these knobs; empty where it can."""
        method = find(name)
        try:
            return method.refuses(knobs_of(method, hyper), find_rung(rung))
        except TypeError as e:
            raise InputError(f"procedures: '{name}': {e}") from e

    def _methods(self) -> dict[str, MethodSpace]:
        spaces = method_spaces()
        wanted = self.study.methods or tuple(n for n in spaces if n in method_names())
        if self.study.procedures:
            wanted = tuple(
                dict.fromkeys(p.method for p in self.study.procedures if p.method in wanted)
            )
        out = {}
        for name in wanted:
            if name not in spaces or name not in method_names():
                raise unknown("search_spaces", "method", name, set(spaces) & set(method_names()))
            if self.data.task.regression and not find(name).regression:
                self.left_out[name] = "predicts classes, the task asks for a number"
                continue
            out[name] = spaces[name]
        return out

    def _rungs(self) -> list[Rung]:
        """The study's models that are here and fit; the default leaves out what is not here."""
        known = ladder()
        if self.study.models is not None:
            chosen = [find_rung(name) for name in self.study.models]
            for rung in chosen:
                reason = _too_large(rung, self.place.device)
                if reason is not None:
                    raise InputError(f"model '{rung.name}': {reason}")
                self.place.folder(rung)
            if any(r.family == "encoder" for r in chosen) and not any(
                r.family == "ngram" for r in chosen
            ):
                chosen = [r for r in known.values() if _small_ngram(r)] + chosen
            return sorted(chosen, key=size_of)
        out = []
        named = self._named()
        for rung in known.values():
            if self.data.task.ladder not in rung.ladders and rung.name not in named:
                continue
            reason = _too_large(rung, self.place.device)
            if reason is not None:
                self.left_out[rung.name] = reason
                continue
            try:
                self.place.folder(rung)
            except InputError as e:
                self.left_out[rung.name] = e.why if isinstance(e, NotHere) else str(e)
                continue
            out.append(rung)
        wanted = {family for name in self._methods() for family in find(name).families}
        if "encoder" in wanted and not any(r.family == "encoder" for r in out):
            reasons = list(dict.fromkeys(self.left_out[r] for r in self.left_out if r in known))
            raise InputError(
                f"task '{self.data.task.name}': no model of its ladder can be used "
                f"({'; '.join(reasons[:3])}); give --models-dir DIR"
            )
        return self._fitting(sorted(out, key=size_of))

    def _named(self) -> set[str]:
        """Return the models that the study's procedures and their inputs name."""
        found: set[str] = set()
        lines: list[Procedure] = list(self.study.procedures)
        while lines:
            line = lines.pop()
            found |= set(line.named)
            lines += line.inputs.values()
        return found

    def _fitting(self, rungs: list[Rung]) -> list[Rung]:
        """Leave out models whose dearest first trial would take longer than the study allows."""
        limit = self.study.trial_minutes
        if limit is None:
            return rungs
        kept = []
        for rung in rungs:
            # what takes inputs is cheap or dear by its texts: such methods are checked one by one
            plain = [n for n in self._methods() if not method_spaces()[n].inputs]
            worst = max(
                (self.pricing.first_seconds(n, rung, max(self._labels())) for n in plain),
                default=0.0,
            )
            if worst > 60 * limit:
                self.left_out[rung.name] = self._too_long(worst)
            else:
                kept.append(rung)
        return kept

    def _too_long(self, seconds: float) -> str:
        return (
            f"one trial on {max(self._labels())} labels would take {seconds / 60:.0f} min here, "
            f"more than the study's {self.study.trial_minutes:g}"
        )

    @property
    def _validation(self) -> int:
        return len(self.data.splits["validation"])

    def _labels(self) -> tuple[int, ...]:
        """The label budgets the data can fill."""
        have = len(self.data.splits["train"])
        fit = tuple(n for n in self.study.labels if n <= have)
        for n in self.study.labels:
            if n > have:
                self.left_out[f"{n} labels"] = f"the task has {have} training rows"
        return fit or (have,)

    def configure(
        self, proposal: Proposal, *, data_seed: int = 0, init_seed: int = 0
    ) -> TrialConfig:
        """The whole configuration of a proposal.

        Raises:
            Infeasible: the data or the model cannot fill it.
        """
        method = find(proposal.method)
        rung = find_rung(proposal.rung)
        if rung.family not in method.families:
            raise Infeasible(f"method '{method.name}' cannot train a model of family {rung.family}")
        plain = {f: v for f, v in asdict(method.knobs()).items()}
        try:
            knobs = knobs_of(method, proposal.hyper)
        except TypeError as e:
            raise InputError(f"search_spaces/{method.name}.yaml: {e}") from e
        refused = method.refuses(knobs, rung)
        if refused:
            raise Infeasible(f"model '{rung.name}': {refused}")
        if method.question(knobs) and getattr(knobs, "start", "checkpoint") == "scratch":
            raise Infeasible("start: scratch leaves no masked-LM head to answer with: head cloze")
        made = any(role in proposal.inputs for role in method.inputs_of(knobs, "texts"))
        wanted = method.unlabelled(knobs)
        there = wanted if made else self._texts(proposal.labels)
        if wanted and there <= 0:
            raise Infeasible(
                f"{self.data.task.name}: with {proposal.labels:,} labels no text without a label "
                "is left to transfer by"
            )
        knobs = method.fitted(knobs, self.data.task, there)
        texts = method.unlabelled(knobs)
        budget = self._budget(method, proposal.labels, texts, data_seed, made)
        held = method.calibration(knobs, budget.train)
        if 0 < held < self.data.task.classes:
            raise Infeasible(
                f"calibration: {held} of {budget.train:,} labelled rows are held back, for "
                f"{self.data.task.classes} classes"
            )
        folder = self.place.folder(rung)
        return TrialConfig(
            task=self.data.task.name,
            splits=self.data.digest,
            method=method.name,
            rung=rung.name,
            data=budget,
            weights="" if folder is None else weights_digest(folder),
            hyper={k: v for k, v in asdict(knobs).items() if v != plain[k]},
            init_seed=init_seed,
            precision=self.precision if rung.family == "encoder" else "fp32",
            horizon=method.horizon(knobs, budget.train + budget.unlabelled),
            behaviour=method.behaviour,
            inputs=self._inputs(method, proposal, knobs, data_seed, init_seed),
        )

    def _budget(self, method: Method, labels: int, texts: int, seed: int, made: bool) -> DataBudget:
        """Return the rows of a trial; texts from elsewhere take none of the task's own."""
        own = 0 if made or self.corpus is not None else texts
        if not method.labelled:
            return replace(self.data.budget(0, 0, unlabelled=own), unlabelled=texts)
        budget = self.data.budget(labels, unlabelled=own, seed=seed)
        return replace(budget, unlabelled=texts)

    def _inputs(
        self, method: Method, proposal: Proposal, knobs: Any, data_seed: int, init_seed: int
    ) -> dict[str, TrialConfig | ArtifactConfig]:
        """Return what the method takes from other trials, a corpus and the task, by role."""
        out: dict[str, TrialConfig | ArtifactConfig] = {}
        usual = self.first_inputs(method.name, proposal.labels)
        for declared in method.inputs:
            if not declared.wanted(knobs):
                continue
            role = declared.role
            given = proposal.inputs.get(role) or (None if declared.optional else usual.get(role))
            if given is not None:
                out[role] = self.configure(given, data_seed=data_seed, init_seed=init_seed)
            elif declared.gives == "prompt":
                if prompt_of(self.data.task) is None:
                    raise Infeasible(
                        f"method '{method.name}': the task has no template and label words"
                    )
                out[role] = question_of(self.data.task, getattr(knobs, "template", 0))
            elif declared.gives == "texts":
                if method.unlabelled(knobs) and self.corpus is not None:
                    out[role] = ArtifactConfig("corpus", self.corpus.digest)  # whatever its name
            elif not declared.optional:
                raise Infeasible(f"method '{method.name}': no method can train its {role}")
        return out

    def hyper(self, config: TrialConfig) -> dict[str, Any]:
        """All knobs of a configuration, defaults included."""
        return asdict(knobs_of(find(config.method), config.hyper))

    def price(self, config: TrialConfig) -> Price:
        """The predicted cost of a configuration on this machine, its teacher's in full."""
        return self.pricing.price(config)

    def test_seconds(self, config: TrialConfig) -> float:
        """Predicted seconds to score a trial's point on the whole test split [s]."""
        return self.pricing.test_seconds(config)

    def keep(self, ids: Set[str]) -> None:
        """Drop the kept weights of every trial but these."""
        self._store.keep_only("weights", ids)

    def demands(self) -> dict[tuple[str, str], Demand]:
        """What trials need, by method and model, teachers included."""
        return self.pricing.demands(self.space)

    def ship(self) -> Place:
        """The place as workers know it; what they read is put on the storage, where there is one.

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
        """Have what readers of the run's folder look for in it, wherever it was made."""
        self._store.fetch(*KEPT)

    def baselines(self) -> dict[str, float]:
        """The main score on test of always answering the commonest training class."""
        train, test = self.data.splits["train"].label, self.data.splits["test"].label
        if train is None or test is None or not len(test):
            return {}
        return {"majority": majority(train, test)[self.data.task.score]}

    def reference(self) -> dict[str, float]:
        """Hypervolume reference: majority score, and the dearest legal configuration's costs.

        Predicted before the first trial: each knob is set in turn to the end or option that makes
        the method's price largest.
        """
        most = self.pricing.dearest(self.space)
        floor = self.baselines().get("majority", 0.0)
        return {"score": floor, **most}


def _here(act: Callable[..., Any], *given: Any) -> Any:
    return act(*given)


def _small_ngram(rung: Rung) -> bool:
    return rung.family == "ngram" and rung.buckets <= 2**16


def _too_large(rung: Rung, device: str) -> str | None:
    """Why a model cannot be trained in this machine's memory; None when it can."""
    needed = TRAINED_BYTES * rung.params
    if rung.family == "dan" and device == "cpu":  # moments stand for touched rows alone
        needed = TABLE_BYTES * rung.params + BESIDE
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            return None  # elsewhere: who places the trials knows how large its GPUs are
        there = torch.cuda.get_device_properties(0).total_memory
    else:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed <= there:
        return None
    return f"training takes at least {needed / 2**30:.1f} GiB, here are {there / 2**30:.1f}"


def _concurrency(device: str) -> int:
    """Trials at once: one a core up to 8 on a CPU, one a GPU."""
    if device == "cuda":
        return max(1, torch.cuda.device_count())
    return max(1, min(8, os.cpu_count() or 1))
