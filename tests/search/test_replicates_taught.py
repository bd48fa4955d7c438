"""Draws of students: laid out behind the same draws of their teachers, each paid once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.config.trial import TrialConfig
from raysearch.ledger import Charge
from raysearch.record import TrialRecord
from raysearch.search.replicates import (
    CONFIRM,
    START_SECONDS,
    Limits,
    Plan,
    ReplicateQueue,
    plan_replicates,
)
from tests.tune.fakes import FakePlace, FakeTrial, FakeWorld, failed, taught_space

STUDY = Study(name="s", task="fake", labels=(32,))
WORLD = FakeWorld(taught_space(teachers=("assist", "finetune")))
TEACHER = Proposal("finetune", "base", 32, {"learning_rate": 1e-3, "wish": "fine"})
ASSISTANT = Proposal("assist", "small", 32, {"alpha": 0.25}, {"teacher": TEACHER})


def student(alpha: float, teacher: Proposal = TEACHER) -> Proposal:
    return Proposal("kd", "tiny", 32, {"alpha": alpha}, {"teacher": teacher})


def record(proposal: Proposal, seconds: float = 1.0, flops: int = 100) -> TrialRecord:
    made = FakeTrial(WORLD.configure(proposal), FakePlace(), "search").record()
    own = Charge("train", "own", flops=flops, seconds=seconds)
    inherited = [
        Charge("train", t.id, flops=10**9, seconds=1e4) for t in made.config.upstream.values()
    ]
    return dataclasses.replace(made, bill=(own, *inherited))


def plan(made: Sequence[TrialRecord], draws: int = 3, **more: object) -> Plan:
    return plan_replicates(made, STUDY, draws, **{"everything": True, **more})  # type: ignore[arg-type]


def drawn(proposal: Proposal, draws: int = 3, folds: int = 0) -> list[TrialConfig]:
    config = WORLD.configure(proposal)
    return [config.with_seed(d, folds) for d in range(1, draws + 1)]


PLAIN = Proposal("lookup", "tiny", 32, {"k": 5})
MADE = [
    record(student(0.5, ASSISTANT), 1.0, 100),
    record(TEACHER, 50.0, 5000),
    record(PLAIN, 2.0, 200),
    record(ASSISTANT, 10.0, 1000),
    record(student(0.1), 3.0, 300),
]


@pytest.mark.parametrize("folds", [0, 3])
def test_each_draw_stands_behind_its_teachers_same_draw_and_once(folds: int) -> None:
    laid = plan(MADE, folds=folds)
    line = zip(
        drawn(TEACHER, folds=folds),
        drawn(ASSISTANT, folds=folds),
        drawn(student(0.5, ASSISTANT), folds=folds),
        strict=True,
    )
    alone = [*drawn(PLAIN, folds=folds), *drawn(student(0.1), folds=folds)]
    assert list(laid.draws) == [d for three in line for d in three] + alone
    assert laid.chosen == tuple(r.id for r in MADE) and laid.due == len(laid.draws) == 15
    ids = [d.id for d in laid.draws]
    assert len(set(ids)) == 15
    assert all(ids.index(t.id) < ids.index(d.id) for d in laid.draws for t in d.upstream.values())
    assert all(t.data == d.data for d in laid.draws for t in d.upstream.values()), (
        "fresh throughout"
    )


def test_a_draw_is_paid_once_by_its_own_trials_own_bill() -> None:
    laid = plan(MADE)
    assert laid.flops == 3 * (100 + 5000 + 200 + 1000 + 300)
    assert laid.seconds == pytest.approx(3 * (66.0 + 5 * START_SECONDS))
    assert plan(MADE, concurrency=2).seconds == pytest.approx(laid.seconds / 2)
    one = plan(MADE[:1])
    assert len(one.draws) == one.due == 9, "its teachers run, though no record is of them"
    assert one.flops == 300 and one.seconds == pytest.approx(3 * (1.0 + 3 * START_SECONDS))
    ran = [
        dataclasses.replace(record(TEACHER), id=d.id, config=d, phase=CONFIRM)
        for d in drawn(TEACHER)[:2]
    ]
    rest = plan([*MADE, *ran])
    assert rest.draws == laid.draws and rest.due == 13
    assert rest.flops == laid.flops - 2 * 5000


def test_a_student_pays_for_its_teacher_unless_another_has() -> None:
    pair = [MADE[4], record(student(0.2), 4.0, 400), MADE[1]]
    whole = plan(pair)
    assert whole.flops == 3 * (5000 + 300 + 400)
    tight = plan(pair, limits=Limits(flops=3 * 5350.0))
    assert tight.chosen == (pair[0].id, pair[2].id), "the first and its teacher, no more"
    assert {d.method for d in tight.draws} == {"finetune", "kd"} and tight.due == 6
    none = plan(pair, limits=Limits(flops=3 * 4900.0))
    assert none.chosen == () and none.left_out == tuple(r.id for r in pair)
    assert none.draws == (), "no teacher runs for nobody"
    late = plan([pair[0], pair[2]], limits=Limits(flops=3 * 5299.0))
    assert late.chosen == (pair[2].id,) and len(late.draws) == 3


def test_everything_is_every_trial_of_the_search_that_is_done() -> None:
    lost = failed(WORLD.configure(student(0.9)), FakePlace(), "search", "FAILED", "no", {})
    fresh = dataclasses.replace(MADE[2], id="x", config=drawn(PLAIN)[0], phase=CONFIRM)
    unscored = [dataclasses.replace(r, points=()) for r in MADE]
    laid = plan([lost, *unscored, fresh])
    assert laid.chosen == tuple(r.id for r in MADE)
    rate = {"learning_rate": 1e-5, "wish": "fine"}
    poor = record(dataclasses.replace(TEACHER, hyper=rate), 50.0, 5000)
    assert poor.id in plan([*MADE, poor]).chosen
    assert poor.id not in plan_replicates([*MADE, poor], STUDY, 3).chosen, "dominated: no candidate"
    assert plan([]).draws == ()


def test_candidates_of_a_search_bring_their_teachers_too() -> None:
    study = STUDY.model_copy(update={"objectives": ("score", "infer_flops")})
    made = [*MADE, record(student(0.3))]
    weak = dataclasses.replace(
        made[1],
        points=tuple(
            dataclasses.replace(p, scores={"validation": {"accuracy": 0.01}})
            for p in made[1].points
        ),
    )
    better = dataclasses.replace(TEACHER, rung="small")
    laid = plan_replicates([weak, record(better), *made[4:]], study, 3)
    assert weak.id not in laid.chosen
    assert {d.id for d in drawn(TEACHER)} <= {d.id for d in laid.draws}


def test_the_queue_says_whose_weights_it_needs_and_hands_out_teachers_when_told() -> None:
    laid = plan(MADE)
    queue = ReplicateQueue(laid.draws)
    teachers = {d.id for p in (TEACHER, ASSISTANT) for d in drawn(p)}
    assert queue.needs() == teachers
    last = drawn(TEACHER)[2]
    adopted = queue.adopt(last, TEACHER, "teacher")
    assert (adopted.config, adopted.source) == (last, CONFIRM)
    queue.requeue(adopted.proposal, last)
    assert queue.adopt(last, TEACHER, "teacher").config == last, "out of the queue, not twice"
    offered = [o.config for o in iter(queue.suggest, None)]
    assert offered == [d for d in laid.draws if d != last] and queue.needs() == set()
    deep = next(d for d in offered if "assist" in {t.method for t in d.upstream.values()})
    again = ReplicateQueue([deep])
    suggestion = again.suggest()
    assert suggestion is not None and suggestion.proposal == student(0.5, ASSISTANT)
    resumed = ReplicateQueue(laid.draws)
    done = [dataclasses.replace(MADE[0], id=d.id) for d in laid.draws[:9]]
    resumed.resume(done, [])
    assert resumed.needs() == {d.id for d in drawn(TEACHER)}
    deep = ReplicateQueue(plan(MADE[:1]).draws)
    deep.resume([dataclasses.replace(MADE[0], id=i) for i in teachers], [])
    assert deep.needs() == teachers, "of those still to come, and their teachers'"
