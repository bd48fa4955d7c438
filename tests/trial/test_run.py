"""One trial without Ray: repeatable, resumable, and honest when it breaks.

What every method must keep is asked in tests/methods/test_contract.py; here stands what the house
itself does with a trial.
"""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from raysearch.config.catalog import find_task
from raysearch.data.evaluate import scores
from raysearch.errors import InputError
from raysearch.ledger import TRAINING
from raysearch.record import TrialRecord
from raysearch.run.records import RecordWriter, read_records
from raysearch.storage.store import Store
from raysearch.trial.context import ExecutionContext
from raysearch.trial.records import failed_record
from raysearch.trial.run import TrialRun
from raysearch.trial.trained import TrainedModel, score_points
from tests.support import tiny

RUNGS = {
    "ngram_linear": {"toy": "hash-16", "two": "hash-16"},
    "embed_linear": {"toy": "toy-tiny", "two": "random-1"},
    "finetune": {"toy": "toy-tiny", "two": "random-1"},
}
SHORT = {"finetune": {"min_steps": 12, "epochs": 1, "patience": 2}}
"""Knobs that make a trial short; two looks at validation among them."""
every_method = pytest.mark.parametrize("method", RUNGS)
pytestmark = pytest.mark.usefixtures("tiny_ladder")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The builtin toy task's world, and that of a task of sixty rows."""
    home = tmp_path_factory.mktemp("worlds")
    tasks = {"toy": find_task("toy"), "two": tiny.write_task(home / "two", "two")}
    return {name: tiny.world(task, home / f"out-{name}") for name, task in tasks.items()}


@pytest.fixture
def trial(worlds, tmp_path):
    """Opens a trial, over the small task unless said, in the test's store unless one is named."""

    def open_trial(method="finetune", task="two", store="store", labels=30, **hyper):
        world, knobs = worlds[task], {**SHORT.get(method, {}), **hyper}
        config = tiny.configure(world, method, RUNGS[method][task], labels, **knobs)
        return TrialRun(config, dataclasses.replace(world.place, store=str(tmp_path / store)))

    return open_trial


def timeless(record: TrialRecord) -> str:
    """The record's line without its times: byte for byte what two equal runs must share."""
    value = record.to_json()
    for key in ("started", "ended"):
        del value["made_by"][key]
    for charge in value["bill"]:
        charge.pop("seconds", None)
    return json.dumps(value, allow_nan=False)


@pytest.mark.parametrize(
    ("task", "method"), [("toy", "ngram_linear"), ("toy", "finetune"), *(("two", m) for m in RUNGS)]
)
def test_the_same_config_twice_is_the_same_record(trial, task, method):
    first, second = (tiny.finish(trial(method, task, store)) for store in "ab")
    assert first.record().status == "DONE" and len(first.record().points) == 1
    assert timeless(first.record()) == timeless(second.record())


@pytest.mark.parametrize(("task", "method"), [("toy", "finetune"), *(("two", m) for m in RUNGS)])
def test_saved_and_resumed_on_the_way_is_the_same_record(trial, tmp_path, task, method):
    """Two interruptions, each going on in a fresh object."""
    expected = timeless(tiny.finish(trial(method, task, "whole")).record())
    run = trial(method, task, "parts")
    for part, slices in enumerate((5, 1), start=1):
        for _ in range(slices):
            run.step(0.0)
        run.save(tmp_path / f"checkpoint-{part}")
        run.close()
        run = trial(method, task, "parts")
        run.load(tmp_path / f"checkpoint-{part}")
    assert timeless(tiny.finish(run).record()) == expected


def test_another_seed_is_another_trial(worlds, trial):
    base = tiny.finish(trial())
    again = tiny.configure(
        worlds["two"], "finetune", "random-1", 30, init_seed=1, **base.config.hyper
    )
    other = tiny.finish(TrialRun(again, base.place))
    a, b = base.record(), other.record()
    assert a.id != b.id and a.points[0].point_id != b.points[0].point_id
    assert a.points[0].scores != b.points[0].scores


def test_a_checkpoint_before_the_first_step_and_after_the_last(trial, tmp_path):
    expected = tiny.finish(trial(store="whole"))
    fresh = trial(store="a")
    fresh.save(tmp_path / "first")
    later = trial(store="b")
    later.load(tmp_path / "first")
    assert timeless(tiny.finish(later).record()) == timeless(expected.record())
    expected.save(tmp_path / "last")
    over = trial(store="c")
    over.load(tmp_path / "last")
    assert timeless(over.record()) == timeless(expected.record())
    assert not over.step() and timeless(over.record()) == timeless(expected.record())


