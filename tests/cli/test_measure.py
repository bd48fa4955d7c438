"""measure as a person types it: confirmed graphs once each, alone, and never beside a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import RunReader
from raysearch.config.catalog import find_task
from raysearch.errors import RaysearchError
from raysearch.record import OperatingPoint, TrialRecord
from raysearch.run.folder import RunFolder, locked
from raysearch.run.records import RecordWriter, read_records
from raysearch.run.study_file import StudyManifest, write_study_manifest
from raysearch.storage.remote import StorageLost
from raysearch.trial.run import TrialRun
from raysearch.trial.trained import TrainedModel
from raysearch.workflow import measure as measuring
from raysearch.workflow import studies
from tests.support import tiny
from tests.support.judged import Recipe, write_run
from tests.support.sparse import TABLES, sparse
from tests.support.verbs import Say

NUMBERS = {
    "latency_ms": 2.0,
    "latency_p95_ms": 3.0,
    "tokenise_ms": 0.25,
    "throughput": 900.0,
    "repeats": 30.0,
    "threads": 2.0,
    "peak_memory": 5e7,
}
RECIPES = (
    Recipe(labels=32, right=0.9),
    Recipe(labels=16, right=0.8),  # the same graph of other weights
    Recipe("embed_linear", "random-1", right=0.7, flops=1e6),
    Recipe("embed_linear", "random-2", right=0.5, flops=2e6, tested=False),  # not confirmed
)


@pytest.fixture
def out(tmp_path: Path, tiny_ladder: None) -> Path:
    write_run(tmp_path / "run", tiny.write_task(tmp_path / "two", "two"), recipes=RECIPES)
    return Path("run")


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TrialRecord, OperatingPoint]]:
    """Measures without a model on a quiet machine; the list is what was measured."""
    requests: list[tuple[TrialRecord, OperatingPoint]] = []

    def measured(
        record: TrialRecord, points: list[OperatingPoint], *more: Any
    ) -> list[dict[str, float]]:
        requests.extend((record, point) for point in points)
        return [dict(NUMBERS) for _ in points]

    monkeypatch.setattr(measuring, "_measured", measured)
    monkeypatch.setattr("raysearch.costs.timing.busy_cores", lambda: 0.0)
    return requests


def measured(out: Path) -> dict[tuple[str, str, int], dict[str, float]]:
    """What stands in the records by (method, rung, labels); searched trials alone."""
    found = read_records(out / "records.jsonl").trials
    for r in found:
        assert r.phase == "search" or not any(p.measured for p in r.points)
    return {
        (r.config.method, r.config.rung, r.config.data.train): dict(p.measured)
        for r in found
        if r.phase == "search"
        for p in r.points
        if p.measured
    }


def test_each_graph_is_measured_once_and_told_of_all_its_points(
    say: Say, out: Path, timed: list[tuple[TrialRecord, OperatingPoint]]
) -> None:
    code, out_text, err = say("measure", out)
    assert code == 0, err
    assert "measuring 2 graphs of 3 confirmed points, one after the other" in out_text
    assert [r.config.method for r, _ in timed] == ["ngram_linear", "embed_linear"]
    assert all(r.phase == "search" for r, _ in timed)
    expected = {**NUMBERS, "busy_cores": 0.0}
    assert measured(out) == {
        ("ngram_linear", "hash-16", 32): expected,
        ("ngram_linear", "hash-16", 16): expected,
        ("embed_linear", "random-1", 32): expected,
    }
    assert "ngram_linear hash-16: 2 ms (p95 3) + 0.25 ms tokenising a text, 900 texts/s" in out_text
    assert "page: run/dashboard/index.html" in out_text and (out / "dashboard/index.html").is_file()

    again = say("measure", out, "--json")
    value = json.loads(again[1], parse_constant=pytest.fail)
    assert again[0] == 0 and value["measured"] == value["graphs"] == 0
    assert "measured already" in again[2] and len(timed) == 2
    more = json.loads(say("measure", out, "--again", "--json")[1])
    assert (more["measured"], more["graphs"], more["failed"]) == (3, 2, 0) and len(timed) == 4
    recommended = json.loads(say("recommend", out, "--json")[1])
    assert recommended["choice"]["costs"]["ms"] == 2.25


def test_a_zero_shot_model_is_measured_beside_the_confirmed(
    say: Say, tmp_path: Path, tiny_ladder: None, timed: list[tuple[TrialRecord, OperatingPoint]]
) -> None:
    shots = [
        Recipe("zero_shot", "random-1", labels=0, right=0.3, flops=3e6),
        Recipe("zero_shot", "random-2", labels=0, flops=2e6, tested=False),  # not shown anywhere
    ]
    task = tiny.write_task(tmp_path / "two", "two")
    write_run(tmp_path / "run", task, recipes=[*RECIPES, *shots])
    code, out_text, err = say("measure", "run")
    assert code == 0, err
    assert (
        "measuring 3 graphs of 3 confirmed and 1 zero-shot points, one after the other" in out_text
    )
    assert [r.config.method for r, _ in timed] == ["ngram_linear", "embed_linear", "zero_shot"]
    assert measured(Path("run"))["zero_shot", "random-1", 0]["latency_ms"] == 2.0
    _, out, _ = say("recommend", "run", "--cost", "ms")
    (sentence,) = [x for x in out.splitlines() if x.startswith("Without labels, zero_shot")]
    assert sentence.endswith("; 2.3 ms a text.") and "not drawn" not in out
    assert "measured already" in say("measure", "run")[1]


def test_points_of_one_table_are_one_job(tmp_path: Path) -> None:
    run = sparse(tmp_path / "run", tables=TABLES[2:4], labels=(100,), draws=1)
    wanted = {p.point_id for r in run.records for p in r.points}
    jobs = measuring._together(measuring._graphs(run.records, wanted, again=True))
    ids = [[point.point_id for ((_, point), *_) in job] for job in jobs]
    assert sorted(map(len, ids))[0] == 1 and len(ids) == 3, "the teacher, and two tables"
    assert sorted(sum(ids, [])) == sorted(wanted)


def test_nothing_confirmed_is_refused(say: Say, tmp_path: Path, tiny_ladder: None) -> None:
    for draws in (0, 2):
        name = f"run{draws}"
        write_run(tmp_path / name, tiny.write_task(tmp_path / f"t{draws}", "two"), draws=draws)
        code, out_text, err = say("measure", name)
        assert (code, out_text) == (2, "")
        (line,) = err.splitlines()
        assert line == (
            f"raysearch: error: {name}: nothing is confirmed yet; first: raysearch confirm {name}"
        )


def test_draws_without_logits_are_said(say: Say, out: Path) -> None:
    import shutil

    shutil.rmtree(out / "store" / "logits")
    code, _, err = say("measure", out)
    assert code == 2 and "nothing is confirmed yet (the draws of 3 choices have no interval" in err
    assert len(err.splitlines()) == 1


def test_a_folder_that_a_run_holds_is_left_alone(
    say: Say, out: Path, timed: list[tuple[TrialRecord, OperatingPoint]]
) -> None:
    before = (out / "records.jsonl").read_bytes()
    with locked(RunFolder(out.resolve())):
        code, _, err = say("measure", out)
    assert code == 2 and f"(process {os.getpid()})" in err and len(err.splitlines()) == 1
    assert timed == [] and (out / "records.jsonl").read_bytes() == before


def test_no_run_can_start_while_it_measures(
    say: Say, out: Path, monkeypatch: pytest.MonkeyPatch, timed: list[Any]
) -> None:
    from raysearch.errors import InputError

    tried: list[str] = []

    def look(*args: Any) -> list[dict[str, float]]:
        with pytest.raises(InputError, match="another run of this study") as e:
            with locked(RunFolder(out.resolve())):
                pass
        tried.append(str(e.value))
        return [dict(NUMBERS)]

    monkeypatch.setattr(measuring, "_measured", look)
    assert say("measure", out)[0] == 0 and len(tried) == 2


def test_a_graph_that_breaks_costs_the_others_nothing(
    say: Say, out: Path, monkeypatch: pytest.MonkeyPatch, timed: list[Any]
) -> None:
    def broken(record: TrialRecord, *more: Any) -> list[dict[str, float]]:
        if record.config.method == "ngram_linear":
            raise RaysearchError("point x: cannot be measured: killed")
        return [dict(NUMBERS)]

    monkeypatch.setattr(measuring, "_measured", broken)
    code, out_, err = say("measure", out, "--json")
    assert code == 0 and "ngram_linear hash-16: point x: cannot be measured: killed" in err
    assert json.loads(out_)["failed"] == 1
    assert set(measured(out)) == {("embed_linear", "random-1", 32)}


def test_what_failed_is_not_counted_as_measured(
    say: Say, out: Path, monkeypatch: pytest.MonkeyPatch, timed: list[Any]
) -> None:
    def broken(*args: Any) -> dict[str, float]:
        raise RaysearchError("point x: cannot be measured: killed")

    monkeypatch.setattr(measuring, "_measured", broken)
    assert json.loads(say("measure", out, "--json")[1])["measured"] == 0


def test_a_busy_machine_is_waited_for_and_then_said(
    say: Say, out: Path, monkeypatch: pytest.MonkeyPatch, timed: list[Any]
) -> None:
    clock = [0.0]
    busy = iter([1.5, 1.2, 0.1, *[0.9] * 100])

    class Time:
        def monotonic(self) -> float:
            return clock[0]

        def sleep(self, seconds: float) -> None:
            clock[0] += seconds

    monkeypatch.setattr(measuring, "time", Time())
    monkeypatch.setattr("raysearch.costs.timing.busy_cores", lambda: next(busy))
    code, out_text, _ = say("measure", out)
    assert code == 0 and clock[0] == pytest.approx(measuring.PATIENCE, abs=2.0)
    assert out_text.count("keep 0.9 cores busy: the times will be too high") == 1
    cores = {k[0]: v["busy_cores"] for k, v in measured(out).items()}
    assert cores == {"ngram_linear": 0.1, "embed_linear": 0.9}, "it stands beside the numbers"


def test_a_machine_that_stays_busy_is_waited_for_once(
    say: Say, out: Path, monkeypatch: pytest.MonkeyPatch, timed: list[Any]
) -> None:
    clock = [0.0]

    class Time:
        def monotonic(self) -> float:
            return clock[0]

        def sleep(self, seconds: float) -> None:
            clock[0] += seconds

    monkeypatch.setattr(measuring, "time", Time())
    monkeypatch.setattr("raysearch.costs.timing.busy_cores", lambda: 1.0)
    assert say("measure", out)[0] == 0 and len(timed) == 2
    assert clock[0] <= measuring.PATIENCE + 2.0


@pytest.mark.slow
def test_true_graphs_are_measured_in_fresh_processes(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The toy task's n-grams and its tiny encoders, prompted too, and one with exits: all timed."""
    monkeypatch.setattr(measuring, "PATIENCE", 0.0)
    out = tmp_path / "run"
    w = tiny.world(find_task("toy"), out, labels=(32,))
    write_study_manifest(out, StudyManifest(w.study, find_task("toy"), w.data.digest))
    writer = RecordWriter(out / "records.jsonl")
    short = {name: {"min_steps": 12, "epochs": 1} for name in ("prompt", "early_exit")}
    methods = (
        ("ngram_linear", "hash-16"),
        ("embed_linear", "toy-tiny"),
        ("prompt", "toy-tiny"),
        ("early_exit", "toy-mini"),
    )
    for method, rung in methods:
        config = tiny.configure(w, method, rung, 32, **short.get(method, {}))
        run = tiny.finish(TrialRun(config, w.place))
        writer.append(run.record().to_json())
        writer.append(TrainedModel(run).score(run.record().points[0], "test"))
        for d in (1, 2, 3):
            drawn = tiny.finish(TrialRun(config.with_seed(d), w.place, "confirm"))
            writer.append(drawn.record().to_json())
    writer.close()
    code, js, err = say("measure", out, "--json")
    value = json.loads(js)
    assert code == 0 and value["failed"] == 0, err
    (record,) = (
        r
        for r in read_records(out / "records.jsonl").trials
        if r.config.method == "early_exit" and r.phase == "search"
    )
    timed = [p for p in record.points if p.measured]
    assert 2 <= len(timed) <= 10, "some points of the curve, both ends among them"
    costs = [p.infer_flops for p in record.points]
    assert {min(costs), max(costs)} <= {p.infer_flops for p in timed}
    assert value["measured"] == 3 + len(timed)
    found = measured(out)
    assert len(found) == 4
    for numbers in found.values():
        assert 0 < numbers["latency_ms"] <= numbers["latency_p95_ms"]
        assert numbers["tokenise_ms"] > 0 and numbers["throughput"] > 0
        assert numbers["repeats"] >= 30 and numbers["threads"] >= 1
        assert 30 * 2**20 < numbers["peak_memory"] < 4 * 2**30
    choice = json.loads(say("recommend", out, "--json", "--max-ms", "1e6")[1])["choice"]
    assert choice["costs"]["ms"] > 0


def test_a_machine_that_is_lost_costs_the_times_alone(
    say: Say, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A study on a cluster keeps its page, whatever becomes of the machine that is to time it."""
    from types import SimpleNamespace

    def lost() -> float:
        raise RaysearchError("'w1' was lost: it died")

    gone = measuring.Bench("w1", lost, lambda record, points: [])
    done = measuring.measure_run(RunReader(out), print, nullcontext(gone))
    assert (done["measured"], done["graphs"], done["failed"]) == (0, 0, 2)
    assert capsys.readouterr().out.count("'w1' was lost: it died") == 2

    @contextmanager
    def none(*given: Any) -> Iterator[measuring.Bench]:
        raise StorageLost("storage 's3://b': does not answer")
        yield

    monkeypatch.setattr(studies, "bench", none)
    lines: list[str] = []
    prepared: Any = SimpleNamespace(out=out)
    studies.measure_confirmed(prepared, RunReader(out), lines.append, "auto")
    assert lines[0].startswith("not measured: storage 's3://b'") and "--address auto" in lines[0]
    with pytest.raises(StorageLost):
        studies.measure_confirmed(prepared, RunReader(out), lines.append)
