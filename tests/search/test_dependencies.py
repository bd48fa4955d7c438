"""Students wait for their teachers outside any slot: the desk's side, without Ray."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from pathlib import Path

import optuna
import pytest

from raysearch.config.space import Domain
from raysearch.run.folder import RunFolder, read_suggestions
from raysearch.search.controller import StudyController
from raysearch.search.dependencies import DependencyQueue
from raysearch.search.suggestion import Suggestion, missing_upstream, proposal_from, upstream_trials
from tests.tune.desks import (
    KNOBS,
    SPACE,
    TEACHER,
    desk,
    drawn,
    end,
    error,
    id_of,
    kept,
    lines,
    plain,
    student,
)
from tests.tune.fakes import FakeWorld, taught_space


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


# Order


def test_a_students_teacher_runs_first_and_others_meanwhile(tmp_path: Path) -> None:
    crossing = [student(0.1), student(0.2), plain(1), plain(2), plain(3)]
    at = desk(tmp_path / "run", crossing=crossing)
    teacher = at.draw()
    assert teacher is not None and (teacher.proposal, teacher.source) == (TEACHER, "teacher")
    assert drawn(at) == plain(1) and not at.waits
    assert at.snapshot().parked == len(at.parked) == 2 and at.snapshot().running == 2
    end(at, teacher)
    assert [drawn(at) for _ in range(4)] == [*crossing[:2], plain(2), plain(3)]
    assert at.draw() is None and not at.waits and "exhausted" in at.stopped_by
    methods = ["finetune", "kd", "kd", "lookup", "lookup", "lookup"]
    assert [(n, m) for n, _, m in lines(tmp_path / "run")] == list(enumerate(methods))
    log = (tmp_path / "run" / "log.txt").read_text()
    waits = f"{id_of(crossing[0])} kd from finetune tiny 32 labels: waits for its teacher"
    assert f"{waits} {teacher.config.id}" in log


def test_where_only_students_are_left_the_desk_waits(tmp_path: Path) -> None:
    at = desk(tmp_path / "run", crossing=[student(0.1), student(0.2)])
    teacher = at.draw()
    assert teacher is not None
    for _ in range(3):
        assert at.draw() is None and at.waits and at.stopped_by == ""
    end(at, teacher)
    assert drawn(at) == student(0.1) and not at.waits
    assert drawn(at) == student(0.2)
    assert at.draw() is None and not at.waits and "exhausted" in at.stopped_by


def test_a_teachers_teacher_runs_before_it(tmp_path: Path) -> None:
    assistant = student(0.25, method="assist")
    deep = student(0.5, assistant)
    at = desk(tmp_path / "run", crossing=[deep, student(0.7)])
    order = []
    while (suggestion := at.draw()) is not None:
        order.append(suggestion.proposal)
        assert at.draw() is None or len(order) == 2
        end(at, suggestion)
        for other in list(at.running.values()):
            order.append(other.proposal)
            end(at, other)
    assert order[:2] == [TEACHER, assistant]
    assert {p.hyper["alpha"] for p in order[2:]} == {0.5, 0.7} and len(order) == 4


def test_a_teacher_that_runs_anyway_is_no_trial_of_its_own(tmp_path: Path) -> None:
    at = desk(tmp_path / "run", crossing=[TEACHER, plain(1), student(0.1), plain(2)])
    teacher = at.draw()
    assert teacher is not None and teacher.source == "first"
    assert [drawn(at), drawn(at)] == [plain(1), plain(2)], "the student is parked"
    end(at, teacher)
    assert drawn(at) == student(0.1)
    for suggestion in list(at.running.values()):
        end(at, suggestion)
    late = desk(tmp_path / "run", crossing=[student(0.3)])
    assert drawn(late) == student(0.3) and not late.waits, "a record is a teacher"


def test_parking_hands_out_in_the_order_of_arrival() -> None:
    world, parked = FakeWorld(SPACE), DependencyQueue()
    suggestions = [
        Suggestion(world.configure(student(a)), student(a), "first") for a in (0.1, 0.2, 0.3)
    ]
    for suggestion, waits in zip(suggestions, (["a", "b"], ["b"], []), strict=True):
        parked.add(suggestion, waits)
    assert len(parked) == 3 and suggestions[0].config.id in parked
    assert parked.next() == suggestions[2] and parked.next() is None
    parked.done("b")
    assert parked.next() == suggestions[1] and parked.next() is None
    assert parked.lost("b") == [] and parked.lost("a") == [suggestions[0]] and len(parked) == 0


def test_teachers_are_listed_before_their_students_and_once() -> None:
    world = FakeWorld(SPACE)
    deep = student(0.5, student(0.25, method="assist"))
    config = world.configure(deep)
    assert [c.method for c in upstream_trials(config)] == ["finetune", "assist"]
    both = dataclasses.replace(
        config, inputs={**config.inputs, "generator": world.configure(TEACHER)}
    )
    assert [c.method for c in upstream_trials(both)] == ["finetune", "assist"]
    for each in (config, both):
        assert [p for _, _, p in missing_upstream(each, deep, lambda _: False)] == [
            TEACHER,
            deep.inputs.get("teacher"),
        ]
    assert missing_upstream(both, deep, {c.id for c in upstream_trials(both)}.__contains__) == []
    assert proposal_from(config) == deep


# Failure


@pytest.mark.parametrize("status", ["FAILED", "INFEASIBLE", "STOPPED"])
def test_students_fail_with_their_teacher_and_the_study_goes_on(
    tmp_path: Path, status: str
) -> None:
    assistant = student(0.25, method="assist")
    deep = student(0.9, assistant)
    crossing = [student(0.1), student(0.2), deep, plain(1), student(0.3), plain(2)]
    at = desk(tmp_path / "run", crossing=crossing)
    teacher = at.draw()
    assert teacher is not None and drawn(at) == plain(1)
    end(at, teacher, status, error=None if status == "STOPPED" else "out of memory")
    why = f"its teacher {id_of(TEACHER)} finetune base failed: "
    why += "STOPPED" if status == "STOPPED" else "out of memory"
    assert error(at, student(0.1)) == error(at, student(0.2)) == why
    assert error(at, assistant) == why
    assert error(at, deep) == f"its teacher {id_of(assistant)} assist tiny failed: {why}"
    assert drawn(at) == plain(2), "the next student fails at once"
    assert error(at, student(0.3)) == why
    assert at.draw() is None and not at.waits and len(at.parked) == 0
    counts = at.snapshot().by_status
    assert counts == Counter({"FAILED": 5}) + Counter({status: 1})
    assert [m for _, _, m in lines(tmp_path / "run")].count("kd") == 4, "each has its line"
    for suggestion in list(at.running.values()):
        end(at, suggestion)
    again = desk(tmp_path / "run", crossing=[student(0.4)])
    assert again.draw() is None and error(again, student(0.4)) == why


def test_students_of_an_infeasible_teacher_fail_with_its_reason(tmp_path: Path) -> None:
    unfit = dataclasses.replace(TEACHER, hyper={**KNOBS, "wish": "unfit"})
    at = desk(tmp_path / "run", crossing=[student(0.1, unfit), student(0.2, unfit), plain(1)])
    assert drawn(at) == plain(1)
    found = {(r.config.method, r.status, r.error) for r in at.records.values()}
    (teacher,) = (r for r in at.records.values() if r.config.method == "finetune")
    why = f"its teacher {teacher.id} finetune base failed: does not fit"
    assert found == {("finetune", "INFEASIBLE", "does not fit"), ("kd", "FAILED", why)}
    assert len(at.records) == 3


def test_an_infeasible_student_needs_no_teacher(tmp_path: Path) -> None:
    unfit = dataclasses.replace(student(0.1), hyper={"alpha": 0.1, "wish": "unfit"})
    at = desk(tmp_path / "run", crossing=[unfit, plain(1)])
    assert drawn(at) == plain(1)
    assert [(r.config.method, r.status) for r in at.records.values()] == [("kd", "INFEASIBLE")]


def test_a_teacher_that_breaks_the_run_is_retried_and_then_given_up(tmp_path: Path) -> None:
    at = desk(tmp_path / "run", crossing=[student(0.1), plain(1), student(0.2), plain(2)])
    assert [drawn(at), drawn(at)] == [TEACHER, plain(1)]
    at.break_down(set(), "Ray broke")
    assert at.records == {} and len(at.parked) == 1
    again = at.draw()
    assert again is not None and (again.proposal, again.source) == (TEACHER, "queue")
    assert [drawn(at), drawn(at)] == [plain(1), plain(2)], "students wait on"
    at.break_down({again.config.id}, "killed for memory")
    assert error(at, student(0.1)) == (
        f"its teacher {id_of(TEACHER)} finetune base failed: killed for memory"
    )
    assert [drawn(at), drawn(at), drawn(at)] == [plain(1), plain(2), None]
    assert error(at, student(0.2)) is not None and not at.waits


# Limits


def test_a_student_and_its_new_teacher_need_room_for_two(tmp_path: Path) -> None:
    at = desk(tmp_path / "run", 2, crossing=[plain(1), student(0.1), plain(2)])
    assert [drawn(at), drawn(at), drawn(at)] == [plain(1), TEACHER, None]
    assert not at.waits and at.stopped_by == "all 2 trials have run"
    assert [m for _, _, m in lines(tmp_path / "run")] == ["lookup", "finetune"]
    for suggestion in list(at.running.values()):
        end(at, suggestion)
    more = desk(tmp_path / "run", 4, crossing=[plain(1), student(0.1), plain(2)])
    assert [drawn(more), drawn(more)] == [student(0.1), plain(2)], "it was only left out"
    assert [n for n, _, _ in lines(tmp_path / "run")] == [0, 1, 2, 3]


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_of_a_long_line_of_teachers_those_run_that_there_is_room_for(
    tmp_path: Path, trials: int
) -> None:
    deep = student(0.5, student(0.25, method="assist"))
    at = desk(tmp_path / "run", trials, crossing=[deep])
    for proposal in (TEACHER, deep.inputs.get("teacher"), deep)[:trials]:
        suggestion = at.draw()
        assert suggestion is not None and suggestion.proposal == proposal
        assert len(at.records) + len(at.running) + len(at.parked) == trials
        end(at, suggestion)
    assert at.draw() is None and not at.waits and len(at.records) == trials
    assert len(lines(tmp_path / "run")) == trials


def test_what_is_parked_when_a_limit_is_reached_comes_first_next_time(tmp_path: Path) -> None:
    crossing = [student(0.1), plain(1), student(0.2), plain(2)]
    at = desk(tmp_path / "run", crossing=crossing, flops=1.0)
    teacher = at.draw()
    assert teacher is not None and drawn(at) == plain(1)
    end(at, teacher)
    assert at.draw() is None and not at.waits
    assert at.stopped_by == "the budget of 1 FLOPs is spent"
    assert set(at.records) == {id_of(TEACHER)}, "parked students are not run, and not failed"
    again = desk(tmp_path / "run", crossing=crossing)
    suggestions = [again.draw() for _ in range(4)]
    assert [(o.proposal, o.source) for o in suggestions if o] == [
        (student(0.1), "queue"),
        (plain(1), "queue"),
        (student(0.2), "first"),
        (plain(2), "first"),
    ]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_count_holds_and_no_student_is_early(
    tmp_path: Path, seed: int
) -> None:
    """Slots at work on a search whose trials end in any order, fail, break down and go on."""
    rng = random.Random(seed)
    trials, slots = rng.randint(3, 24), rng.randint(1, 4)
    stratify = rng.choice([["methods", "models"], []])
    outside = rng.random() < 0.5
    space = taught_space((32, 100), teachers=("assist", "finetune"), outside=outside)
    if rng.random() < 0.5:  # few knobs: the sampler comes back to teachers that are known
        few = {"learning_rate": Domain("choice", options=(1e-3, 1e-4, 1e-5))}
        first = {"learning_rate": 1e-3}
        coarse = dataclasses.replace(space.upstream["finetune"], knobs=few, default_config=first)
        space = dataclasses.replace(space, upstream={**space.upstream, "finetune": coarse})
        if not outside:
            methods = {**space.methods, "finetune": coarse}
            space = dataclasses.replace(space, methods=methods)
    sick = rng.choice([0.0, 0.3])
    store: set[str] = set()  # whose weights are there

    def opened() -> StudyController:
        return desk(tmp_path / "run", trials, space=space, labels=(32, 100), stratify=stratify)

    at = opened()
    for _ in range(500):
        while len(at.running) < slots and (suggestion := at.draw()) is not None:
            for teacher in suggestion.config.upstream.values():
                assert at.records[teacher.id].status == "DONE" and teacher.id in store
        assert at.spent.trials + len(at.running) + len(at.parked) <= trials
        assert at.waits <= bool(at.running), "who waits is waiting for somebody"
        if not at.running:
            break
        kind = rng.random()
        if kind < 0.05:
            at.break_down(set(), "Ray broke")
        elif kind < 0.1:  # killed: a fresh run goes on from what is on disk
            at.close()
            at = opened()
        else:
            suggestion = rng.choice(list(at.running.values()))
            end(at, suggestion, "FAILED" if rng.random() < sick else "DONE")
            store = (store | {suggestion.config.id}) & kept(at)
    assert at.stopped_by == f"all {trials} trials have run" and len(at.parked) == 0
    text = (tmp_path / "run" / "records.jsonl").read_text().splitlines()
    ids = [json.loads(line)["id"] for line in text]
    assert len(ids) == len(set(ids)) == trials
    suggested = {s.id for s in read_suggestions(RunFolder(tmp_path / "run"))}
    assert suggested == set(ids), "nothing was suggested in vain"
    for record in at.records.values():
        for teacher in record.config.upstream.values():
            assert ids.index(teacher.id) < ids.index(record.id)


def test_the_sampler_does_not_fill_the_study_with_students_of_one_teacher(tmp_path: Path) -> None:
    space = taught_space((32,))
    alone = dataclasses.replace(space, methods={"kd": space.methods["kd"]}, rungs={"kd": ("tiny",)})
    at = desk(tmp_path / "run", 60, space=alone)
    teacher = at.draw()
    assert teacher is not None
    assert at.draw() is None and at.waits
    assert 1 <= len(at.parked) <= 2, "what more is proposed now has learned nothing"
    at.break_down(set(), "Ray broke")
    again = at.draw()
    assert again is not None and again.config == teacher.config, "nobody waits for the queue"
    end(at, teacher)
    ran = 0
    while (suggestion := at.draw()) is not None:
        end(at, suggestion)
        ran += 1
    assert ran == 59 and at.stopped_by == "all 60 trials have run"


def test_one_good_teacher_has_many_students(tmp_path: Path) -> None:
    at = desk(tmp_path / "run", 40, space=taught_space((32,)))
    while (suggestion := at.draw()) is not None:
        end(at, suggestion)
    students_of = Counter(
        r.config.upstream["teacher"].id for r in at.records.values() if r.config.upstream.values()
    )
    most = students_of.most_common(1)[0][1]
    assert most >= 5 and students_of.total() >= 15, "it is not built anew for each"
