"""Teachers as Optuna's parameters: a proposal there and back, and what the space holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest

from raysearch.config.space import Domain, Proposal, SearchSpace
from raysearch.search import distributions
from tests.tune.fakes import SIZES, taught_space


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def teacher_of(proposal: Proposal) -> Proposal:
    return proposal.inputs["teacher"]


DEEP = taught_space((32, 100), teachers=("assist", "finetune"))


def drawn(space: SearchSpace, n: int = 200) -> list[Proposal]:
    rng = np.random.default_rng(0)
    return [distributions.sample(rng, space, 32) for _ in range(n)]


def test_a_proposal_goes_to_optuna_and_comes_back() -> None:
    found = drawn(DEEP)
    assert {p.inputs["teacher"].method for p in found if p.inputs.get("teacher")} == {
        "assist",
        "finetune",
    }
    made = optuna.create_study()
    for proposal in found:
        assert distributions.holds(DEEP, proposal)
        params = distributions.params(proposal)
        assert set(params) == set(distributions.distributions(DEEP, proposal))
        made.enqueue_trial(dict(params))
        trial = made.ask()
        assert distributions.suggest(trial, DEEP) == proposal
        assert trial.params == params and trial.distributions == distributions.distributions(
            DEEP, proposal
        )
    deep = next(
        p for p in found if p.inputs.get("teacher") and p.inputs["teacher"].method == "assist"
    )
    assert {k for k in distributions.params(deep) if k.startswith("kd.teacher")} == {
        "kd.teacher",
        "kd.teacher.assist.model",
        "kd.teacher.assist.alpha",
        "kd.teacher.assist.teacher",
        "kd.teacher.assist.teacher.finetune.model",
        "kd.teacher.assist.teacher.finetune.learning_rate",
        "kd.teacher.assist.teacher.finetune.wish",
    }
    assert Proposal.from_json(deep.to_json()) == deep


CHANGES: dict[str, Any] = {
    "no teacher": lambda p: replace(p, inputs={}),
    "other labels": lambda p: replace(
        p, inputs={"teacher": replace(p.inputs["teacher"], labels=100)}
    ),
    "unknown rung": lambda p: replace(
        p, inputs={"teacher": replace(p.inputs["teacher"], rung="huge")}
    ),
    "unknown method": lambda p: replace(
        p, inputs={"teacher": replace(p.inputs["teacher"], method="tapt")}
    ),
    "knob outside": lambda p: replace(
        p,
        inputs={
            "teacher": replace(p.inputs["teacher"], hyper={"learning_rate": 9.0, "wish": "fine"})
        },
    ),
    "knob missing": lambda p: replace(
        p, inputs={"teacher": replace(p.inputs["teacher"], hyper={"wish": "fine"})}
    ),
    "knob too many": lambda p: replace(
        p,
        inputs={
            "teacher": replace(p.inputs["teacher"], hyper={**p.inputs["teacher"].hyper, "x": 1})
        },
    ),
    "teacher's teacher": lambda p: replace(
        p, inputs={"teacher": replace(p.inputs["teacher"], inputs=p.inputs)}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_holds_asks_the_teacher_too(change: str) -> None:
    good = next(
        p
        for p in drawn(DEEP)
        if p.inputs.get("teacher") and p.inputs["teacher"].method == "finetune"
    )
    assert distributions.holds(DEEP, good) and not distributions.holds(DEEP, CHANGES[change](good))
    plain = next(p for p in drawn(DEEP) if p.method == "lookup")
    assert not distributions.holds(
        DEEP, replace(plain, inputs={"teacher": good.inputs["teacher"]})
    ), "none may stand here"


def test_who_may_teach_is_told_from_who_is_in_the_study() -> None:
    teacher = Proposal("finetune", "base", 32, {"learning_rate": 1e-3, "wish": "fine"})
    assert distributions.serves(DEEP, teacher) and not distributions.holds(DEEP, teacher)
    assert not distributions.serves(DEEP, replace(teacher, labels=7))
    assert not distributions.serves(DEEP, Proposal("lookup", "tiny", 32, {"k": 5}))
    inside = taught_space((32,), outside=False)
    assert distributions.holds(inside, teacher) and distributions.serves(inside, teacher)


def test_nobody_teaches_himself_in_a_line_of_teachers() -> None:
    space = taught_space((32,))
    kd = replace(space.methods["kd"], inputs={"teacher": ("kd", "finetune")})
    born = replace(space, methods={"kd": kd}, rungs={"kd": ("tiny",)})
    born = replace(born, upstream={**space.upstream, "kd": kd})
    born = replace(born, upstream_rungs={**space.upstream_rungs, "kd": ("tiny",)})
    assert distributions.candidates(born, ("kd",))["teacher"] == ("finetune",)
    both = taught_space((32,), teachers=("assist", "finetune"))
    assert distributions.candidates(both, ("kd",))["teacher"] == ("assist", "finetune")
    lonely = replace(both, upstream={"assist": both.upstream["assist"]})
    assert distributions.candidates(lonely, ("kd",))["teacher"] == (), (
        "a teacher without a teacher is none"
    )
    teacher = Proposal("finetune", "base", 32, {"learning_rate": 1e-3, "wish": "fine"})
    assistant = Proposal("assist", "tiny", 32, {"alpha": 0.5}, {"teacher": teacher})
    assert distributions.serves(both, assistant, ("kd",))
    assert not distributions.serves(both, assistant, ("finetune", "kd"))
    assert not distributions.serves(both, assistant, ("assist", "kd"))


def test_every_lists_the_first_knobs_of_each_teacher_method_alone() -> None:
    knobs = {"temperature": Domain("choice", options=(1, 2))}
    space = taught_space((32,), teachers=("finetune", "assist"))
    kd = replace(space.methods["kd"], knobs=knobs, default_config={"temperature": 1})
    listed = list(
        distributions.all_proposals(
            distributions.only(replace(space, methods={"kd": kd}), "kd"), 32
        )
    )
    assert len(listed) == 3 * 2 * 2 == len({repr(p) for p in listed})
    teachers = [teacher_of(p) for p in listed]
    assert {(t.method, t.rung) for t in teachers} == {("finetune", "base"), ("assist", "base")}
    small = replace(space, methods={"kd": kd}, rungs={"kd": tuple(SIZES)})
    assert all(distributions.holds(small, p) for p in listed)
    deep = [t for t in teachers if t.method == "assist"]
    assert all(teacher_of(t).hyper == space.upstream["finetune"].default_config for t in deep)
