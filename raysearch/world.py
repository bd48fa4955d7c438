"""A study's world on the driver: proposals become configurations with their price and place."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch.engine.batches import ENOUGH
from raysearch.engine.checkpoints import NotHere, weights_digest
from raysearch.engine.data import TaskData
from raysearch.engine.evaluate import majority
from raysearch.engine.precision import resolve
from raysearch.engine.price import HASH_RATE, LINEAR_RATE, Price, Rates, measure, seconds
from raysearch.engine.protocol import Shape
from raysearch.engine.store import Store
from raysearch.engine.tokens import Tokeniser
from raysearch.errors import Infeasible, InputError, unknown
from raysearch.methods import get as find_method
from raysearch.methods import names as method_names
from raysearch.plan.catalog import find_rung, ladder, method_spaces, task_to_json
from raysearch.plan.config import Scalar, TrialConfig
from raysearch.plan.ladder import Rung
from raysearch.plan.space import Domain, MethodSpace, Proposal, SearchSpace
from raysearch.plan.study import Study
from raysearch.trial import Place, knobs_of, lengths_sample


class World:
    """What the runner asks: the space, a proposal's configuration and price, and the place."""

    def __init__(
        self,
        study: Study,
        data: TaskData,
        *,
        out: Path,
        data_dir: Path | None = None,
        models_dir: Path | None = None,
    ) -> None:
        self.study = study
        self.data = data
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.precision = resolve(study.precision, torch.device(device))
        concurrency = study.concurrency or _concurrency(device)
        self.place = Place(
            store=str((out / "store").resolve()),
            task=task_to_json(data.task),
            data_dir=None if data_dir is None else str(data_dir.resolve()),
            models_dir=None if models_dir is None else str(models_dir.resolve()),
            device=device,
            threads=max(1, (os.cpu_count() or 1) // concurrency),
            concurrency=concurrency,
        )
        self._store = Store(out / "store")
        self._rates: dict[tuple[int, int], Rates] = {}
        self._lengths: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {}
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
        joined = {
            name: tuple(r.name for r in rungs if r.family in find_method(name).families)
            for name in methods
        }
        for name in [n for n, names in joined.items() if not names]:
            families = ", ".join(find_method(name).families)
            self.left_out[name] = f"no model of its family ({families}) takes part"
            del joined[name], methods[name]
        if not methods:
            reasons = "; ".join(f"{k}: {v}" for k, v in self.left_out.items())
            raise InputError(f"study '{self.study.name}': no method is left to run ({reasons})")
        return SearchSpace(methods, joined, self._labels())

    def _methods(self) -> dict[str, MethodSpace]:
        spaces = method_spaces()
        wanted = self.study.methods or tuple(n for n in spaces if n in method_names())
        out = {}
        for name in wanted:
            if name not in spaces or name not in method_names():
                raise unknown("search_spaces", "method", name, set(spaces) & set(method_names()))
            if self.data.task.regression and not find_method(name).regression:
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
                self.place.folder(rung)
            if any(r.family == "encoder" for r in chosen) and not any(
                r.family == "ngram" for r in chosen
            ):
                chosen = [r for r in known.values() if _small_ngram(r)] + chosen
            return sorted(chosen, key=_size)
        out = []
        for rung in known.values():
            if self.data.task.ladder not in rung.ladders:
                continue
            try:
                self.place.folder(rung)
            except InputError as e:
                self.left_out[rung.name] = e.why if isinstance(e, NotHere) else str(e)
                continue
            out.append(rung)
        wanted = {family for name in self._methods() for family in find_method(name).families}
        if "encoder" in wanted and not any(r.family == "encoder" for r in out):
            reasons = list(dict.fromkeys(self.left_out[r] for r in self.left_out if r in known))
            raise InputError(
                f"task '{self.data.task.name}': no model of its ladder can be used "
                f"({'; '.join(reasons[:3])}); give --models-dir DIR"
            )
        return self._fitting(sorted(out, key=_size))

    def _fitting(self, rungs: list[Rung]) -> list[Rung]:
        """Leave out models whose dearest first trial would take longer than the study allows."""
        limit = self.study.trial_minutes
        if limit is None:
            return rungs
        kept = []
        most = max(self._labels())
        for rung in rungs:
            worst = 0.0
            for name, space in self._methods().items():
                if rung.family in find_method(name).families:
                    shape = self._shape(rung, most, min(most, self._validation))
                    parts = find_method(name).price(knobs_of(find_method(name), space.first), shape)
                    worst = max(worst, self._seconds(rung, parts, shape))
            if worst > 60 * limit:
                self.left_out[rung.name] = (
                    f"one trial on {most} labels would take {worst / 60:.0f} min here, "
                    f"more than the study's {limit:g}"
                )
            else:
                kept.append(rung)
        return kept

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
        method = find_method(proposal.method)
        rung = find_rung(proposal.rung)
        if rung.family not in method.families:
            raise Infeasible(f"method '{method.name}' cannot train a model of family {rung.family}")
        plain = {f: v for f, v in asdict(method.knobs()).items()}
        try:
            knobs = knobs_of(method, proposal.hyper)
        except TypeError as e:
            raise InputError(f"search_spaces/{method.name}.yaml: {e}") from e
        budget = self.data.budget(proposal.labels, seed=data_seed)
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
            precision="fp32" if rung.family == "ngram" else self.precision,
            horizon=method.horizon(knobs, budget.train),
            behaviour=method.behaviour,
        )

    def hyper(self, config: TrialConfig) -> dict[str, Any]:
        """All knobs of a configuration, defaults included."""
        return asdict(knobs_of(find_method(config.method), config.hyper))

    def price(self, config: TrialConfig) -> Price:
        """The predicted cost of a configuration on this machine."""
        method, rung = find_method(config.method), find_rung(config.rung)
        shape = self._shape(rung, config.data.train, config.data.validation)
        parts = method.price(knobs_of(method, config.hyper), shape)
        labels = config.data.train + config.data.validation
        return Price(sum(parts.values()), labels, self._seconds(rung, parts, shape))

    def test_seconds(self, config: TrialConfig) -> float:
        """Predicted seconds to score a trial's point on the whole test split [s]."""
        method, rung = find_method(config.method), find_rung(config.rung)
        shape = self._shape(rung, 1, len(self.data.splits["test"]))
        parts = method.price(knobs_of(method, {}), shape)
        return self._seconds(rung, {"validate": parts.get("validate", 0.0)}, shape)

    def _seconds(self, rung: Rung, parts: Mapping[str, float], shape: Shape) -> float:
        if rung.family == "ngram":
            tokens = float(shape.lengths.mean()) * (shape.n_train + shape.n_validation)
            return 0.1 + tokens / HASH_RATE + sum(parts.values()) / LINEAR_RATE
        width = (rung.hidden, rung.intermediate)
        if width not in self._rates:
            length = max(4, round(float(shape.lengths.mean())))
            self._rates[width] = measure(
                rung, length, self.precision, torch.device(self.place.device), self.place.threads
            )
        return seconds(parts, self._rates[width], rung)

    def _shape(self, rung: Rung, n_train: int, n_validation: int) -> Shape:
        return Shape(rung, self.data.task, n_train, n_validation, self._text_lengths(rung))

    def _text_lengths(self, rung: Rung) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Tokens of a sample of texts under the rung's tokeniser; words for n-gram rungs."""
        folder = self.place.folder(rung)
        key = "words" if folder is None else str(folder)
        if key not in self._lengths:
            sample = lengths_sample(self.data)
            if folder is None:
                pairs = sample.pair or [""] * len(sample)
                words = [len(f"{a} {b}".split()) for a, b in zip(sample.text, pairs, strict=True)]
                self._lengths[key] = np.array(words, np.int64)
            else:
                limit = min(self.data.task.max_length, rung.positions)
                # A split name of its own: the sample alone is tokenised, the splits when needed.
                loose = replace(sample, split="sample")
                tokeniser = Tokeniser(folder, self._store, {}, self.data.digest, limit)
                self._lengths[key] = tokeniser.encode(loose).lengths
        return self._lengths[key]

    def keep(self, ids: Set[str]) -> None:
        """Drop the kept weights of every trial but these."""
        self._store.keep_only("weights", ids)

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
        most = {"train_flops_full": 0.0, "infer_flops": 0.0}
        for name, names in self.space.rungs.items():
            for rung in (find_rung(n) for n in names):
                n = max(self.space.labels)
                shape = self._shape(rung, n, min(n, self._validation))
                parts = _dearest(name, self.space.methods[name], shape)
                most["train_flops_full"] = max(most["train_flops_full"], sum(parts.values()))
                # Of many texts next to nothing is padding, as in the objective's own lengths.
                many = _dearest(name, self.space.methods[name], self._shape(rung, n, ENOUGH))
                each = many.get("validate", 0.0) / ENOUGH
                most["infer_flops"] = max(most["infer_flops"], each)
        floor = self.baselines().get("majority", 0.0)
        return {"score": floor, **most}


