"""Predict what a study's trials will cost: configurations, first knobs, the dearest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from raysearch.config.catalog import find_rung, method_spaces
from raysearch.config.ladder import FAMILIES, ModelSize
from raysearch.config.space import Domain, MethodSpace, SearchSpace
from raysearch.config.trial import Scalar, TrialConfig
from raysearch.costs.flops import encoder_forward
from raysearch.costs.memory import ANSWERING_BYTES, MemoryEstimate, training_memory, weights
from raysearch.data.task_data import TaskData
from raysearch.encoders.batches import ENOUGH, padded_lengths
from raysearch.encoders.patterns import Pattern
from raysearch.encoders.tokens import Tokeniser
from raysearch.planning.families import family_of
from raysearch.planning.throughput import (
    Price,
    Rates,
    measure,
)
from raysearch.stages import find
from raysearch.storage.store import Store
from raysearch.training.protocol import Method, Shape
from raysearch.trial.context import ExecutionContext, lengths_sample, parse_knobs


class CostModel:
    """Prices of one task on one machine.

    `texts(labels)` returns how many texts are left without a label; `call_worker` calls a function
    on that machine.
    """

    def __init__(
        self,
        data: TaskData,
        place: ExecutionContext,
        store: Store,
        precision: str,
        texts: Callable[[int], int],
        call_worker: Callable[..., Any],
    ) -> None:
        self.data, self.place, self.precision = data, place, precision
        self._store = store
        self._texts, self._call_worker = texts, call_worker
        self._rates: dict[tuple[int, int], Rates] = {}
        self._lengths: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {}

    def predicted_cost(self, config: TrialConfig) -> Price:
        """Return a configuration's predicted cost on this machine, its teacher's in full."""
        method, rung = find(config.method), find_rung(config.rung)
        shape = self._shape(config)
        parts = method.price(parse_knobs(method, config.hyper), shape)
        own = sum(parts.values())
        seconds = self._seconds(rung, parts, shape)
        full = own
        answering = method.inputs_of(parse_knobs(method, config.hyper), "logits")
        for role, given in config.upstream.items():
            full += self.predicted_cost(given).flops
            if role not in answering:
                continue
            rows = config.data.train + config.data.unlabelled
            above = find_rung(given.rung)
            lengths = padded_lengths(self._shape(given).lengths, rows)
            labelling = rows * float(encoder_forward(above, lengths).mean())
            seconds += self._seconds(above, {"validate": labelling}, shape)
            own += labelling
            full += labelling
        labels = config.data.train + config.data.validation
        return Price(full, labels, seconds, own)

    def demands(self, space: SearchSpace) -> dict[tuple[str, str], MemoryEstimate]:
        """Return what trials need, by method and model, those that make inputs included."""
        above = {name for names in space.upstream_rungs.values() for name in names}
        largest = max((find_rung(name).params for name in above), default=0)
        out = {}
        for methods, rungs in (
            (space.upstream, space.upstream_rungs),
            (space.methods, space.rungs),
        ):
            for name, names in rungs.items():
                answers = ANSWERING_BYTES * largest if _takes_logits(find(name)) else 0
                for rung in map(find_rung, names):
                    memory = self._memory(methods[name], rung) + answers
                    shown = f"method '{name}' on model '{rung.name}'"
                    # a method that learns from an encoder may have to open it
                    gains = family_of(rung).gpu or bool(answers)
                    out[name, rung.name] = MemoryEstimate(
                        gains, memory, shown, weights(rung) + answers
                    )
        return out

    def _memory(self, space: MethodSpace, rung: ModelSize) -> float:
        """Return the GPU memory needed at the largest batch of the space [bytes]."""
        usual = getattr(parse_knobs(find(space.method), space.default_config), "batch_size", 32)
        domain = space.knobs.get("batch_size")
        most = usual if domain is None else max(usual, *map(int, _ends(domain)))
        width = 2 if self.precision == "bf16" else 4
        tokens = min(self.data.task.max_length, rung.positions)
        return training_memory(rung, int(most), tokens, width)

    def test_seconds(self, config: TrialConfig) -> float:
        """Return the predicted time to score a trial's point on the whole test split [s]."""
        method, rung = find(config.method), find_rung(config.rung)
        shape = replace(self._shape(config), n_validation=len(self.data.splits["test"]))
        parts = method.price(parse_knobs(method, config.hyper), shape)
        return self._seconds(rung, {"validate": parts.get("validate", 0.0)}, shape)

    def first_seconds(self, name: str, rung: ModelSize, most: int) -> float:
        """Return the predicted time of a method's first knobs on the label budget `most` [s].

        0 if the method cannot train this model with them.
        """
        method = find(name)
        if rung.family not in method.families:
            return 0.0
        knobs = parse_knobs(method, method_spaces()[name].default_config)
        if method.check_model(knobs, rung):
            return 0.0
        shape = self._largest(name, rung, most, min(most, len(self.data.splits["validation"])))
        texts = max(0, min(method.unlabelled(knobs), self._texts(most)))
        shape = replace(shape, n_unlabelled=texts)
        return self._seconds(rung, method.price(knobs, shape), shape)

    def reference_point(self, space: SearchSpace) -> dict[str, float]:
        """Return the costs of the dearest legal configurations.

        Training FLOPs in full, and inference FLOPs a text. Each knob is set in turn to the end or
        option that makes the method's price largest.
        """
        most = {"train_flops_full": 0.0, "infer_flops": 0.0}
        n = max(space.labels)
        spaces = {**space.upstream, **space.methods}
        rungs = {**space.upstream_rungs, **space.rungs}
        highest: dict[str, float] = {}
        for name in sorted(rungs, key=lambda n: _depth(n, spaces)):  # inputs first
            for rung in (find_rung(r) for r in rungs[name]):
                shape = self._largest(name, rung, n, min(n, len(self.data.splits["validation"])))
                shape = replace(shape, n_unlabelled=self._most_texts(name, n))
                spent = sum(_dearest_config(name, spaces[name], shape).values())
                for names in spaces[name].inputs.values():
                    spent += max((highest[n] for n in names if n in highest), default=0.0)
                if _takes_logits(find(name)):
                    above = max((find_rung(r) for t in rungs for r in rungs[t]), key=size_of)
                    long = int(shape.lengths.max(initial=1))
                    spent += (n + shape.n_unlabelled) * int(encoder_forward(above, long))
                highest[name] = max(highest.get(name, 0.0), spent)
                # Of many texts next to nothing is padding, as in the objective's own lengths.
                costs = _dearest_config(name, spaces[name], replace(shape, n_validation=ENOUGH))
                if name in space.methods:
                    most["infer_flops"] = max(
                        most["infer_flops"], costs.get("validate", 0.0) / ENOUGH
                    )
        most["train_flops_full"] = max(highest[name] for name in space.methods)
        return most

    def _most_texts(self, name: str, labels: int) -> int:
        """Return the most unlabelled texts a method's knobs can use, capped by those left."""
        method, space = find(name), method_spaces()[name]
        changes = [{}, *({knob: v} for knob, d in space.knobs.items() for v in _ends(d))]
        configs = ({**space.default_config, **change} for change in changes)
        most = max(method.unlabelled(parse_knobs(method, config)) for config in configs)
        return max(0, min(most, self._texts(labels)))

    def _seconds(self, rung: ModelSize, parts: Mapping[str, float], shape: Shape) -> float:
        of = replace(shape, rung=rung)
        return family_of(rung).seconds(parts, of, lambda: self._rates_of(rung, shape))

    def _rates_of(self, rung: ModelSize, shape: Shape) -> Rates:
        """Return this machine's rates at the model's width of layer; measured once."""
        width = (rung.hidden, rung.intermediate)
        if width not in self._rates:
            length = max(4, round(float(shape.lengths.mean())))
            device = torch.device(self.place.device)
            self._rates[width] = self._call_worker(
                measure, rung, length, self.precision, device, self.place.threads
            )
        return self._rates[width]

    def _shape(self, config: TrialConfig) -> Shape:
        method, rung = find(config.method), find_rung(config.rung)
        knobs = parse_knobs(method, config.hyper)
        return Shape(
            rung,
            self.data.task,
            config.data.train,
            config.data.validation,
            self._text_lengths(rung, self._pattern(method, knobs)),
            config.data.unlabelled,
        )

    def _largest(self, name: str, rung: ModelSize, n_train: int, n_validation: int) -> Shape:
        """Return the sizes from which a method's price at this model size is predicted."""
        method = find(name)
        knobs = parse_knobs(method, method_spaces()[name].default_config)
        lengths = self._text_lengths(rung, self._pattern(method, knobs))
        return Shape(rung, self.data.task, n_train, n_validation, lengths)

    def _pattern(self, method: Method, knobs: Any) -> Pattern | None:
        templates = self.data.task.templates
        if not method.question(knobs) or not templates:
            return None
        return Pattern(templates[getattr(knobs, "template", 0) % len(templates)])

    def _text_lengths(
        self, rung: ModelSize, pattern: Pattern | None = None
    ) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the tokens of a sample of texts (n,) under the rung's tokeniser.

        Words for n-gram rungs.
        """
        folder = self.place.folder(rung)
        key = "words" if folder is None else f"{folder}{pattern and pattern.key}"
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
                self._lengths[key] = tokeniser.encode(loose, pattern).lengths
        return self._lengths[key]


def _takes_logits(method: Method) -> bool:
    return any(i.gives == "logits" for i in method.inputs)


def _depth(name: str, spaces: Mapping[str, MethodSpace], below: tuple[str, ...] = ()) -> int:
    """Return how many trials deep a method's inputs go; 0 where it takes none."""
    if name not in spaces or name in below:
        return 0
    inputs = {n for names in spaces[name].inputs.values() for n in names if n in spaces}
    return max((1 + _depth(n, spaces, (*below, name)) for n in inputs), default=0)


def size_of(rung: ModelSize) -> tuple[int, int]:
    """Return a sort key from cheap to dear.

    N-grams come first, then tables of them, then encoders by what a token costs.
    """
    return FAMILIES.index(rung.family), rung.layers * rung.hidden**2 or rung.buckets * max(
        1, rung.hidden
    )


def _ends(domain: Domain) -> Iterable[Scalar]:
    if domain.kind == "choice":
        return domain.options
    whole = domain.kind.endswith("randint")
    return (int(domain.low), int(domain.high) - 1) if whole else (domain.low, domain.high)


def _dearest_config(name: str, space: MethodSpace, shape: Shape) -> Mapping[str, float]:
    """Return FLOPs by phase of the knob set that coordinate-wise costs most."""
    method = find(name)
    best = dict(space.default_config)
    parts = method.price(parse_knobs(method, best), shape)
    for knob, value in itertools.chain.from_iterable(
        [(k, v) for v in _ends(d)] for k, d in space.knobs.items()
    ):
        tried = method.price(parse_knobs(method, {**best, knob: value}), shape)
        if sum(tried.values()) > sum(parts.values()):
            best, parts = {**best, knob: value}, tried
    return parts