def test_a_trial_cut_short_says_so_and_has_no_points(trial):
    run = trial()
    assert run.step(0.0) and run.progress() == {"step": 1.0}
    record = run.record()
    assert (record.status, record.step, record.points) == ("STOPPED", 1, ())
    assert TrialRecord.from_json(record.to_json()) == record
    tiny.finish(run)
    assert run.record().status == "DONE" and run.record().step == run.config.horizon == 12
    score = run.record().points[0].scores["validation"]["accuracy"]
    assert run.progress() == {"step": 12.0, "score": score}


def test_labels_are_bought_once_however_often_a_trial_is_resumed(trial, tmp_path):
    run = trial(labels=20)
    for i in range(3):
        run.step(0.0)
        run.save(tmp_path / str(i))
        run = trial(labels=20)
        run.load(tmp_path / str(i))
    record = tiny.finish(run).record()
    assert {c.phase: c.labels for c in record.bill} == {"train": 20, "validate": 20}
    assert record.labels_used == 40 and record.unlabelled_used == record.synthetic_used == 0


def test_the_bill_holds_time_and_work_of_every_phase(trial):
    run = tiny.finish(trial())
    bill = {c.phase: c for c in run.record().bill}
    assert set(bill) == {"train", "validate"} and {c.payer for c in bill.values()} == {"own"}
    for charge in bill.values():
        assert min(charge.flops, charge.seconds, charge.texts, charge.tokens) > 0
    paid = run.ledger.flops(*TRAINING)
    TrainedModel(run).score(run.record().points[0], "test")
    assert run.ledger.flops(*TRAINING) == paid and run.ledger.flops("test") > 0


def test_a_checkpoint_of_another_trial_is_refused(trial, tmp_path):
    run = trial()
    run.step(0.0)
    run.save(tmp_path / "c")
    with pytest.raises(InputError, match="^c: is a checkpoint of another trial$"):
        trial(learning_rate=2e-4).load(tmp_path / "c")


def test_data_or_weights_that_changed_since_are_refused(trial):
    run = trial()
    with pytest.raises(InputError, match="data has changed since the trial was planned") as e:
        TrialRun(dataclasses.replace(run.config, splits="0" * 16), run.place)
    assert "\n" not in str(e.value) and run.config.splits in str(e.value)
    with pytest.raises(InputError, match="'random-1': its weights have changed since"):
        TrialRun(dataclasses.replace(run.config, weights="0" * 16), run.place)


def test_a_loss_that_is_no_number_is_a_failure_with_its_reason(trial, tmp_path):
    run = trial(learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="the loss is (nan|inf) at step [1-9]") as e:
        tiny.finish(run)
    assert not list((tmp_path / "store").glob("weights/*")), "nothing of it is kept"
    assert not list((tmp_path / "store").glob("logits/*"))
    record = failed(run, "FAILED", str(e.value))
    assert record.error == str(e.value) and record.status == "FAILED"


@every_method
def test_a_prediction_that_is_no_number_is_a_failure_too(trial, tmp_path, monkeypatch, method):
    run = trial(method)
    learner = run.setup.method.learner

    def broken(ctx, knobs):
        made = learner(ctx, knobs)
        monkeypatch.setattr(
            type(made), "predict", lambda *a, **k: np.full((len(a[1]), 2), np.nan, np.float32)
        )
        return made

    run.setup.method = dataclasses.replace(run.setup.method, learner=broken)
    with pytest.raises(FloatingPointError, match="a prediction is not a finite number|the loss"):
        tiny.finish(run)
    assert run.record().status == "STOPPED" and run.record().points == ()
    assert not list((tmp_path / "store").glob("weights/*"))


def failed(run, status, reason):
    """The record of a trial that did not end, as the driver writes it down and reads it again."""
    made = failed_record(run.config, run.place, "search", status, reason, {"epochs": 1})
    path = Path(run.place.store).parent / "failed.jsonl"
    writer = RecordWriter(path)
    writer.append(made.to_json())
    writer.close()
    (back,) = read_records(path).trials
    assert back == made
    return back


