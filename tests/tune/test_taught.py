"""Students and teachers on a real Ray with fake trials: order, slots, deaths, and waiting."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.run.folder import RunFolder, read_suggestions
from raysearch.run.records import read_records
from raysearch.search.event import Event
from raysearch.search.replicates import CONFIRM, plan_replicates
from raysearch.tune.runner import Outcome, run_study
from tests.tune.fakes import KIT, FakePlace, FakeWorld, diary, taught_space

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]


def teacher(wish: str = "fine") -> Proposal:
    return Proposal("finetune", "base", 32, {"learning_rate": 1e-3, "wish": wish})


def students(n: int, wish: str = "fine") -> list[Proposal]:
    return [
        Proposal("kd", "tiny", 32, {"alpha": a / 100}, {"teacher": teacher(wish)}) for a in range(n)
    ]


def others(n: int) -> list[Proposal]:
    return [Proposal("lookup", "tiny", 32, {"k": k}) for k in range(1, n + 1)]


def world(notes: Path, crossing: Sequence[Proposal], seconds: float = 0.3) -> FakeWorld:
    place = FakePlace(diary=str(notes), seconds=seconds)
    return FakeWorld(taught_space(), place, crossed=tuple(crossing))


def go(out: Path, given: FakeWorld, **changes: Any) -> Outcome:
    more = {k: changes.pop(k) for k in ("on_event", "save_every", "draws") if k in changes}
    study = Study.model_validate(
        {
            "name": "fake",
            "task": "fake",
            "labels": (32,),
            "concurrency": 2,
            "trials": 99,
            "searcher": "grid",
            "procedures": [{"method": "kd"}],
            **changes,
        }
    )
    return run_study(study, given, out, kit=KIT, score_test=False, **more)


def records(out: Path) -> list[dict[str, Any]]:
    """The events of trials, in the order of the file."""
    text = (out / "records.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, text) if e["event"] == "trial"]


def spans(notes: Path) -> dict[str, tuple[float, float]]:
    """By trial: when it was first opened and when it ended."""
    at: dict[str, list[float]] = {}
    for note in diary(notes):
        at.setdefault(note["id"], []).append(note["at"])
    return {id_: (min(times), max(times)) for id_, times in at.items()}


def test_sixteen_students_build_one_teacher_and_no_slot_waits(tmp_path: Path) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    given = world(notes, [*students(16), *others(12)], seconds=1.5)
    events: list[Event] = []
    outcome = go(out, given, on_event=events.append)
    assert outcome.by_status == {"DONE": 16 + 1 + 12} and "exhausted" in outcome.stopped_by

    methods = Counter(e["config"]["method"] for e in records(out))
    assert methods == {"kd": 16, "finetune": 1, "lookup": 12}
    id_ = given.configure(teacher()).id
    assert Counter(n["what"] for n in diary(notes) if n["id"] == id_)["open"] == 1
    kinds = [(e.kind, e.id) for e in events]
    known = kinds.index(("record", id_))
    taught = {given.configure(p).id for p in students(16)}
    begun = [n for n, (kind, who) in enumerate(kinds) if kind == "start" and who in taught]
    assert len(begun) == 16 and min(begun) > known, "no student starts before its teacher's record"
    assert max(e.snapshot.parked for e in events) == 16

    when = spans(notes)
    before = [a for a, _ in when.values() if when[id_][0] <= a < when[id_][1]]
    assert before, "others are at work while the teacher is"
    busy = sum(b - a for a, b in when.values())
    wall = max(b for _, b in when.values()) - min(a for a, _ in when.values())
    assert busy / wall > 1.5, "two trials at once"
    sources = Counter(s.source for s in read_suggestions(RunFolder(out)))
    assert sources == {"first": 28, "teacher": 1}


def test_a_search_of_students_stays_within_its_trials(tmp_path: Path) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    given = world(notes, ())
    most: list[int] = []

    def watch(event: Event) -> None:
        most.append(event.snapshot.done + event.snapshot.running + event.snapshot.parked)

    outcome = go(out, given, trials=14, searcher="tpe", procedures=[], on_event=watch)
    assert outcome.by_status == {"DONE": 14} and max(most) == 14
    ids = [e["id"] for e in records(out)]
    trials = {r.id: r for r in read_records(out / "records.jsonl").trials}
    taught = [r for r in trials.values() if r.config.upstream.values()]
    assert len(taught) >= 4
    for record in taught:
        for t in record.config.upstream.values():
            assert ids.index(t.id) < ids.index(record.id)
    assert {s.id for s in read_suggestions(RunFolder(out))} == set(ids)


def test_a_teacher_killed_once_goes_on_and_its_students_run(tmp_path: Path) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    given = world(notes, students(3, "die_later"), seconds=1.0)
    events: list[Event] = []
    outcome = go(out, given, save_every=0.05, on_event=events.append)
    assert outcome.by_status == {"DONE": 4}
    id_ = given.configure(teacher("die_later")).id
    assert [n["what"] for n in diary(notes) if n["id"] == id_].count("open") == 2
    assert "a worker died; its trial goes on" in [e.text for e in events]
    done = next(n["at"] for n in diary(notes) if n["id"] == id_ and n["what"] == "done")
    opened = [n["at"] for n in diary(notes) if n["id"] != id_ and n["what"] == "open"]
    assert len(opened) == 3 and min(opened) > done


@pytest.mark.parametrize("wish", ["die", "raise"])
def test_a_teacher_that_fails_for_good_takes_its_students_along(tmp_path: Path, wish: str) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    given = world(notes, [*students(3, wish), *others(3)])
    outcome = go(out, given)
    assert outcome.by_status == {"FAILED": 4, "DONE": 3}
    id_ = given.configure(teacher(wish)).id
    reasons = {e["id"]: e["error"] for e in records(out) if e["status"] == "FAILED"}
    own = reasons.pop(id_)
    assert own == "ValueError: a wish came true" if wish == "raise" else "died twice" in own
    assert set(reasons.values()) == {f"its teacher {id_} finetune base failed: {own}"}
    assert not set(reasons) & {n["id"] for n in diary(notes)}, "none of them ever started"


def test_students_parked_at_an_interrupt_run_when_the_study_goes_on(tmp_path: Path) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    given = world(notes, students(4), seconds=3.0)

    def interrupt(event: Event) -> None:
        if event.kind == "progress" and event.data["step"] >= 5:
            os.kill(os.getpid(), 2)

    stopped = go(out, given, on_event=interrupt)
    assert stopped.interrupted and stopped.by_status == {}
    assert len({s.id for s in read_suggestions(RunFolder(out))}) == 5
    given.place = FakePlace(diary=str(notes), seconds=0.5)
    again = go(out, given)
    assert again.by_status == {"DONE": 5} and not again.interrupted
    ids = [e["id"] for e in records(out)]
    assert ids[0] == given.configure(teacher()).id and len(set(ids)) == 5
    assert [n for n in diary(notes) if n["what"] == "load"], "the teacher went on"


def test_students_parked_when_a_limit_is_reached_run_next_time(tmp_path: Path) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    given = world(notes, students(3))
    stopped = go(out, given, flops=1.0)
    assert stopped.by_status == {"DONE": 1} and not stopped.interrupted
    assert stopped.stopped_by == "the budget of 1 FLOPs is spent"
    again = go(out, given)
    assert again.by_status == {"DONE": 4} and again.fresh == 3
    assert len({e["id"] for e in records(out)}) == len(records(out)) == 4


def test_waiting_costs_next_to_nothing(tmp_path: Path) -> None:
    """The driver's share of a CPU while students wait, beside the same with nothing left to ask."""
    spent: dict[str, float] = {}
    for name, crossing, trials in (("waits", students(8), 99), ("done", [teacher()], 1)):
        seen: list[tuple[float, float]] = []

        def watch(event: Event, seen: list[tuple[float, float]] = seen) -> None:
            if "finetune" in event.text and event.kind in ("progress", "record"):
                seen.append((time.process_time(), time.monotonic()))

        given = world(tmp_path / f"{name}.diary", crossing, seconds=6.0)
        go(tmp_path / name, given, on_event=watch, trials=trials, flops=1.0)
        (cpu, wall), (cpu_end, wall_end) = seen[0], seen[-1]
        assert wall_end - wall > 3
        spent[name] = (cpu_end - cpu) / (wall_end - wall)
    assert spent["waits"] < spent["done"] + 0.1, spent  # measured: 0.022 and 0.019


def test_confirming_draws_wait_for_their_teachers_draws(tmp_path: Path) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    given = world(notes, [*students(2), *others(1)])
    go(out, given)
    study = Study(name="fake", task="fake", labels=(32,), concurrency=2)
    plan = plan_replicates(read_records(out / "records.jsonl").trials, study, 3, everything=True)
    outcome = go(out, given, draws=plan.draws)
    assert outcome.by_status == {"DONE": 12} and outcome.stopped_by == "all 12 trials have run"
    ids = [e["id"] for e in records(out) if e["phase"] == CONFIRM]
    assert sorted(ids) == sorted(d.id for d in plan.draws)
    when = spans(notes)
    for draw in plan.draws:
        for t in draw.upstream.values():
            assert when[t.id][1] < when[draw.id][0]
