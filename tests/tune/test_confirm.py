"""Confirming draws on a real Ray with fake trials: once each, resumed, and lessons to nobody."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raysearch.config.study import Study
from raysearch.run.folder import RunFolder, read_suggestions
from raysearch.run.records import read_records
from raysearch.search.budget import Budget
from raysearch.search.event import Event
from raysearch.search.replicates import CONFIRM, Plan, plan_replicates
from raysearch.tune.runner import Outcome, run_study
from raysearch.workflow.status import status
from tests.tune.fakes import KIT, FakePlace, FakeWorld, diary, space

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]


def study(trials: int, **changes: Any) -> Study:
    return Study.model_validate(
        {"name": "fake", "task": "fake", "concurrency": 2, "trials": trials, **changes}
    )


def search(out: Path, trials: int, world: FakeWorld | None = None, **changes: Any) -> Outcome:
    return run_study(study(trials, **changes), world or FakeWorld(space()), out, kit=KIT)


def planned(out: Path, draws: int, **more: Any) -> Plan:
    return plan_replicates(RunFolder(out).read().trials, study(8), draws, **more)


def confirm(out: Path, laid: Plan, world: FakeWorld | None = None, **more: Any) -> Outcome:
    world = world or FakeWorld(space())
    return run_study(study(8), world, out, kit=KIT, draws=laid.draws, **more)


def lines(out: Path, event: str) -> list[dict[str, Any]]:
    text = (out / "records.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, text) if e["event"] == event]


def drawn(out: Path) -> list[str]:
    """Ids of the draws that have ended, one for each event."""
    return [e["id"] for e in lines(out, "trial") if e["phase"] == CONFIRM]


def test_every_draw_runs_once_and_is_only_added(tmp_path: Path) -> None:
    out = tmp_path / "out"
    world = FakeWorld(space())
    assert search(out, 8, world).by_status == {"DONE": 8}
    before = (out / "records.jsonl").read_bytes()
    scored = len(lines(out, "score"))
    events: list[Event] = []
    laid = planned(out, 3)
    outcome = confirm(out, laid, world, on_event=events.append)

    assert outcome.by_status == {"DONE": len(laid.draws)} and not outcome.interrupted
    assert outcome.fresh == len(laid.draws) == 3 * len(laid.chosen)
    assert outcome.stopped_by == f"all {len(laid.draws)} trials have run"
    assert sorted(drawn(out)) == sorted(d.id for d in laid.draws)
    assert (out / "records.jsonl").read_bytes().startswith(before), "records are only added to"
    assert len(lines(out, "score")) == scored and outcome.scored == 0
    found = {r.id: r for r in read_records(out / "records.jsonl").trials}
    assert all(found[d.id].config == d and found[d.id].phase == CONFIRM for d in laid.draws)
    assert Counter(r.phase for r in found.values()) == {"search": 8, CONFIRM: len(laid.draws)}
    sources = Counter(s.source == CONFIRM for s in read_suggestions(RunFolder(out)))
    assert sources == {True: len(laid.draws), False: 8}
    assert world.kept[-1] <= set(found) - {d.id for d in laid.draws}
    last = events[-1].snapshot
    assert (last.done, last.wanted) == (len(laid.draws), len(laid.draws))
    assert outcome.flops == sum(r.bill[0].flops for r in found.values() if r.phase == CONFIRM)
    assert status(out)["unfinished"] == 0

    rerun = confirm(out, planned(out, 3), world)
    assert rerun.fresh == 0 and len(drawn(out)) == len(laid.draws)
    five = planned(out, 5)
    more = confirm(out, five, world)
    assert more.fresh == 2 * len(laid.chosen) == five.due
    assert len(drawn(out)) == len(set(drawn(out))) == 5 * len(laid.chosen)
    assert more.by_status == {"DONE": 5 * len(laid.chosen)}


def test_interrupted_draws_go_on_where_they_were(tmp_path: Path) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    search(out, 8)
    laid = planned(out, 3)
    world = FakeWorld(space(), FakePlace(diary=str(notes), seconds=0.6))
    ended = 0

    def interrupt(event: Event) -> None:
        nonlocal ended
        ended += event.kind == "record"
        if event.kind == "record" and ended == 3:
            os.kill(os.getpid(), 2)

    stopped = confirm(out, laid, world, on_event=interrupt, save_every=0.1)
    assert stopped.interrupted and 3 <= len(drawn(out)) < len(laid.draws)
    first = drawn(out)
    rest = planned(out, 3)
    assert rest.due == len(laid.draws) - len(first)
    world.place = FakePlace(diary=str(notes), seconds=0.2)
    again = confirm(out, rest, world)
    assert again.fresh == rest.due and again.by_status == {"DONE": len(laid.draws)}
    assert sorted(drawn(out)) == sorted(d.id for d in laid.draws)
    done = Counter(n["id"] for n in diary(notes) if n["what"] == "done")
    assert len(done) == len(laid.draws)
    twice = {i for i, n in done.items() if n > 1}  # ended as the driver was told to stop
    assert len(twice) <= 2 and not twice & set(first), "what is recorded never runs again"


def test_draws_teach_the_search_nothing(tmp_path: Path) -> None:
    """One search goes on after its draws, its twin has none: the same proposals."""
    plain, other = tmp_path / "plain", tmp_path / "confirmed"
    for out in (plain, other):
        search(out, 4, concurrency=1)
    assert suggested(plain) == suggested(other)
    laid = planned(other, 2)
    confirm(other, laid)
    for out in (plain, other):
        assert search(out, 8, concurrency=1).by_status == {"DONE": 8}
    assert suggested(plain) == suggested(other) and len(suggested(plain)) == 8
    phases = {e["id"]: e["phase"] for e in lines(other, "trial")}
    assert Counter(phases.values()) == {"search": 8, CONFIRM: len(laid.draws)}
    tested = [{e["id"] for e in lines(out, "score")} for out in (plain, other)]
    assert tested[0] == tested[1], "draws are no winners"


def suggested(out: Path) -> list[str]:
    return [s.id for s in read_suggestions(RunFolder(out)) if s.source != CONFIRM]


def test_the_budget_of_the_draws_is_theirs_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = search(out, 8)
    laid = planned(out, 3)
    limit = found.flops / 2  # the search's own bill would stop them at once
    outcome = confirm(out, laid, budget=Budget(1, flops=limit))
    assert outcome.stopped_by == f"the budget of {limit:g} FLOPs is spent"
    assert 0 < outcome.fresh < len(laid.draws) and outcome.flops >= limit
    whole = confirm(out, planned(out, 3), budget=Budget(1))
    assert whole.by_status == {"DONE": len(laid.draws)}, "the trials of a budget are the draws'"


def test_new_candidates_get_their_draws_though_old_ones_have_theirs(tmp_path: Path) -> None:
    """Where a longer search has moved the frontier, the plan is of other candidates."""
    out = tmp_path / "out"
    search(out, 8)
    laid = planned(out, 3)
    first, second = laid.chosen[:2]
    recipes = {r.id: r.config.seedless_id for r in RunFolder(out).read().trials}
    for id_ in (first, second):
        due = [d for d in laid.draws if d.seedless_id == recipes[id_]]
        outcome = run_study(study(8), FakeWorld(space()), out, kit=KIT, draws=due)
        assert outcome.fresh == 3, id_
