"""From a trial to a folder: temperature, card, int8 twin, weights that were not kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raysearch.errors import InputError
from raysearch.export.card import Facts, card, safe
from raysearch.export.manifest import read_manifest
from raysearch.export.opening import open_model
from raysearch.export.point import base_of, export_point
from raysearch.outputs.calibration import FEWEST, nll, softmax, temperature
from raysearch.record import OperatingPoint
from raysearch.run.records import read_records
from raysearch.storage.store import Store
from raysearch.trial.trained import open_trained

FINETUNE = ("finetune", "random-2", {})
NGRAM = ("ngram_linear", "hash-16", {})
EMBED = ("embed_linear", "random-1", {})


def opened(made, i=0, **changes):
    place = dataclasses.replace(made.world.place, **changes)
    return open_trained(made.records[i].config, place), made.records[i]


def exported(made, name, target, i=0, point=None, **more):
    run, record = opened(made, i)
    point = point or record.points[0]
    return export_point(run, record, point, name, target, command="raysearch export", **more)


@pytest.mark.parametrize("task", ["two", "five", "number", "pair"])
@pytest.mark.parametrize(("trial", "name"), [(FINETUNE, "hf"), (EMBED, "onnx"), (NGRAM, "native")])
def test_a_folder_gives_the_learners_probabilities_calibrated(
    make_run, tmp_path, task, trial, name
):
    made = make_run(task, trial)
    done = exported(made, name, tmp_path / "m")
    run, record = opened(made)
    rows = run.data.splits["test"]
    run.train()
    found = run.run.learner.predict(rows, {}, phase="test")
    pairs = None if rows.pair is None else list(rows.pair)
    got = open_model(tmp_path / "m").probabilities(list(rows.text), pairs)
    if task == "number":
        assert done.temperature == 1.0 and done.calibration is None
        np.testing.assert_allclose(got, found, rtol=1e-4, atol=1e-4)
    else:
        np.testing.assert_allclose(got, softmax(found / done.temperature), atol=1e-4)
        assert (got.argmax(axis=1) == found.argmax(axis=1)).all(), "the answers stay"
        label = run.validation.label
        kept = run.kept_logits(record.points[0].point_id)
        assert done.temperature == temperature(kept, label)
        assert nll(kept, label, done.temperature) <= nll(kept, label)
        assert done.calibration[0] == len(run.validation) == 40
    manifest = read_manifest(tmp_path / "m")
    assert manifest.trial == record.id and manifest.point == record.points[0].point_id
    assert manifest.pair == (task == "pair") and manifest.text_pair == "text_pair" * manifest.pair
    assert manifest.splits == record.config.splits and manifest.weights == record.config.weights
    assert set(manifest.files) == {p.name for p in (tmp_path / "m").iterdir()} - {"raysearch.json"}


def test_few_rows_are_not_calibrated(make_run, tmp_path):
    made = make_run("two", NGRAM, labels=FEWEST - 10)
    assert exported(made, "native", tmp_path / "m").temperature == 1.0
    assert "Temperature 1: left as it is" in (tmp_path / "m" / "README.md").read_text()


def test_kept_logits_and_fresh_ones_give_the_same_temperature(make_run, tmp_path):
    made = make_run("two", FINETUNE)
    first = exported(made, "hf", tmp_path / "a")
    store = Store(made.out / "store")
    for key in store.keys("logits"):
        store.drop("logits", key)
    assert exported(made, "hf", tmp_path / "b").temperature == pytest.approx(
        first.temperature, rel=1e-3
    )


def test_weights_that_were_not_kept_are_trained_again(make_run, tmp_path):
    made = make_run("two", FINETUNE)
    exported(made, "hf", tmp_path / "a")
    made.world.keep(set())
    run, record = opened(made)
    assert not run.restore_weights()
    exported(made, "hf", tmp_path / "b")
    rows = list(run.data.splits["test"].text)
    a, b = (open_model(tmp_path / n).probabilities(rows) for n in "ab")
    assert np.array_equal(a, b), "the same trial, bit for bit"


def test_a_trial_in_bfloat16_comes_out_in_float32_and_says_so(make_run, tmp_path):
    made = make_run("two", FINETUNE)
    low = dataclasses.replace(made.records[0].config, precision="bf16")
    run = open_trained(low, made.world.place)
    while run.run.step(60.0):
        pass
    record = run.run.record()
    done = export_point(run, record, record.points[0], "hf", tmp_path / "m", command="x")
    assert done.parity.difference < 1e-5
    assert "Trained and scored in bfloat16" in (tmp_path / "m" / "README.md").read_text()
    rows = run.data.splits["test"]
    found = softmax(run.run.learner.predict(rows, {}, phase="test") / np.float32(done.temperature))
    got = open_model(tmp_path / "m").probabilities(list(rows.text))
    assert np.abs(found - got).max() < 0.05


def test_the_int8_twin_is_scored_beside_the_float_one(make_run, tmp_path):
    made = make_run("five", FINETUNE)
    done = exported(made, "onnx", tmp_path / "m", int8=True)
    assert [e["split"] for e in done.events] == ["validation", "test"]
    (first, second) = done.events
    base = made.records[0].points[0]
    point = OperatingPoint(**first["point"])
    assert point == OperatingPoint(**second["point"])
    assert point.knobs == {"int8": True} and point.point_id != base.point_id
    assert point.infer_flops == base.infer_flops and point.params == base.params
    assert point.bytes == (tmp_path / "m" / "model.int8.onnx").stat().st_size
    assert first["rows"] == 40 and second["rows"] == 60
    plain, quantised = done.scores["validation"]
    assert plain == base.scores["validation"]["accuracy"]
    assert quantised == first["scores"]["accuracy"]
    store = Store(made.out / "store")
    for split in ("validation", "test"):
        folder = store.entry("logits", f"{point.point_id}-{split}")
        assert np.load(folder / "logits.npy").shape[1] == 5
    run, _ = opened(made)
    kept = run.kept_logits(point.point_id)
    float_kept = run.kept_logits(base.point_id)
    assert np.abs(kept - float_kept).mean() < 0.3 * np.abs(float_kept).mean(), "one scale"
    text = (tmp_path / "m" / "README.md").read_text()
    assert "accuracy on validation:" in text and "in int8" in text and "Weights in 8 bits" in text


@pytest.mark.slow
def test_the_twin_can_be_written_again_by_its_own_point(make_run, tmp_path):
    made = make_run("two", FINETUNE)
    first = exported(made, "onnx", tmp_path / "a", int8=True)
    twin = OperatingPoint(**first.events[0]["point"])
    record = dataclasses.replace(made.records[0], points=(*made.records[0].points, twin))
    assert base_of(record, twin) == record.points[0]
    run, _ = opened(made)
    again = export_point(run, record, twin, "onnx", tmp_path / "b", command="x")
    assert again.temperature == first.temperature
    assert read_manifest(tmp_path / "b").point == twin.point_id
    a, b = (open_model(tmp_path / n).probabilities(["red the a"]) for n in "ab")
    assert np.array_equal(a, b)
    with pytest.raises(InputError, match="int8 is scored by `raysearch export --int8`"):
        run.score(twin, "test")
    with pytest.raises(InputError, match="has no int8; --format may be onnx"):
        export_point(run, record, twin, "hf", tmp_path / "c", command="x")


@pytest.mark.slow
def test_records_take_the_twin_up(make_run, tmp_path):
    from raysearch.analysis import read_run, winners
    from raysearch.run.records import RecordWriter

    made = make_run("two", FINETUNE, NGRAM)
    done = exported(made, "onnx", tmp_path / "m", int8=True)
    writer = RecordWriter(made.out / "records.jsonl")
    for event in done.events:
        writer.append(event)
    writer.close()
    first, second = read_records(made.out / "records.jsonl").trials
    assert len(first.points) == 2 and second == made.records[1]
    table = read_run(made.out).table
    row = table[table["point"] == '{"int8":true}'].iloc[0]
    assert row["bytes"] == done.events[0]["point"]["bytes"]
    assert row["score_test"] == done.events[1]["scores"]["accuracy"]
    assert len(winners(table)) == 2


# The card


def facts(**changes):
    plain = Facts(
        format="hf",
        task="tickets",
        source="file:tickets.csv",
        splits="0123",
        rows={"train": 32, "labels used in all": 64},
        score="accuracy",
        method="finetune",
        model="minilm-2",
        command="raysearch export run 0123 --to DIR --format hf",
        use="USE",
        labels=("spam", "ham"),
        scores={"validation": {"accuracy": 0.9, "nll": 0.25}},
        scored={"validation": 32},
        costs={"training [FLOP]": 1.5e15, "parameters": 22_565_376},
        knobs={"epochs": 3},
        base="owner/name",
        licence="Apache-2.0",
        temperature=1.5,
        calibration=(32, 0.1, 0.02),
        versions={"torch": "2.13"},
    )
    return dataclasses.replace(plain, **changes)


def test_a_card_says_what_is_known_and_no_more():
    text = card(facts())
    for part in (
        "license: apache-2.0",
        'base_model: "owner/name"',
        "trained on 32 labels",
        "| validation | accuracy (main) | 0.9000 | 32 |",
        "not scored on test",
        "Temperature 1.5000",
        "0.1000 before, 0.0200 after",
        "| training [FLOP] | 1.5e+15 |",
        "| parameters | 22,565,376 |",
        "licence: unknown.",
        "raysearch export run 0123 --to DIR --format hf",
        "licence: Apache-2.0",
    ):
        assert part in text, part
    more = facts(
        scores={"test": {"accuracy": 0.8}},
        confirmed="Over 3 fresh draws: 0.8.",
        licence="",
        calibration=None,
        labels=(),
    )
    text = card(more)
    assert "Over 3 fresh draws: 0.8." in text and "shown on test" in text
    assert "licence: unknown" in text and "license:" not in text
    assert "Not calibrated" in text and "One number" in text


def test_hostile_names_do_no_harm_to_a_card():
    bad = ("</table><script>alert(1)</script>", "a|b\n# head", "x" * 500, "[l](http://x)", "`c`")
    text = card(facts(labels=bad, task=bad[1], source=bad[0], knobs={bad[1]: bad[0]}))
    assert "<script" not in text and "\n# head" not in text and "x" * 100 not in text
    assert "](http" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in tables} <= {3, 5}
    assert safe("\u202eevil\x00") == "evil"


def test_no_path_and_no_text_stands_in_a_card(make_run, tmp_path):
    made = make_run("two", NGRAM)
    exported(made, "native", tmp_path / "m")
    run, _ = opened(made)
    for path in (tmp_path / "m").iterdir():
        if path.suffix in (".md", ".json"):
            text = path.read_text()
            assert str(tmp_path) not in text and str(made.out.parent) not in text
            assert not [t for t in run.data.splits["validation"].text if t in text]