def _small_ngram(rung: Rung) -> bool:
    return rung.family == "ngram" and rung.buckets <= 2**16


def _size(rung: Rung) -> tuple[int, int]:
    """Cheap to dear: n-gram tables first, then encoders by what a token costs."""
    return (rung.family != "ngram", rung.layers * rung.hidden**2 or rung.buckets)


def _concurrency(device: str) -> int:
    """Trials at once: one a core up to 8 on a CPU, one a GPU."""
    if device == "cuda":
        return torch.cuda.device_count()
    return max(1, min(8, os.cpu_count() or 1))


def _ends(domain: Domain) -> Iterable[Scalar]:
    if domain.kind == "choice":
        return domain.options
    whole = domain.kind.endswith("randint")
    return (int(domain.low), int(domain.high) - 1) if whole else (domain.low, domain.high)


def _dearest(name: str, space: MethodSpace, shape: Shape) -> Mapping[str, float]:
    """FLOPs by phase of the knob set that coordinate-wise costs most."""
    method = find_method(name)
    best = dict(space.first)
    parts = method.price(knobs_of(method, best), shape)
    for knob, value in itertools.chain.from_iterable(
        [(k, v) for v in _ends(d)] for k, d in space.knobs.items()
    ):
        tried = method.price(knobs_of(method, {**best, knob: value}), shape)
        if sum(tried.values()) > sum(parts.values()):
            best, parts = {**best, knob: value}, tried
    return parts
