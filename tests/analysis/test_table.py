"""Records to rows, folders to runs, tables to parquet and back."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from raysearch.analysis import read_parquet, read_run, read_runs, to_table, write_parquet
from raysearch.analysis.table import columns
from raysearch.errors import InputError, RecordError
from raysearch.objectives import OBJECTIVES
from raysearch.record import OperatingPoint
from tests.support.synthetic import TEACHER, records, write_run

FIRST = [
    "id",
    "point_id",
    "task",
    "method",
    "model",
    "labels_train",
    "data_seed",
    "init_seed",
    "phase",
    "status",
    "point",
    "hyper",
    "score_validation",
    "score_test",
    "error",
]
METHODS = ("ngram_linear", "embed_linear", "finetune", "distill", "early_exit")


def test_one_row_a_point_and_one_empty_row_a_trial_without() -> None:
    made = records(80, methods=METHODS)
    table = to_table(made)
    assert list(table.columns)[: len(FIRST)] == FIRST
    assert set(OBJECTIVES) <= set(table.columns)
    assert len(table) == sum(max(1, len(r.points)) for r in made)
    assert list(dict.fromkeys(table["id"])) == [r.id for r in made]
    empty = table[table["point_id"].isna()]
    assert set(empty["id"]) == {r.id for r in made if not r.points} != set()
    assert empty["score_validation"].isna().all() and empty["point"].isna().all()
    assert empty["train_flops_full"].notna().all()  # a failed trial has spent, all the same


def test_cells_say_what_the_record_says() -> None:
    record = next(r for r in records(80, methods=METHODS) if r.config.method == "distill")
    row = to_table([record], shared_by=4).iloc[0]
    own = sum(c.flops for c in record.bill if c.payer == "own")
    teacher = sum(c.flops for c in record.bill if c.payer == TEACHER.id)
    assert row["train_flops"] == own
    assert row["train_flops_full"] == own + teacher
    assert row["train_flops_shared"] == own + teacher / 4
    assert json.loads(row["hyper"]) == dict(record.hyper)
    assert row["score"] == row["score_validation"]
    assert row["validation_rows"] == record.config.data.validation
    given = json.loads(row["inherited"])[TEACHER.id]
    assert (given["method"], given["flops"], given["train"]) == ("finetune", teacher, 1000)
    assert math.isnan(row["dollars"])
    priced = to_table([record], prices={"cpu_hour": 1.0, "label": 0.1}).iloc[0]
    assert priced["dollars"] > 0.1 * record.labels_used


def test_what_is_no_number_is_absent() -> None:
    record = records(1)[0]
    point = OperatingPoint(
        "p", 1, scores={"validation": {"accuracy": math.nan}}, infer_flops=math.inf
    )
    row = to_table([replace(record, status="DONE", points=(point,))]).iloc[0]
    assert math.isnan(row["score_validation"]) and math.isnan(row["infer_flops"])


def test_a_score_that_is_better_when_smaller_is_refused() -> None:
    with pytest.raises(InputError, match="better when smaller"):
        to_table([replace(records(1)[0], maximise=False)])


def test_types_do_not_depend_on_the_rows(tmp_path: Path) -> None:
    full, none = to_table(records(40)), to_table([])
    assert list(none.columns) == columns()
    assert full.dtypes.astype(str).to_dict() == none.dtypes.astype(str).to_dict()
    assert str(full["labels_train"].dtype) == "Int64"
    assert str(full["score"].dtype) == "float64"
    for table in (full, none):
        write_parquet(table, tmp_path / "t.parquet")
        pd.testing.assert_frame_equal(read_parquet(tmp_path / "t.parquet"), table)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_an_objective_added_later_is_absent_in_an_old_file(tmp_path: Path) -> None:
    table = to_table(records(5))
    write_parquet(table.drop(columns="latency_ms"), tmp_path / "old.parquet")
    assert read_parquet(tmp_path / "old.parquet")["latency_ms"].isna().all()


def test_parquet_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        read_parquet(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(RecordError, match="cannot be read") as e:
        read_parquet(tmp_path / "bad.parquet")
    assert "\n" not in str(e.value)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(RecordError, match="no column 'id'"):
        read_parquet(tmp_path / "other.parquet")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(to_table(records(5)), path)
    before = path.read_bytes()
    with pytest.raises(RecordError):
        write_parquet(to_table([]), tmp_path / "no" / "t.parquet")
    broken = to_table(records(5)).assign(odd=[object()] * len(to_table(records(5))))
    with pytest.raises(pa.ArrowException):
        write_parquet(broken, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_a_run_may_be_read_with_another_share_of_its_teachers(tmp_path: Path) -> None:
    made = write_run(tmp_path / "run", records(60, methods=METHODS), shared_by=4)
    four, one = read_run(made), read_run(made, shared_by=1)
    assert (four.study["shared_by"], one.study["shared_by"]) == (4, 1)
    kept = [c for c in four.table if c != "train_flops_shared"]
    pd.testing.assert_frame_equal(four.table[kept], one.table[kept])
    assert (one.table["train_flops_shared"] == one.table["train_flops_full"]).all()
    assert (four.table["train_flops_shared"] < four.table["train_flops_full"]).any()
    pd.testing.assert_frame_equal(read_runs([made, made], shared_by=1).table, one.table)


def test_a_run_is_read_back_as_it_was_made(tmp_path: Path) -> None:
    made = records(60, methods=METHODS)
    run = read_run(write_run(tmp_path / "run", made, shared_by=4))
    assert list(run.records) == made and run.skipped == ()
    assert run.study["reference"]["score"] == pytest.approx(0.509)
    pd.testing.assert_frame_equal(run.table, to_table(made, shared_by=4))


def test_no_study_an_empty_run_and_a_torn_line(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", records(10))
    (folder / "study.yaml").unlink()
    assert read_run(folder).study == {}
    with (folder / "records.jsonl").open("a") as f:
        f.write('{"schema": 1, "event": "tri')
    run = read_run(folder)
    assert len(run.records) == 10 and len(run.skipped) == 1 and "torn" in run.skipped[0]
    empty = read_run(write_run(tmp_path / "empty", []))
    assert len(empty.table) == 0 and list(empty.table.columns) == columns()


def test_a_wrong_folder_is_one_sentence_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder; expected .*records\.jsonl"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no records\.jsonl in it; expected"):
        read_run(tmp_path)
    folder = write_run(tmp_path / "run", records(3))
    (folder / "study.yaml").write_text("- a\n- b\n")
    with pytest.raises(InputError, match=r"study\.yaml: holds list, must be a mapping"):
        read_run(folder)
    (folder / "study.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"study\.yaml: line 1: cannot be read as YAML"):
        read_run(folder)


def test_an_unknown_schema_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", records(3))
    path = folder / "records.jsonl"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99', 1))
    with pytest.raises(RecordError, match="schema 99"):
        read_run(folder)


def test_several_folders_are_joined_and_the_done_record_counts(tmp_path: Path) -> None:
    made = records(20)
    dead = [replace(r, status="FAILED", points=(), error="x") for r in made[:5]]
    one = write_run(tmp_path / "one", dead + made[5:12])
    two = write_run(tmp_path / "two", made)
    run = read_runs([one, two])
    assert {r.id: r for r in run.records} == {r.id: r for r in made}
    assert run.folder == one and len(run.records) == 20
    assert len(read_runs([two]).records) == 20


def test_folders_of_two_tasks_or_scores_are_refused(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", records(5))
    two = write_run(tmp_path / "two", records(5, task="ag_news"))
    three = write_run(tmp_path / "three", records(5, score="pearson"))
    with pytest.raises(InputError, match="one has task 'sst2', .*two has task 'ag_news'"):
        read_runs([one, two])
    with pytest.raises(InputError, match="score 'pearson'"):
        read_runs([one, three])
    with pytest.raises(InputError, match="no folder given"):
        read_runs([])