def test_an_infeasible_trial_has_a_reason_and_no_points(trial):
    run = trial("ngram_linear")
    record = failed(run, "INFEASIBLE", "5,000 rows asked, 4,000 are there")
    assert (record.status, record.points, record.bill) == ("INFEASIBLE", (), ())
    assert record.error == "5,000 rows asked, 4,000 are there" and record.score == "accuracy"
    assert record.hyper == {"epochs": 1} and record.made_by["device"] == "cpu"


@every_method
def test_the_logits_over_validation_are_kept(trial, method):
    run = tiny.finish(trial(method, labels=25))
    (point,) = run.record().points
    folder = Store(Path(run.place.store)).entry("logits", f"{point.point_id}-validation")
    logits, ids = np.load(folder / "logits.npy"), np.load(folder / "ids.npy")
    assert logits.shape == (25, 2) and logits.dtype == np.float32
    _, validation, _ = run.setup.data.slice(run.config.data)
    assert ids.tolist() == validation.ids.tolist(), "of the budget's rows, in their order"
    whole = run.setup.data.splits["validation"]
    assert scores(logits, whole.label[np.searchsorted(whole.ids, ids)]) == dict(
        point.scores["validation"]
    )
    facts = json.loads((folder / "manifest.json").read_text())
    assert facts == {"split": "validation", "splits": run.config.splits}


@pytest.mark.parametrize(
    ("task", "method", "rows"),
    [("toy", "ngram_linear", 2000), ("two", "embed_linear", 30), ("two", "finetune", 30)],
)
def test_scoring_a_point_later_is_predicting_directly(trial, task, method, rows):
    run = tiny.finish(trial(method, task))
    record = run.record()
    (point,) = record.points
    test = run.setup.data.splits["test"]
    direct = run.learner.predict(test, point.knobs, phase="measure")
    (event,) = score_points(record.config, run.place, [point], "test")
    assert event["scores"] == scores(direct, test.label) and event["rows"] == len(test) == rows
    assert (event["id"], event["point_id"]) == (record.id, point.point_id)
    folder = Store(Path(run.place.store)).entry("logits", f"{point.point_id}-test")
    assert np.array_equal(np.load(folder / "logits.npy"), direct)
    assert np.load(folder / "ids.npy").tolist() == test.ids.tolist()
    path = Path(run.place.store).parent / "records.jsonl"
    writer = RecordWriter(path)
    for line in (record.to_json(), event):
        writer.append(line)
    writer.close()
    (merged,) = read_records(path).trials
    assert merged.points[0].scores == {**point.scores, "test": event["scores"]}
    assert merged.points[0].rows == {"validation": 30, "test": rows}


def test_a_trial_draws_from_no_global_generator_and_leaves_none_changed(trial):
    """Manner 17: chance comes in through the context alone."""
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    first = [tiny.finish(trial(m, store="a")).record() for m in RUNGS]
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]
    torch.manual_seed(6)
    np.random.seed(6)
    random.seed(6)
    again = [tiny.finish(trial(m, store="b")).record() for m in RUNGS]
    assert list(map(timeless, first)) == list(map(timeless, again))


def test_a_record_says_what_made_it_and_nothing_of_where(trial, tmp_path):
    run = tiny.finish(trial("ngram_linear"))
    record = run.record()
    assert {"torch", "transformers", "raysearch", "python", "device", "host"} <= set(record.made_by)
    assert record.made_by["precision"] == record.config.precision == "fp32"
    assert record.made_by["started"] <= record.made_by["ended"]
    assert (
        record.hyper == {"ngrams": 2, "c": 10.0, "weighting": "tfidf"} and record.config.hyper == {}
    )
    text = json.dumps(record.to_json())
    assert str(tmp_path) not in text and run.place.task["source"] not in text
    assert not any(t in text for t in run.setup.data.splits["train"].text), (
        "texts never stand there"
    )


def test_a_place_travels_as_json_and_opens_the_same_task(worlds):
    world = worlds["two"]
    place = ExecutionContext.from_json(json.loads(json.dumps(world.place.to_json())))
    assert place == world.place
    assert place.open_task().digest == world.data.digest


def test_a_closed_trial_lets_go_of_its_model(trial):
    run = tiny.finish(trial("embed_linear"))
    record = timeless(run.record())
    run.close()
    assert run.learner is None and timeless(run.record()) == record
