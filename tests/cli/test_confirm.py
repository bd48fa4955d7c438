"""A confirming draw without Ray: scored on test at once, its logits kept, its weights nobody's."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from raysearch.config.task import Task
from raysearch.config.trial import TrialConfig
from raysearch.data.crossfit import POOL, crossfit, folds_of
from raysearch.data.evaluate import scores
from raysearch.data.splits import normalise
from raysearch.data.task_data import own_task
from raysearch.ledger import TRAINING
from raysearch.planning.planner import Planner
from raysearch.record import TrialRecord
from raysearch.run.records import RecordWriter, read_records
from raysearch.storage.store import Store
from raysearch.trial.run import TrialRun
from raysearch.trial.trained import TrainedModel
from tests.support import tiny
from tests.support.judged import own_csv

METHODS = {"ngram_linear": "hash-16", "embed_linear": "random-1", "finetune": "random-1"}
SHORT = {"finetune": {"min_steps": 12, "epochs": 1, "patience": 2}}
every_method = pytest.mark.parametrize("method", METHODS)
pytestmark = pytest.mark.usefixtures("tiny_ladder")


def own(home: Path) -> Task:
    """122 rows without a test split, a text under both labels among them."""
    task = own_task(str(own_csv(home / "mine.csv")))
    return dataclasses.replace(task, ladder="tiny", max_length=32)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Planner]:
    home = tmp_path_factory.mktemp("worlds")
    tasks = {"own": own(home), "two": tiny.write_task(home / "two", "two")}
    return {name: tiny.world(task, home / f"out-{name}") for name, task in tasks.items()}


def open_draw(
    world: Planner, method: str, draw: int, store: Path, phase: str = "confirm"
) -> TrialRun:
    config = tiny.configure(world, method, METHODS[method], 30, **SHORT.get(method, {}))
    if draw:
        config = config.with_seed(draw, folds_of(world.data))
    return TrialRun(config, dataclasses.replace(world.place, store=str(store)), phase)


def logits(store: Path, point: str, split: str) -> dict[str, np.ndarray]:
    folder = Store(store).entry("logits", f"{point}-{split}")
    assert folder is not None, split
    return {n: np.load(folder / f"{n}.npy") for n in ("logits", "ids", "labels")}


def timeless(record: TrialRecord) -> str:
    value = record.to_json()
    for key in ("started", "ended"):
        del value["made_by"][key]
    for charge in value["bill"]:
        charge.pop("seconds", None)
    return json.dumps(value, allow_nan=False)


@every_method
@pytest.mark.parametrize("task", ["own", "two"])
def test_a_draw_from_its_first_step_to_its_record(
    worlds: dict[str, Planner], tmp_path: Path, task: str, method: str
) -> None:
    world = worlds[task]
    folds = folds_of(world.data)
    run = tiny.finish(open_draw(world, method, 2, tmp_path / "store"))
    record = run.record()
    assert (record.phase, record.status, record.id) == ("confirm", "DONE", run.config.id)
    assert (record.config.data.seed, record.config.data.folds) == (2, folds)
    (point,) = record.points
    data = crossfit(world.data, folds, 2) if folds else world.data
    test = data.splits["test"]
    assert set(point.scores) == {"validation", "test"}
    assert point.rows == {"validation": 30, "test": len(test)}
    kept = [p.name for p in (tmp_path / "store" / "weights").iterdir()]
    assert kept == [record.id], "a student may learn from it; the desk drops it when none will"
    assert sorted(p.name for p in (tmp_path / "store" / "logits").iterdir()) == [
        f"{point.point_id}-test",
        f"{point.point_id}-validation",
    ]
    for split, rows in (("validation", None), ("test", test)):
        kept = logits(tmp_path / "store", point.point_id, split)
        assert kept["logits"].shape == (point.rows[split], 2)
        assert scores(kept["logits"], kept["labels"]) == dict(point.scores[split])
        if rows is not None:
            assert kept["ids"].tolist() == rows.ids.tolist()
            assert kept["labels"].tolist() == rows.label.tolist()
    path = tmp_path / "records.jsonl"
    writer = RecordWriter(path)
    writer.append(record.to_json())
    writer.close()
    assert read_records(path).trials == (record,)
    assert record.config.seedless_id == open_draw(world, method, 0, tmp_path).config.seedless_id


@every_method
def test_a_cross_fitted_draw_never_saw_what_judges_it(
    worlds: dict[str, Planner], tmp_path: Path, method: str
) -> None:
    world = worlds["own"]
    folds = folds_of(world.data)
    pool = world.data.pool
    assert folds > 2 and pool is not None
    judged: list[int] = []
    for draw in range(1, folds + 1):
        run = open_draw(world, method, draw, tmp_path / "store")
        train, validation = run.setup.train, run.setup.validation
        test = run.setup.data.splits["test"]
        assert (len(train), len(validation)) == (30, 30)
        sides = [set(rows.ids.tolist()) for rows in (train, validation, test)]
        texts = [{normalise(t) for t in rows.text} for rows in (train, validation, test)]
        for seen in (sides, texts):
            assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
        assert train.split == validation.split == test.split == POOL
        (point,) = tiny.finish(run).record().points
        kept = logits(tmp_path / "store", point.point_id, "test")
        of = dict(zip(pool.ids.tolist(), pool.label.tolist(), strict=True))
        assert [of[i] for i in kept["ids"].tolist()] == kept["labels"].tolist()
        judged += kept["ids"].tolist()
        run.close()
    assert sorted(judged) == sorted(pool.ids.tolist()), "every row is judged once"


def test_draws_differ_and_a_draw_repeats(worlds: dict[str, Planner], tmp_path: Path) -> None:
    for name, world in worlds.items():
        made = [
            tiny.finish(open_draw(world, "finetune", d, tmp_path / name / str(k))).record()
            for k, d in enumerate((1, 2, 1))
        ]
        assert timeless(made[0]) == timeless(made[2])
        assert made[0].id != made[1].id
        assert made[0].points[0].scores != made[1].points[0].scores
        assert made[0].config.seedless_id == made[1].config.seedless_id


def test_the_draws_of_an_official_test_share_its_rows(
    worlds: dict[str, Planner], tmp_path: Path
) -> None:
    runs = [open_draw(worlds["two"], "ngram_linear", d, tmp_path) for d in (1, 2)]
    tests = [r.setup.data.splits["test"].ids.tolist() for r in runs]
    assert tests[0] == tests[1] == worlds["two"].data.splits["test"].ids.tolist()
    assert runs[0].setup.train.ids.tolist() != runs[1].setup.train.ids.tolist(), (
        "another draw of the labels"
    )


def test_test_is_paid_for_apart_from_training(worlds: dict[str, Planner], tmp_path: Path) -> None:
    search = tiny.finish(open_draw(worlds["two"], "finetune", 0, tmp_path / "a", "search"))
    draw = tiny.finish(open_draw(worlds["two"], "finetune", 0, tmp_path / "b"))
    assert {c.phase for c in search.record().bill} == {"train", "validate"}
    assert {c.phase for c in draw.record().bill} == {"train", "validate", "test"}
    assert search.ledger.flops(*TRAINING) == draw.ledger.flops(*TRAINING)
    assert draw.ledger.flops("test") > 0
    assert draw.record().labels_used == search.record().labels_used == 60


def test_the_phase_changes_nothing_of_what_is_learnt(
    worlds: dict[str, Planner], tmp_path: Path
) -> None:
    for method in METHODS:
        search = tiny.finish(open_draw(worlds["two"], method, 0, tmp_path / "a", "search"))
        draw = tiny.finish(open_draw(worlds["two"], method, 0, tmp_path / "b"))
        one, other = search.record().points[0], draw.record().points[0]
        assert one.point_id == other.point_id
        assert one.scores["validation"] == other.scores["validation"]
        assert one.infer_flops == other.infer_flops
        event = TrainedModel(search).score(one, "test")
        assert event["scores"] == other.scores["test"]
        assert (tmp_path / "a" / "weights" / search.config.id).is_dir()


@every_method
def test_a_draw_cut_short_goes_on_where_it_was(
    worlds: dict[str, Planner], tmp_path: Path, method: str
) -> None:
    world = worlds["own"]
    expected = timeless(tiny.finish(open_draw(world, method, 3, tmp_path / "whole")).record())
    run = open_draw(world, method, 3, tmp_path / "parts")
    for _ in range(3):
        run.step(0.0)
    run.save(tmp_path / "checkpoint")
    again = open_draw(world, method, 3, tmp_path / "parts")
    again.load(tmp_path / "checkpoint")
    assert timeless(tiny.finish(again).record()) == expected


def test_a_draw_is_another_trial_than_the_searchs(
    worlds: dict[str, Planner], tmp_path: Path
) -> None:
    run = open_draw(worlds["own"], "ngram_linear", 1, tmp_path)
    plain = open_draw(worlds["own"], "ngram_linear", 0, tmp_path, "search")
    assert run.config.id != plain.config.id
    assert isinstance(run.config, TrialConfig) and plain.config.data.folds == 0
    assert plain.setup.data.splits["test"].split == "test", "the search keeps the carved splits"
