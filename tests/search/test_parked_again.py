"""Students and teachers taken up again, their weights, and their draws; without Ray."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from raysearch.config.trial import TrialConfig
from raysearch.record import TrialRecord
from raysearch.run.folder import RunFolder, SuggestionLogEntry, append_suggestion, read_suggestions
from raysearch.search.replicates import CONFIRM, plan_replicates
from tests.tune.desks import (
    KNOBS,
    SPACE,
    STUDY,
    TEACHER,
    desk,
    drawn,
    end,
    id_of,
    kept,
    plain,
    student,
)
from tests.tune.fakes import FakeWorld


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


# Going on


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_parked_students_are_taken_up_again(tmp_path: Path, done: bool, order: int) -> None:
    crossing = [student(0.1), student(0.2), plain(1)]
    at = desk(tmp_path / "run", crossing=crossing)
    teacher = at.draw()
    assert teacher is not None and drawn(at) == plain(1)
    if done:
        end(at, teacher)
    at.close()
    past = read_suggestions(RunFolder(tmp_path / "run"))
    (tmp_path / "run" / "suggestions.jsonl").unlink()
    for s in past[::order]:  # whatever the order of the lines
        append_suggestion(RunFolder(tmp_path / "run"), s)
    again = desk(tmp_path / "run", crossing=crossing)
    found = [again.draw() for _ in range(3)]
    if done:
        assert {o.config.id for o in found if o} == {id_of(p) for p in crossing}
        assert {o.source for o in found if o} == {"queue"}
        return
    ran = [o for o in found if o is not None]
    assert {o.config.id for o in ran} == {id_of(TEACHER), id_of(plain(1))} and again.waits
    end(again, next(o for o in ran if o.proposal == TEACHER))
    assert {drawn(again).hyper["alpha"] for _ in range(2)} == {0.1, 0.2}  # type: ignore[union-attr]


def test_a_queued_teacher_has_room_though_its_student_came_first(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for n, p in enumerate((student(0.1), TEACHER)):
        append_suggestion(RunFolder(out), SuggestionLogEntry(n, id_of(p), p, "first"))
    at = desk(out, 2, crossing=[student(0.1)])
    teacher = at.draw()
    assert teacher is not None and teacher.proposal == TEACHER and at.draw() is None and at.waits
    end(at, teacher)
    assert drawn(at) == student(0.1) and at.draw() is None


# Weights


def test_weights_of_teachers_are_kept_while_anybody_may_need_them(tmp_path: Path) -> None:
    """The teacher is worse than another of its cell: no leader, on no frontier."""
    poor = dataclasses.replace(TEACHER, hyper={**KNOBS, "learning_rate": 1e-5})
    poorer = dataclasses.replace(TEACHER, hyper={**KNOBS, "learning_rate": 2e-5})
    also = dataclasses.replace(TEACHER, hyper={**KNOBS, "learning_rate": 3e-5})
    assistant = student(0.25, poorer, method="assist")
    crossing = [poor, poorer, also, TEACHER, student(0.5, assistant), plain(1), student(0.6, poor)]
    at = desk(tmp_path / "run", crossing=crossing)
    for _ in range(4):
        suggestion = at.draw()
        assert suggestion is not None
        end(at, suggestion)
    taught = {id_of(poor), id_of(poorer)}
    assert kept(at) >= taught | {id_of(TEACHER)}, "students in the crossing are still to come"
    assert id_of(also) not in kept(at)
    first = at.draw()
    assert first is not None and first.proposal == assistant
    assert drawn(at) == plain(1)
    end(at, first)
    assert kept(at) >= taught | {id_of(assistant)}, "of the parked"
    for _ in range(2):
        assert at.draw() is not None
    for suggestion in list(at.running.values()):
        end(at, suggestion)
    assert kept(at) >= taught | {id_of(assistant)}, "of the recorded"
    at.close()
    later = desk(tmp_path / "run", crossing=[plain(9)])
    suggestion = later.draw()
    assert suggestion is not None
    end(later, suggestion)
    assert kept(later) >= taught | {id_of(assistant)} and id_of(also) not in kept(later)


def test_weights_for_a_queued_student_are_kept_by_every_phase(tmp_path: Path) -> None:
    poor = dataclasses.replace(TEACHER, hyper={**KNOBS, "learning_rate": 1e-5})
    at = desk(tmp_path / "run", crossing=[poor, TEACHER, plain(1), student(0.1, poor), plain(2)])
    for _ in range(3):
        suggestion = at.draw()
        assert suggestion is not None
        end(at, suggestion)
    assert drawn(at) == student(0.1, poor)
    at.close()  # the student is suggested, never ended
    lookup = FakeWorld(SPACE).configure(plain(1))
    for again in (
        desk(tmp_path / "run", crossing=[plain(2)]),
        desk(tmp_path / "run", draws=[lookup.with_seed(1)]),
    ):
        suggestion = again.draw()
        while suggestion is not None and suggestion.proposal.method == "kd":
            suggestion = again.draw()
        assert suggestion is not None
        end(again, suggestion)
        assert id_of(poor) in kept(again), again.phase
        again.close()


# Draws


def laid(out: Path, n: int = 3, **more: Any) -> tuple[TrialConfig, ...]:
    return plan_replicates(RunFolder(out).read().trials, STUDY, n, **more).draws


def searched(out: Path) -> list[TrialRecord]:
    at = desk(out, crossing=[student(0.1), student(0.2), plain(1)])
    while (suggestion := at.draw()) is not None:
        end(at, suggestion)
    at.close()
    return list(at.records.values())


def test_draws_of_students_wait_for_the_same_draws_of_their_teachers(tmp_path: Path) -> None:
    out = tmp_path / "run"
    searched(out)
    plan = laid(out, everything=True)
    assert len(plan) == 3 * 4
    at = desk(out, draws=plan)
    ran: list[str] = []
    while True:
        while len(at.running) < 3 and at.draw() is not None:
            pass
        if not at.running:
            break
        assert kept(at) if ran else True
        suggestion = list(at.running.values())[-1]
        for teacher in suggestion.config.upstream.values():
            assert teacher.id in ran and teacher.data.seed == suggestion.config.data.seed
        end(at, suggestion)
        ran.append(suggestion.config.id)
        assert kept(at) >= {
            t.id for d in plan if d.id not in ran for t in d.upstream.values() if t.id in ran
        }
    assert sorted(ran) == sorted(d.id for d in plan)
    assert at.stopped_by == "all 12 trials have run"
    sources = Counter(s.source for s in read_suggestions(RunFolder(out)))
    assert sources[CONFIRM] == 12, "a teacher's draw is a draw"


def test_draws_that_were_laid_without_their_teachers_get_them(tmp_path: Path) -> None:
    out = tmp_path / "run"
    searched(out)
    plan = [d for d in laid(out, everything=True) if d.method != "finetune"]
    at = desk(out, draws=plan)
    while (suggestion := at.draw()) is not None:
        end(at, suggestion)
    ran = [r for r in at.records.values() if r.phase == CONFIRM]
    assert Counter(r.config.method for r in ran) == {"finetune": 3, "kd": 6, "lookup": 3}
    assert at.stopped_by == "all 12 trials have run"


def test_a_teachers_draw_that_fails_costs_its_students_draw_alone(tmp_path: Path) -> None:
    out = tmp_path / "run"
    searched(out)
    at = desk(out, draws=laid(out, everything=True))
    while (suggestion := at.draw()) is not None:
        bad = suggestion.config.method == "finetune" and suggestion.config.data.seed == 2
        end(at, suggestion, "FAILED" if bad else "DONE")
    lost = [r for r in at.records.values() if r.status == "FAILED"]
    assert {r.config.data.seed for r in lost} == {2} and len(lost) == 3
    assert len(at.records) == 4 + 12


@pytest.mark.parametrize("most", [1, 2, 5])
def test_interrupted_draws_go_on_with_their_teachers_weights(tmp_path: Path, most: int) -> None:
    out = tmp_path / "run"
    searched(out)
    plan = laid(out, everything=True)
    at = desk(out, draws=plan)
    for _ in range(most):
        suggestion = at.draw()
        assert suggestion is not None
        end(at, suggestion)
    at.close()
    ready = {r.id for r in at.records.values() if r.config.method == "finetune"}
    onward = desk(out, crossing=[plain(7)])  # the search goes on in between
    suggestion = onward.draw()
    assert suggestion is not None
    end(onward, suggestion)
    assert kept(onward) >= ready, "draws of a teacher, whose students' draws may come yet"
    onward.close()
    again = desk(out, draws=plan)
    rest = []
    while (suggestion := again.draw()) is not None:
        end(again, suggestion)
        rest.append(suggestion.config.id)
    assert len(rest) == 12 - most and len(set(again.records)) == 4 + 12 + 1
