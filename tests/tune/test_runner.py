"""Studies on a real Ray with fake trials: concurrency, budgets, failures, disk, locks."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from raysearch.config.space import Domain
from raysearch.config.study import Study
from raysearch.errors import InputError
from raysearch.run import records as run_records
from raysearch.run.folder import RunFolder, locked, read_suggestions
from raysearch.run.records import read_records
from raysearch.search.event import Event
from raysearch.tune import runner
from raysearch.tune.runner import Outcome, run_study
from raysearch.workflow.status import status
from tests.tune.fakes import KIT, FakePlace, FakeWorld, diary, space

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]


def go(out: Path, trials: int, world: FakeWorld | None = None, **changes: Any) -> Outcome:
    options = {k: changes.pop(k) for k in ("on_event", "score_test", "save_every") if k in changes}
    study = Study.model_validate(
        {"name": "fake", "task": "fake", "concurrency": 2, "trials": trials, **changes}
    )
    return run_study(study, world or FakeWorld(space()), out, kit=KIT, **options)


def wishes(*options: str) -> Any:
    return space(
        (32,),
        finetune={
            "wish": Domain("choice", options=options),
            "learning_rate": Domain("loguniform", low=1e-5, high=1e-2),
        },
    )


def lines(out: Path, event: str) -> list[dict[str, Any]]:
    text = (out / "records.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, text) if e["event"] == event]


def test_a_study_from_its_first_to_its_last_event(tmp_path: Path, capfd: Any) -> None:
    notes = tmp_path / "diary"
    world = FakeWorld(space(), FakePlace(diary=str(notes), seconds=1.5))
    events: list[Event] = []
    outcome = go(tmp_path / "out", 8, world, on_event=events.append)

    assert outcome.by_status == {"DONE": 8}
    assert (outcome.fresh, outcome.interrupted) == (8, False)
    assert outcome.stopped_by == "all 8 trials have run"
    assert outcome.labels == 100
    ids = [e["id"] for e in lines(tmp_path / "out", "trial")]
    assert len(ids) == len(set(ids)) == 8
    suggested = read_suggestions(RunFolder(tmp_path / "out"))
    assert [s.id for s in suggested] != [] and {s.id for s in suggested} == set(ids)
    assert [s.number for s in suggested] == list(range(8))
    assert Counter(s.proposal.labels for s in suggested) == {32: 4, 100: 4}

    spans: dict[str, list[float]] = {}
    for note in diary(notes):
        spans.setdefault(note["id"], []).append(note["at"])
    busy = sum(max(s) - min(s) for s in spans.values())
    wall = max(max(s) for s in spans.values()) - min(min(s) for s in spans.values())
    assert busy / wall > 1.5, "two trials at once"
    assert len({n["pid"] for n in diary(notes)}) <= 4, "processes are reused"

    scored = lines(tmp_path / "out", "score")
    assert outcome.scored == len(scored) > 0
    assert {e["split"] for e in scored} == {"test"}
    cells = {
        (r.config.method, r.config.rung, r.config.data.train)
        for r in read_records(tmp_path / "out" / "records.jsonl").trials
    }
    assert len(scored) <= len(cells)
    assert len(world.kept) == 8 and world.kept[-1] <= set(ids)

    kinds = [e.kind for e in events]
    assert kinds[0] == "begin" and kinds[-1] == "end"
    assert {"start", "progress", "record", "score"} <= set(kinds)
    last = events[-1].snapshot
    assert last.done == 8 and last.frontier >= 1 and set(last.best) == {"lookup", "finetune"}

    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".lock",
        "log.txt",
        "records.jsonl",
        "suggestions.jsonl",
    ]
    assert capfd.readouterr().out == ""
    assert not (Path.home() / "ray_results").exists()
    assert "TUNE_GLOBAL_CHECKPOINT_S" not in os.environ
    assert status(tmp_path / "out")["by_status"] == {"DONE": 8}

    more = go(tmp_path / "out", 10, world)
    assert (more.fresh, more.by_status) == (2, {"DONE": 10})
    rerun = go(tmp_path / "out", 10, world)
    assert (rerun.fresh, rerun.scored) == (0, 0)


def test_every_failure_is_a_record_and_the_search_goes_on(tmp_path: Path) -> None:
    notes = tmp_path / "diary"
    odd = ("fine", "raise", "memory", "exit", "nan", "nan_score", "unfit", "unfit_late")
    world = FakeWorld(wishes(*odd), FakePlace(diary=str(notes)))
    outcome = go(tmp_path / "out", 40, world, searcher="random", labels=(32,))
    assert sum(outcome.by_status.values()) == 40 and outcome.stopped_by == "all 40 trials have run"
    found = {
        (str(e["hyper"]["wish"]), e["status"], e.get("error"))
        for e in lines(tmp_path / "out", "trial")
    }
    assert found == {
        ("fine", "DONE", None),
        ("raise", "FAILED", "ValueError: a wish came true"),
        ("memory", "FAILED", "MemoryError"),
        ("exit", "FAILED", "SystemExit: 3"),
        ("nan", "FAILED", "loss is NaN"),
        ("nan_score", "FAILED", "a score or cost of the trial is NaN or infinite"),
        ("unfit", "INFEASIBLE", "does not fit"),
        ("unfit_late", "INFEASIBLE", "does not fit this device"),
    }
    broke = [e for e in lines(tmp_path / "out", "trial") if e.get("error") == "MemoryError"]
    assert broke and all(e["bill"] for e in broke), "what a failed trial spent is on its bill"
    assert len({n["pid"] for n in diary(notes)}) <= 3, "a failing trial costs no process"
    assert "second line" in (tmp_path / "out" / "log.txt").read_text()


def test_a_trial_that_kills_its_worker_is_tried_twice_and_fails(tmp_path: Path) -> None:
    notes = tmp_path / "diary"
    world = FakeWorld(wishes("die"), FakePlace(diary=str(notes)))
    outcome = go(tmp_path / "out", 2, world, labels=(32,), score_test=False)
    assert outcome.by_status == {"FAILED": 2}
    dead = [e for e in lines(tmp_path / "out", "trial") if e["status"] == "FAILED"]
    assert dead and all(e["error"].startswith("the worker died twice") for e in dead)
    opened = Counter(n["id"] for n in diary(notes) if n["what"] == "open")
    assert all(opened[e["id"]] == 2 for e in dead)


def test_a_trial_killed_once_is_restored(tmp_path: Path) -> None:
    notes = tmp_path / "diary"
    place = FakePlace(diary=str(notes), seconds=1.0)
    world = FakeWorld(wishes("die_later"), place)
    outcome = go(tmp_path / "out", 1, world, labels=(32,), save_every=0.05, score_test=False)
    assert outcome.by_status == {"DONE": 1}
    steps = [(n["what"], n["step"]) for n in diary(notes) if n["what"] in ("load", "done")]
    assert steps[0][0] == "load" and steps[0][1] >= 3
    assert steps[-1] == ("done", 10)
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_the_flops_budget_stops_the_search(tmp_path: Path) -> None:
    outcome = go(tmp_path / "out", 50, flops=1e8, score_test=False)
    assert outcome.stopped_by == "the budget of 1e+08 FLOPs is spent"
    done = lines(tmp_path / "out", "trial")
    assert len(done) < 50
    spent = [sum(c["flops"] for c in e["bill"]) for e in done]
    assert sum(spent) >= 1e8 and sum(spent[:-2]) < 1e8, "over by the running trials at most"


class Full:
    """`os` with a disk that is full after some writes."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def fsync(self, handle: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def test_a_full_disk_stops_cleanly_and_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as m:
        m.setattr(run_records, "os", Full(5))
        outcome = go(tmp_path / "out", 12)
    assert outcome.interrupted and outcome.by_status == {"DONE": 5}
    assert "No space left on device" in outcome.stopped_by
    assert "run it again" in outcome.stopped_by
    assert (tmp_path / "out" / "records.jsonl").read_bytes().endswith(b"}\n")
    again = go(tmp_path / "out", 12)
    assert again.by_status == {"DONE": 12} and not again.interrupted
    ids = [e["id"] for e in lines(tmp_path / "out", "trial")]
    assert len(ids) == len(set(ids)) == 12


