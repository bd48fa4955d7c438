"""Systems from outside: paired with the confirmed points, row by row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from raysearch.analysis import Run, read_run, read_runs
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.external import (
    KIND,
    missing_rows_reason,
    paired_comparisons,
    predictions,
    rows_interval,
    systems,
    verdict,
)
from raysearch.data.own import own_task
from raysearch.errors import RecordError
from raysearch.record import Outside
from raysearch.run.records import RecordWriter, read_records
from tests.support import tiny
from tests.support.judged import RECIPES, Recipe, own_csv, write_run

pytestmark = pytest.mark.statistics


def add(folder: Path, ids: np.ndarray, values: np.ndarray, name: str = "gpt-x") -> Outside:
    """Keep predictions as `raysearch add-point` does."""
    key = f"{name}-0123456789abcdef"
    entry = folder / "store" / KIND / key
    entry.mkdir(parents=True)
    np.save(entry / "ids.npy", ids)
    np.save(entry / "predictions.npy", values)
    (entry / "manifest.json").write_text("{}")
    made = Outside(name, key, {"test": {"accuracy": 0.5}}, len(ids), "accuracy", (0.4, 0.6), 0)
    writer = RecordWriter(folder / "records.jsonl")
    writer.append(made.to_json())
    writer.close()
    return made


@pytest.fixture
def run(tmp_path: Path) -> Run:
    task = tiny.write_task(tmp_path / "two", "two", test=300)
    data = write_run(tmp_path / "run", task)
    test = data.splits["test"]
    shuffled = np.random.default_rng(0).permutation(len(test))
    assert test.label is not None
    add(tmp_path / "run", test.ids[shuffled], test.label[shuffled], "all-right")
    add(tmp_path / "run", test.ids, 1 - test.label, "all-wrong")
    return read_run(tmp_path / "run")


def test_the_order_of_rows_is_free_and_the_verdict_paired(run: Run) -> None:
    made = confirmation(run)
    found = paired_comparisons(run, made)
    assert len(found) == 2 * len(made.estimates) == 6
    right = [a for a in found if a.outside.name == "all-right"]
    wrong = [a for a in found if a.outside.name == "all-wrong"]
    for a, b, e in zip(right, wrong, made.estimates, strict=True):
        assert a.point_id == e.point_id
        assert a.difference == pytest.approx(1 - e.score) and a.verdict == "better"
        assert b.difference == pytest.approx(-e.score) and b.verdict == "worse"
        # A system that is always right has no noise of its own: the point's interval, turned.
        assert a.low == pytest.approx(1 - e.high, abs=0.01)
        assert a.high == pytest.approx(1 - e.low, abs=0.01)


def test_a_copy_of_one_draw_is_indistinguishable(run: Run) -> None:
    made = confirmation(run)
    entry = next(iter(sorted((run.folder / "store" / "logits").glob("*-test"))))
    point = made.estimates[0].point_id
    record = next(r for r in run.records if any(p.point_id == point for p in r.points))
    draw = next(
        r
        for r in run.records
        if r.phase == "confirm" and r.config.seedless_id == record.config.seedless_id
    )
    entry = entry.with_name(f"{draw.points[0].point_id}-test")
    predicted = np.load(entry / "logits.npy").argmax(axis=1)
    add(run.folder, np.load(entry / "ids.npy"), predicted, "copy")
    found = paired_comparisons(read_run(run.folder), made)
    (copied,) = [a for a in found if a.outside.name == "copy" and a.point_id == point]
    assert copied.verdict == "indistinguishable" and copied.low <= 0 <= copied.high


def test_what_is_not_covered_is_said(run: Run, tmp_path: Path) -> None:
    made = confirmation(run)
    some = add(run.folder, np.arange(5), np.zeros(5, np.int64), "some")
    after = read_run(run.folder)
    assert "295 of the 300 rows" in missing_rows_reason(after, made, some)
    assert not [a for a in paired_comparisons(after, made) if a.outside.name == "some"]
    assert missing_rows_reason(after, made, after.outside[0]) == ""
    gone = Outside("gone", "gone-00", {"test": {"accuracy": 1.0}}, 3, "accuracy")
    assert "not in the run's Store" in missing_rows_reason(after, made, gone)
    leaves = Outside("x", "../../x", {"test": {"accuracy": 1.0}}, 3, "accuracy")
    assert "not in the run's Store" in missing_rows_reason(after, made, leaves)
    bare = tmp_path / "bare"
    write_run(bare, tiny.write_task(tmp_path / "other", "two"), draws=0)
    unconfirmed = read_run(bare)
    assert "no point is confirmed" in missing_rows_reason(
        unconfirmed, confirmation(unconfirmed), after.outside[0]
    )


def test_an_event_reads_back_and_the_last_of_a_name_counts(run: Run) -> None:
    first = run.outside[0]
    assert first.labels == 0 and first.ms is None and first.dollars_per_1k is None
    assert first.value == 0.5 and first.interval == (0.4, 0.6)
    writer = RecordWriter(run.folder / "records.jsonl")
    again = Outside("all-right", "k-1", {"test": {"mcc": 0.1}}, 9, "mcc", None, None, 2.5, 0.0)
    writer.append(again.to_json())
    writer.close()
    read = read_records(run.folder / "records.jsonl").outside
    assert [o.name for o in read] == ["all-right", "all-wrong"] and read[0] == again
    assert len(read_runs([run.folder, run.folder]).outside) == 2


ASKED = Recipe("zero_shot", "random-1", labels=0, right=0.3, flops=1e6)


@pytest.fixture
def zero_shot_run(tmp_path: Path) -> Run:
    """A run with a zero-shot model of each size, the second not yet scored on test."""
    task = tiny.write_task(tmp_path / "two", "two", test=300)
    more = Recipe("zero_shot", "random-2", labels=0, flops=2e6, tested=False)
    write_run(tmp_path / "run", task, recipes=[*RECIPES, more, ASKED])
    return read_run(tmp_path / "run")


def test_a_zero_shot_model_stands_beside_the_choice_like_a_system_from_outside(
    zero_shot_run: Run,
) -> None:
    made = confirmation(zero_shot_run)
    (system,) = systems(zero_shot_run)
    assert system.name == "zero_shot random-1" and zero_shot_run.outside == ()
    (record,) = [r for r in zero_shot_run.records if r.points[0].point_id == system.point]
    assert record.config.method == "zero_shot" and system.rows == 300
    assert system.value == record.points[0].scores["test"]["accuracy"]
    ids, predicted = predictions(zero_shot_run.folder, system)
    logits = np.load(
        zero_shot_run.folder / "store" / "logits" / f"{system.point}-test" / "logits.npy"
    )
    assert (
        sorted(ids.tolist()) == ids.tolist()
        and predicted.tolist() == logits.argmax(axis=1).tolist()
    )

    low, high = system.interval or (0.0, 0.0)
    half = 1.96 * (system.value * (1 - system.value) / 300) ** 0.5
    assert low == pytest.approx(system.value - half, abs=0.01)
    assert high == pytest.approx(system.value + half, abs=0.01)

    found = paired_comparisons(zero_shot_run, made)
    assert [a.point_id for a in found] == [e.point_id for e in made.estimates]
    for a, e in zip(found, made.estimates, strict=True):
        assert a.outside.point == system.point
        assert a.difference == pytest.approx(system.value - e.score) and a.low < a.difference
    assert found[0].verdict == "worse"
    # The same answers, brought from outside, stand alike.
    add(zero_shot_run.folder, ids, predicted, "copy")
    again = read_run(zero_shot_run.folder)
    both = paired_comparisons(again, confirmation(again))
    copied = [(a.difference, a.low, a.high) for a in both if a.outside.name == "copy"]
    assert copied == [(a.difference, a.low, a.high) for a in both if a.outside.point] != []
    assert [s.name for s in systems(again)] == ["copy", "zero_shot random-1"]


def test_what_used_no_labels_is_never_confirmed_nor_begun(zero_shot_run: Run) -> None:
    (system,) = systems(zero_shot_run)
    crossed = replace(zero_shot_run, study={"procedures": [{"method": "zero_shot"}]})
    for run in (zero_shot_run, crossed):
        made = confirmation(run)
        assert len(made.estimates) == 3 and system.point not in made.begun
        assert made.at(system.point) is None


def test_without_the_store_a_zero_shot_model_keeps_an_interval_and_no_verdict(
    zero_shot_run: Run,
) -> None:
    (system,) = systems(zero_shot_run)
    (zero_shot_run.folder / "store" / "logits" / f"{system.point}-test" / "logits.npy").write_bytes(
        b""
    )
    bare = read_run(zero_shot_run.folder)
    (again,) = systems(bare)
    assert again.interval is not None and system.interval is not None
    assert again.interval == pytest.approx(system.interval, abs=0.02)
    assert again.interval != system.interval, "by a formula instead"
    assert paired_comparisons(bare, confirmation(bare)) == []
    assert "not in the run's Store" in missing_rows_reason(bare, confirmation(bare), again)


def test_on_a_crossfitted_task_it_is_not_compared_row_by_row(tmp_path: Path) -> None:
    task = own_task(str(own_csv(tmp_path / "own.csv")))
    data = write_run(tmp_path / "run", task, recipes=[*RECIPES, ASKED])
    run = read_run(tmp_path / "run")
    made = confirmation(run)
    (system,) = systems(run)
    assert made.folds > 0 and system.rows == len(data.splits["test"]) < 122
    assert paired_comparisons(run, made) == []
    assert f"of the {122} rows" in missing_rows_reason(run, made, system)


@pytest.mark.parametrize(
    "broken", [{"scores": {"test": {}}}, {"scores": {}}, {"rows": "many"}, {"interval": [1]}]
)
def test_a_broken_event_is_refused(run: Run, broken: dict[str, object]) -> None:
    path = run.folder / "records.jsonl"
    line = json.dumps({**run.outside[0].to_json(), **broken})
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(RecordError, match="not a whole event"):
        read_records(path)


def test_words_and_intervals() -> None:
    assert [verdict(a, b) for a, b in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0, 0))] == [
        "better",
        "worse",
        "indistinguishable",
        "indistinguishable",
    ]
    y = np.linspace(0, 1, 200)
    x = y + np.random.default_rng(0).normal(0, 0.1, 200)
    ends = rows_interval(x, y, "pearson", 1)
    assert ends is not None and ends[0] < np.corrcoef(x, y)[0, 1] < ends[1]
    ends = rows_interval(x, y, "spearman", 1)
    assert ends is not None and ends[0] < spearmanr(x, y).statistic < ends[1]
    assert rows_interval(x, y, "bleu", 1) is None
