"""What needs no Ray: the view, budgets, the folder's lock and status, the Optuna export."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import optuna
import pytest
import ray
from rich.console import Console

from raysearch.analysis import frontier, to_table, winners
from raysearch.cli.progress import watching
from raysearch.config.study import Prices, Study
from raysearch.errors import InputError
from raysearch.export.optuna import export_optuna
from raysearch.ledger import Charge
from raysearch.record import TrialRecord
from raysearch.run.folder import RunFolder, locked
from raysearch.search.budget import Budget, Spent
from raysearch.search.controller import StudyController
from raysearch.search.event import Event, Snapshot
from raysearch.tune.callbacks import blame
from raysearch.tune.scoring import unscored
from raysearch.workflow.status import status
from tests.tune.fakes import KIT, FakePlace, FakeTrial, FakeWorld, failed, space

STUDY = Study(name="fake", task="fake", trials=9)


def desk(out: Path, on_event: object = None, **changes: object) -> StudyController:
    study = STUDY.model_copy(update=changes)
    out.mkdir(exist_ok=True)
    made = StudyController(
        study,
        FakeWorld(space()),
        RunFolder(out),
        Budget.of(study),
        KIT,
        place=FakePlace(),
        phase="search",
        on_event=on_event,  # type: ignore[arg-type]
    )
    made.resume()
    return made


def run(made: StudyController) -> list[TrialRecord]:
    found = []
    while (suggestion := made.draw()) is not None:
        record = FakeTrial(suggestion.config, FakePlace(), "search").record()
        made.take(record)
        found.append(record)
    made.close()
    return found


@pytest.mark.parametrize(
    ("limit", "value", "sentence"),
    [
        ("trials", 4, "all 4 trials have run"),
        ("flops", 1.0, "the budget of 1 FLOPs is spent"),
        ("hours", 1e-12, "the budget of 1e-12 hours is spent"),
    ],
)
def test_the_first_limit_reached_stops_the_search(
    tmp_path: Path, limit: str, value: float, sentence: str
) -> None:
    made = desk(tmp_path / "out", **{limit: value})
    found = run(made)
    assert made.stopped_by == sentence
    assert len(found) == {"trials": 4, "flops": 1, "hours": 0}[limit]


def test_dollars_and_gpu_hours_are_counted_by_device() -> None:
    config = FakeTrial(_config(), FakePlace(), "search").config
    bill = (Charge("train", "own", 10, 3600.0), Charge("train", "t", 90, 7200.0))
    on = {"device": "cuda:0", "gpus": 0.5}
    gpu = TrialRecord("a", config, "DONE", bill=bill, labels_used=50, made_by=on)
    cpu = TrialRecord("b", config, "FAILED", bill=bill[:1], labels_used=20)
    spent = Spent().plus(gpu).plus(cpu)
    assert (spent.gpu_hours, spent.cpu_hours, spent.flops, spent.labels) == (0.5, 1.0, 20, 50)
    study = Study.model_validate(
        {"name": "x", "dollars": 3.0, "prices": {"cpu_hour": 1.0, "gpu_hour": 2.0, "label": 0.1}}
    )
    assert spent.dollars(study.prices) == pytest.approx(7.0)
    assert Budget.of(study).reached(spent, 0.0) == "the budget of 3 dollars is spent"
    with pytest.raises(InputError, match="needs a price"):
        Budget.of(Study(name="x", dollars=3.0))


def test_a_teacher_s_answers_are_spent_once_for_each_set_of_texts() -> None:
    """The student does that work, in the teacher's name; training is on the teacher's record."""
    config = FakeTrial(_config(), FakePlace(), "search").config
    trained, rows = Charge("train", "t", 90, 7200.0), Charge("teacher", "t", 4, 360.0)
    total = Spent()
    for name, texts in (("a", 7), ("b", 7), ("c", 9)):
        own = Charge("train", "own", 10, 3600.0)
        bill = (own, trained, rows, Charge("label", "t", texts, 720.0))
        total = total.plus(TrialRecord(name, config, "DONE", bill=bill))
    assert total.flops == 3 * 10 + 4 + 7 + 9
    assert total.cpu_hours == pytest.approx(3 * 1.0 + 0.1 + 0.2 + 0.2)


def _config() -> object:
    from raysearch.config.space import Proposal

    return FakeWorld(space()).configure(Proposal("lookup", "tiny", 32, {"k": 5}))


def test_a_record_that_comes_twice_is_written_once(tmp_path: Path) -> None:
    made = desk(tmp_path / "out", trials=2)
    suggestion = made.draw()
    assert suggestion is not None
    record = FakeTrial(suggestion.config, FakePlace(), "search").record()
    made.take(record)
    made.take(record)
    made.close()
    assert len((tmp_path / "out" / "records.jsonl").read_text().splitlines()) == 1


def test_only_the_candidates_weights_are_kept(tmp_path: Path) -> None:
    made = desk(tmp_path / "out", trials=40)
    found = run(made)
    best: dict[tuple[str, str, int], tuple[float, str]] = {}
    for r in found:
        cell = (r.config.method, r.config.rung, r.config.data.train)
        score = r.points[0].scores["validation"]["accuracy"]
        if cell not in best or score > best[cell][0]:
            best[cell] = (score, r.id)
    front = frontier(to_table(found), made.study.objectives).members["id"]
    kept = made.world.kept[-1]  # type: ignore[attr-defined]
    assert kept >= {i for _, i in best.values()} | set(front) | set(winners(to_table(found))["id"])
    assert len(kept) < len(found)


def test_winners_and_frontier_are_due_on_test(tmp_path: Path) -> None:
    made = desk(tmp_path / "out", trials=24)
    table = to_table(run(made))
    front = frontier(table, ("score", "infer_flops")).members["id"]
    due = {config.id for config, _ in unscored(made)}
    assert set(front) | set(winners(table)["id"]) <= due


def test_the_frontier_on_test_is_the_studys_own(tmp_path: Path) -> None:
    prices = Prices(cpu_hour=1.0, label=0.01)
    made = desk(tmp_path / "out", trials=40, objectives=("score", "dollars"), prices=prices)
    run(made)
    due = {config.id for config, _ in unscored(made)}
    assert made._standing.frontier > 1
    assert {id_ for _, id_ in made._standing._front} <= due


def test_a_log_takes_any_text(tmp_path: Path) -> None:
    made = desk(tmp_path / "out")
    made.log("a path that is not UTF-8: \udc80")
    assert "UTF-8: \\udc80" in (tmp_path / "out" / "log.txt").read_text()
    made.close()


def test_a_memory_kill_that_names_nobody_blames_nobody() -> None:
    error = ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory")
    assert blame(error, {"trial": "0f"}) == ("killed for memory", set())


def test_the_log_says_what_happened_and_when(tmp_path: Path) -> None:
    made = desk(tmp_path / "out", trials=2)
    run(made)
    lines = (tmp_path / "out" / "log.txt").read_text().splitlines()
    assert len(lines) >= 2
    assert all(datetime.fromisoformat(line[:25]).tzinfo for line in lines)


def test_status_tells_from_records_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        status(tmp_path)
    run(desk(tmp_path / "out", trials=4))
    found = status(tmp_path / "out")
    assert (found["trials"], found["by_status"], found["running"]) == (4, {"DONE": 4}, False)
    with locked(RunFolder(tmp_path / "out")):
        assert status(tmp_path / "out")["running"] is True


def test_plain_lines_off_a_terminal_and_a_view_on_one(tmp_path: Path) -> None:
    for terminal in (False, True):
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=terminal, width=120, color_system=None)
        with watching(console) as watch:
            watch(Event("begin", "begins", Snapshot("fake", 3)))
            made = desk(tmp_path / f"out{terminal}", watch, trials=3)
            run(made)
            made.emit("end", made.stopped_by)
        text = stream.getvalue()
        assert "all 3 trials have run" in text and "[3/3]" in text
        if not terminal:
            lines = text.splitlines()
            assert len(lines) == 5 and "\x1b" not in text
            assert lines[1].startswith("[1/3] lookup tiny 32 labels: accuracy 0.")
        else:
            assert "frontier" in text and "best" in text


@pytest.mark.parametrize("name", ["optuna.db", "optuna.log"])
def test_the_export_opens_in_optuna_with_every_point(tmp_path: Path, name: str) -> None:
    found = run(desk(tmp_path / "out", trials=6))
    bad = failed(found[0].config, FakePlace(), "search", "FAILED", "boom", {})
    path = tmp_path / name
    for _ in range(2):  # the second time replaces the first
        export_optuna([*found[1:], bad], STUDY, path)
    storage = (
        f"sqlite:///{path}"
        if name.endswith("db")
        else optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    )
    study = optuna.load_study(study_name="fake-fake", storage=storage)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["score", "train_flops_full [FLOP]", "infer_flops [FLOP/text]"]
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 5 + ["FAIL"]
    assert study.trials[-1].user_attrs["error"] == "boom"
    for trial, record in zip(study.trials, found[1:], strict=False):
        assert trial.user_attrs["id"] == record.id
        assert trial.values[0] == record.points[0].scores["validation"]["accuracy"]
        assert trial.params["method"] == record.config.method
    assert study.best_trials
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "out"])