def test_a_second_run_on_one_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with locked(RunFolder(tmp_path / "out")):
        with pytest.raises(InputError, match=rf"another run .*process {os.getpid()}\)") as e:
            go(tmp_path / "out", 2)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "out" / "records.jsonl").exists()


def test_a_stop_from_outside_keeps_unfinished_trials(tmp_path: Path) -> None:
    notes = tmp_path / "diary"
    world = FakeWorld(space(), FakePlace(diary=str(notes), seconds=3.0))

    def interrupt(event: Event) -> None:
        if event.kind == "progress" and event.data["step"] >= 5:
            os.kill(os.getpid(), 2)

    stopped = go(tmp_path / "out", 4, world, on_event=interrupt)
    assert stopped.interrupted and stopped.by_status == {}
    assert len(list((tmp_path / "out" / "checkpoints").iterdir())) >= 1
    world.place = FakePlace(diary=str(notes), seconds=1.0)
    again = go(tmp_path / "out", 4, world, score_test=False)
    assert again.by_status == {"DONE": 4}
    loads = [n for n in diary(notes) if n["what"] == "load"]
    assert max(n["step"] for n in loads) >= 5, "nothing that was done is done again"
    assert all(n["step"] >= 1 for n in loads)  # the other trial may have begun just now


def test_a_memory_kill_fails_the_guilty_and_spares_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit: Callable[[Any], None] = runner._Run._fit
    calls: list[str] = []

    def broken(self: Any) -> None:
        calls.append("fit")
        if len(calls) > 1:
            return fit(self)
        desk = self._desk
        guilty, spared = desk.draw(), desk.draw()
        desk.actors = {guilty.config.id: "abc123", spared.config.id: "def456"}
        calls.append(guilty.config.id)
        try:
            raise ray.exceptions.OutOfMemoryError(
                "Ray killed 2 worker(s) based on the killing policy\n"
                "Selected to kill: (Actor(def456): pid=8, actual memory used=0.11GB, worker ID=d)\n"
                "Selected to kill: (Actor(abc123): pid=7, actual memory used=1.35GB, worker ID=a)"
            )
        except ray.exceptions.OutOfMemoryError as e:
            raise RuntimeError("Caught unexpected exception") from e

    monkeypatch.setattr(runner._Run, "_fit", broken)
    outcome = go(tmp_path / "out", 4, score_test=False)
    assert outcome.by_status == {"FAILED": 1, "DONE": 3}
    failed = [e for e in lines(tmp_path / "out", "trial") if e["status"] == "FAILED"]
    assert [(e["id"], e["error"]) for e in failed] == [(calls[1], "killed for memory")]


def test_a_trial_that_breaks_every_run_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit: Callable[[Any], None] = runner._Run._fit
    calls: list[int] = []

    def broken(self: Any) -> None:
        calls.append(1)
        if len(calls) > 2:
            return fit(self)
        self._desk.draw()
        raise RuntimeError("Caught unexpected exception")

    monkeypatch.setattr(runner._Run, "_fit", broken)
    outcome = go(tmp_path / "out", 3, score_test=False)
    assert outcome.by_status == {"FAILED": 1, "DONE": 2}
