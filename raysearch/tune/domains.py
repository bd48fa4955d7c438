"""Our ranges as Optuna's distributions, and a proposal as Optuna's parameters and back.

The joint space is conditional: `method` first, then that method's model `<method>.model`, then its
knobs `<method>.<knob>`; `labels` stands beside them and is set by the searcher.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from raysearch.plan.config import Scalar
from raysearch.plan.space import Domain, Proposal, SearchSpace

LISTABLE = 10_000
"""A whole-number range or a method's crossing up to this many values is listed when it runs dry."""


def distribution(domain: Domain) -> BaseDistribution:
    """The Optuna distribution of a domain; the upper end of whole-number ranges stays out.

    >>> distribution(Domain("lograndint", low=8, high=65))
    IntDistribution(high=64, log=True, low=8, step=1)
    """
    match domain.kind:
        case "choice":
            return CategoricalDistribution(domain.options)
        case "randint" | "lograndint":
            log = domain.kind == "lograndint"
            return IntDistribution(int(domain.low), int(domain.high) - 1, log=log)
        case _:
            return FloatDistribution(domain.low, domain.high, log=domain.kind == "loguniform")


def distributions(space: SearchSpace, method: str) -> dict[str, BaseDistribution]:
    """Every parameter a proposal of this method has, with its distribution."""
    return {
        "method": CategoricalDistribution(list(space.methods)),
        "labels": CategoricalDistribution(space.labels),
        f"{method}.model": CategoricalDistribution(space.rungs[method]),
        **{f"{method}.{k}": distribution(d) for k, d in space.methods[method].knobs.items()},
    }


def params(proposal: Proposal) -> dict[str, Scalar]:
    """A proposal as Optuna's parameters.

    >>> params(Proposal("knn", "tiny", 32, {"k": 3}))
    {'method': 'knn', 'labels': 32, 'knn.model': 'tiny', 'knn.k': 3}
    """
    m = proposal.method
    return {
        "method": m,
        "labels": proposal.labels,
        f"{m}.model": proposal.rung,
        **{f"{m}.{k}": v for k, v in proposal.hyper.items()},
    }


def holds(space: SearchSpace, proposal: Proposal) -> bool:
    """Whether the space still holds a proposal, knob by knob."""
    method = space.methods.get(proposal.method)
    return (
        method is not None
        and proposal.rung in space.rungs.get(proposal.method, ())
        and proposal.labels in space.labels
        and set(proposal.hyper) == set(method.knobs)
        and all(method.knobs[k].holds(v) for k, v in proposal.hyper.items())
    )


def suggest(trial: optuna.trial.Trial, space: SearchSpace) -> Proposal:
    """Ask a trial for a whole proposal, method first."""
    method = trial.suggest_categorical("method", list(space.methods))
    labels = trial.suggest_categorical("labels", space.labels)
    rung = trial.suggest_categorical(f"{method}.model", space.rungs[method])
    hyper = {k: _suggest(trial, f"{method}.{k}", d) for k, d in space.methods[method].knobs.items()}
    return Proposal(method, rung, int(labels), hyper)


def _suggest(trial: optuna.trial.Trial, name: str, domain: Domain) -> Scalar:
    match domain.kind:
        case "choice":
            value: Any = trial.suggest_categorical(name, domain.options)
            return value  # type: ignore[no-any-return]
        case "randint" | "lograndint":
            log = domain.kind == "lograndint"
            return trial.suggest_int(name, int(domain.low), int(domain.high) - 1, log=log)
        case _:
            log = domain.kind == "loguniform"
            return trial.suggest_float(name, domain.low, domain.high, log=log)


def sample(rng: np.random.Generator, space: SearchSpace, labels: int) -> Proposal:
    """Draw a proposal at this label budget: method, model and knobs at random."""
    method = list(space.methods)[int(rng.integers(len(space.methods)))]
    rung = space.rungs[method][int(rng.integers(len(space.rungs[method])))]
    hyper = {k: _draw(rng, d) for k, d in space.methods[method].knobs.items()}
    return Proposal(method, rung, labels, hyper)


def _draw(rng: np.random.Generator, domain: Domain) -> Scalar:
    match domain.kind:
        case "choice":
            return domain.options[int(rng.integers(len(domain.options)))]
        case "uniform":
            return float(rng.uniform(domain.low, domain.high))
        case "loguniform":
            return float(math.exp(rng.uniform(math.log(domain.low), math.log(domain.high))))
        case "randint":
            return int(rng.integers(int(domain.low), int(domain.high)))
        case _:
            drawn = math.exp(rng.uniform(math.log(domain.low), math.log(domain.high)))
            return min(max(int(drawn), int(domain.low)), int(domain.high) - 1)


def values(domain: Domain) -> tuple[Scalar, ...] | None:
    """Every value of a domain; None for a continuous or very long one."""
    if domain.kind == "choice":
        return domain.options
    if domain.kind in ("randint", "lograndint") and domain.high - domain.low <= LISTABLE:
        return tuple(range(int(domain.low), int(domain.high)))
    return None


def every(space: SearchSpace, labels: int) -> Iterator[Proposal]:
    """Every proposal at this label budget of the methods whose knobs can be listed."""
    for method, knobs in space.methods.items():
        listed: Mapping[str, Any] = {k: values(d) for k, d in knobs.knobs.items()}
        if any(v is None for v in listed.values()):
            continue
        if math.prod(len(v) for v in listed.values()) > LISTABLE:
            continue
        for rung in space.rungs[method]:
            for chosen in itertools.product(*listed.values()):
                yield Proposal(method, rung, labels, dict(zip(listed, chosen, strict=True)))
