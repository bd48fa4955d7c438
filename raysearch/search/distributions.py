"""Our ranges as Optuna's distributions, and a proposal as Optuna's parameters and back.

The joint space is conditional: `method` first, then that method's model `<method>.model`, then its
knobs `<method>.<knob>`; `labels` is beside them and is set by the searcher. Where a method
takes an input that another trial makes, `<method>.<role>` is that trial's method (or `none`), and
its model, knobs and own inputs are below `<method>.<role>.<its method>`. The labels of an input
are always those of the trial that takes it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from raysearch.config.space import NONE, Domain, Proposal, SearchSpace
from raysearch.config.trial import Scalar

LISTABLE = 10_000
"""A whole-number range or a method's crossing up to this many values is listed when it runs dry."""
SOMEBODY = ""
"""Placeholder in a chain for a student that is not known yet."""


def distribution(domain: Domain) -> BaseDistribution:
    """Return Optuna's distribution of a domain; the upper end of integer ranges is excluded.

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


def candidates(space: SearchSpace, chain: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return what may make each input of a chain's last method, the usual first, by role.

    A chain is a method, what makes one of its inputs, and so on. No method is twice in a chain, and
    one that lacks an input of its own is left out. A role without candidates has an empty tuple.
    """
    of = space.methods[chain[0]] if len(chain) == 1 else space.upstream[chain[-1]]

    def usable(name: str) -> bool:
        if name == NONE:
            return True
        known = name not in chain and name in space.upstream and space.upstream_rungs.get(name)
        return bool(known) and all(candidates(space, (*chain, name)).values())

    return {role: tuple(filter(usable, of.inputs[role])) for role in sorted(of.inputs)}


def _build(
    space: SearchSpace,
    labels: int,
    chain: tuple[str, ...],
    choose: Callable[[str, Domain], Scalar],
    head: str,
) -> Proposal:
    """Return a proposal of the chain's last method, its parts chosen one by one, by their names."""
    method = chain[-1]
    if len(chain) == 1:
        of, rungs = space.methods[method], space.rungs[method]
    else:
        of, rungs = space.upstream[method], space.upstream_rungs[method]
    rung = choose(f"{head}.model", Domain("choice", rungs))
    hyper = {k: choose(f"{head}.{k}", d) for k, d in of.knobs.items()}
    inputs = {}
    for role, names in candidates(space, chain).items():
        name = str(choose(f"{head}.{role}", Domain("choice", names))) if names else NONE
        if name != NONE:
            below = f"{head}.{role}.{name}"
            inputs[role] = _build(space, labels, (*chain, name), choose, below)
    return Proposal(method, str(rung), labels, hyper, inputs)


def distributions(space: SearchSpace, proposal: Proposal) -> dict[str, BaseDistribution]:
    """Return every parameter that a proposal of the space has, with its distribution."""
    chosen = params(proposal)
    out: dict[str, BaseDistribution] = {
        "method": CategoricalDistribution(list(space.methods)),
        "labels": CategoricalDistribution(space.labels),
    }

    def choose(name: str, domain: Domain) -> Scalar:
        out[name] = distribution(domain)
        return chosen.get(name, NONE)

    _build(space, proposal.labels, (proposal.method,), choose, proposal.method)
    return out


def params(proposal: Proposal) -> dict[str, Scalar]:
    """Return a proposal as Optuna's parameters.

    >>> params(Proposal("knn", "tiny", 32, {"k": 3}))
    {'method': 'knn', 'labels': 32, 'knn.model': 'tiny', 'knn.k': 3}
    """
    return {
        "method": proposal.method,
        "labels": proposal.labels,
        **_params(proposal.method, proposal),
    }


def _params(head: str, proposal: Proposal) -> dict[str, Scalar]:
    return {
        f"{head}.model": proposal.rung,
        **{f"{head}.{k}": v for k, v in proposal.hyper.items()},
        **input_params(head, proposal.inputs),
    }


def input_params(head: str, inputs: Mapping[str, Proposal]) -> dict[str, Scalar]:
    """Return the part of a proposal's parameters that is its inputs'.

    >>> input_params("kd", {"teacher": Proposal("knn", "tiny", 32, {"k": 3})})
    {'kd.teacher': 'knn', 'kd.teacher.knn.model': 'tiny', 'kd.teacher.knn.k': 3}
    """
    out: dict[str, Scalar] = {}
    for role in sorted(inputs):
        name = inputs[role].method
        out[f"{head}.{role}"] = name
        out |= _params(f"{head}.{role}.{name}", inputs[role])
    return out


def holds(space: SearchSpace, proposal: Proposal) -> bool:
    """Return whether the space still holds a proposal, knob by knob, its inputs' included."""
    return proposal.method in space.methods and _fits(space, proposal, (), proposal.method)


def serves(space: SearchSpace, proposal: Proposal, chain: tuple[str, ...] = (SOMEBODY,)) -> bool:
    """Return whether a proposal may make an input of a chain's last method."""
    known = proposal.method in space.upstream and space.upstream_rungs.get(proposal.method)
    return bool(known) and proposal.method not in chain and _fits(space, proposal, chain, "t")


def _fits(space: SearchSpace, proposal: Proposal, chain: tuple[str, ...], head: str) -> bool:
    chosen = _params(head, proposal)

    def choose(name: str, domain: Domain) -> Scalar:
        value = chosen.get(name, NONE)
        if not domain.holds(value):
            raise KeyError(name)
        return value

    try:
        built = _build(space, proposal.labels, (*chain, proposal.method), choose, head)
    except KeyError:
        return False
    return proposal.labels in space.labels and built == proposal


def suggest(trial: optuna.trial.Trial, space: SearchSpace) -> Proposal:
    """Draw a whole proposal from an Optuna trial, method first."""
    method = trial.suggest_categorical("method", list(space.methods))
    labels = trial.suggest_categorical("labels", space.labels)

    def choose(name: str, domain: Domain) -> Scalar:
        return _suggest(trial, name, domain)

    return _build(space, int(labels), (method,), choose, method)


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
    """Draw a proposal at this label budget: method, model, knobs and inputs at random."""
    method = list(space.methods)[int(rng.integers(len(space.methods)))]
    return _build(space, labels, (method,), lambda _, domain: _draw(rng, domain), method)


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
    """Return every value of a domain; None for a continuous or very long one."""
    if domain.kind == "choice":
        return domain.options
    if domain.kind in ("randint", "lograndint") and domain.high - domain.low <= LISTABLE:
        return tuple(range(int(domain.low), int(domain.high)))
    return None


def all_proposals(space: SearchSpace, labels: int) -> Iterator[Proposal]:
    """Yield every proposal at this label budget of the methods whose knobs can be listed.

    Of inputs, one for each candidate: its largest model with its first knobs.
    """
    for method, of in space.methods.items():
        listed: Mapping[str, Any] = {k: values(d) for k, d in of.knobs.items()}
        if any(v is None for v in listed.values()):
            continue
        if math.prod(len(v) for v in listed.values()) > LISTABLE:
            continue
        for rung, inputs in itertools.product(
            space.rungs[method], every_input(space, (method,), labels)
        ):
            for chosen in itertools.product(*listed.values()):
                hyper = dict(zip(listed, chosen, strict=True))
                yield Proposal(method, rung, labels, hyper, inputs)


def every_input(
    space: SearchSpace, chain: tuple[str, ...], labels: int
) -> list[dict[str, Proposal]]:
    """Return every combination of candidates for the inputs of a chain's last method."""
    roles = {role: names for role, names in candidates(space, chain).items() if names}
    return [
        {
            role: first_input(space, (*chain, name), labels)
            for role, name in zip(roles, names, strict=True)
            if name != NONE
        }
        for names in itertools.product(*roles.values())
    ]


def first_input(space: SearchSpace, chain: tuple[str, ...], labels: int) -> Proposal:
    """Return a chain's last method on its largest model with first knobs and usual inputs."""
    name = chain[-1]
    inputs = every_input(space, chain, labels)[0]
    rung = space.upstream_rungs[name][-1]
    return Proposal(name, rung, labels, dict(space.upstream[name].default_config), inputs)


def only(space: SearchSpace, method: str) -> SearchSpace:
    """Return the part of a space that is this method's; what may make its inputs stays."""
    return replace(
        space,
        methods={method: space.methods[method]},
        rungs={method: space.rungs[method]},
    )
