"""The main job end to end: search space to page, on the toy task and on a slice of real SST-2."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raysearch.ledger import ANSWERS, TRAINING
from raysearch.record import TrialRecord
from raysearch.run.records import read_records

pytestmark = [pytest.mark.ray, pytest.mark.slow]

DATA = os.environ.get("RAYSEARCH_DATA_DIR", "")
MODELS = os.environ.get("RAYSEARCH_MODELS_DIR", "")
FILES = ("records.jsonl", "records.parquet", "study.yaml", "log.txt")
COLUMNS = (
    "id point_id task method model labels_train data_seed init_seed phase status point hyper "
    "score_validation score_test error train_flops train_flops_full train_flops_shared "
    "infer_flops params params_trained bytes labels unlabelled synthetic train_seconds "
    "latency_ms tokenise_ms throughput peak_memory dollars"
).split()


def verb(*args: str | Path, cwd: Path) -> str:
    """Run a verb in this process, on the session's Ray; what it prints."""
    from raysearch.cli import main

    out, err = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(a) for a in args])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    assert code == 0, f"{code}\n{out.getvalue()}\n{err.getvalue()}"
    return out.getvalue()


def raysearch(*args: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the program as a person does."""
    done = subprocess.run(
        [sys.executable, "-m", "raysearch", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def whole(out: Path, result: dict[str, Any], task: str) -> pd.DataFrame:
    """What must hold of every finished run."""
    assert result["task"] == task
    assert Path(result["page"]).resolve() == (out / "dashboard" / "index.html").resolve()
    for name in (*FILES, "dashboard/index.html"):
        assert (out / name).is_file(), name
    table = pd.read_parquet(out / "records.parquet")
    assert set(COLUMNS) <= set(table.columns)
    done = table["status"].eq("DONE") & table["phase"].eq("search")
    assert result["trials"].get("DONE", 0) == table[done]["id"].nunique()
    assert result["spent"]["flops"] > 0 and result["spent"]["labels"] > 0
    assert result["frontier"]
    for point in result["frontier"]:
        row = table[table["point_id"] == point["point_id"]].iloc[0]
        assert point["scores"]["validation"] == pytest.approx(row["score_validation"])
        assert point["scores"]["test"] == pytest.approx(row["score_test"])  # winners are scored
        assert row["phase"] == "search"  # draws are no members: they are behind the estimates
        assert point["costs"]["infer_flops"] == pytest.approx(row["infer_flops"])
    return table


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One small study of the toy task, by the program itself."""
    home = tmp_path_factory.mktemp("toy")
    args = ("frontier", "--trials", "9", "--labels", "32,100", "--out", "run", "--json")
    done = raysearch(*args, cwd=home)
    result: dict[str, Any] = json.loads(done.stdout)
    return home / "run", {**result, "page": home / result["page"]}


def test_toy_from_space_to_page(toy: tuple[Path, dict[str, Any]]) -> None:
    out, result = toy
    every = whole(out, result, "toy")
    table = every[every["phase"].eq("search")]
    methods = {"ngram_linear", "embed_linear", "finetune", "prompt", "distill", "zero_shot"}
    methods |= {"early_exit"}
    assert set(table["method"]) == methods
    shares = table[table["labels_train"].gt(0)]["labels_train"].value_counts().to_dict()
    assert set(shares) == {32, 100} and min(shares.values()) >= 2  # stratified
    assert result["trials"] == {"DONE": 9}
    free = table[table["method"].eq("zero_shot")]
    assert free["labels"].eq(0).all() and free["score_test"].gt(0).all()
    assert free["score_validation"].isna().all()
    # the second phase: every candidate on three fresh draws; the third: each of them timed
    fresh = every[every["phase"].eq("confirm")]
    confirmed = table[table["point_id"].isin([e["point_id"] for e in result["confirmed"]])]
    assert confirmed["id"].nunique() >= 3  # a model with exits has many points
    assert fresh["id"].nunique() == 3 * confirmed["id"].nunique()
    assert set(fresh["data_seed"]) == {1, 2, 3} and fresh["status"].eq("DONE").all()
    choice = result["recommendation"]["choice"]
    assert choice["draws"] == 3 and choice["costs"]["ms"] > 0
    low, high = choice["interval"]
    assert low < choice["test"] < high
    assert "Not confirmed" not in " ".join(result["recommendation"]["sentences"])


def searched(out: Path) -> list[TrialRecord]:
    """The records of the search."""
    return [r for r in read_records(out / "records.jsonl").trials if r.phase == "search"]


@pytest.mark.usefixtures("ray_here")
def test_a_run_is_extended_and_runs_nothing_twice(toy: tuple[Path, dict[str, Any]]) -> None:
    out, _ = toy
    before = {r.id for r in searched(out)}
    done = verb("run", "--trials", "+3", "--out", out, "--json", cwd=out.parent)
    after = [r.id for r in searched(out)]
    assert len(after) == 12 and before < set(after)
    assert json.loads(done)["page"] is None
    lines = (out / "records.jsonl").read_text().splitlines()
    ended = [json.loads(x)["id"] for x in lines if json.loads(x)["event"] == "trial"]
    assert len(ended) == len(set(ended)) > 12
    said = verb("status", out, "--json", cwd=out.parent)
    assert json.loads(said)["trials"] == 12


@pytest.mark.usefixtures("ray_here")
def test_a_crossing_runs_each_teacher_once_a_draw_and_bills_its_students(tmp_path: Path) -> None:
    """Four procedures of two sizes at one label budget, on three draws; and its page."""
    args = ("run", "--study", "performance_efficiency", "--labels", "32", "--out", "run")
    args += ("--models", "toy-tiny,toy-mini", "--share-teacher", "4")
    verb(*args, cwd=tmp_path)
    verb("confirm", "run", cwd=tmp_path)
    verb("page", "run", cwd=tmp_path)
    found = read_records(tmp_path / "run" / "records.jsonl").trials
    table = pd.read_parquet(tmp_path / "run" / "records.parquet")
    assert {r.status for r in found} == {"DONE"}
    by_id = {r.id: r for r in found}
    students = [r for r in found if r.config.upstream.values()]
    assert {r.config.method_chain for r in students} == {
        "distill from finetune",
        "distill from prompt",
    }
    assert len(students) == 6 and {r.config.data.seed for r in students} == {0, 1, 2}
    for student in students:
        (teacher,) = student.config.upstream.values()
        assert teacher.rung == "toy-mini" and student.config.rung == "toy-tiny"
        given = by_id[teacher.id]  # a trial of its own, on the student's draw
        assert given.config.data.seed == student.config.data.seed
        trained = sum(c.flops for c in given.bill if c.phase in TRAINING)
        answers = sum(c.flops for c in student.bill if c.phase in ANSWERS)
        row = table[table["id"].eq(student.id)].iloc[0]
        assert row["train_flops_full"] - row["train_flops"] == trained + answers > trained > 0
        shared = row["train_flops"] + (trained + answers) / 4
        assert row["train_flops_shared"] == pytest.approx(shared)
        assert row["labels"] == given.labels_used == student.labels_used
    assert len(found) == 2 + 3 * (2 + 2 + 2)
    page = (tmp_path / "run" / "dashboard" / "performance_efficiency.html").read_text()
    assert "distill from prompt" in page


@pytest.mark.usefixtures("ray_here")
def test_ctrl_c_leaves_a_study_that_resume_ends(tmp_path: Path) -> None:
    args = ["frontier", "--trials", "12", "--labels", "32,100", "--methods", "finetune"]
    args += ["--models", "toy-tiny,toy-mini", "--draws", "0"]
    child = subprocess.Popen(
        [sys.executable, "-m", "raysearch", *args, "--out", "run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    records = tmp_path / "run" / "records.jsonl"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and child.poll() is None:
        if records.exists() and records.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=120)
    assert child.returncode == 130, said
    assert "raysearch resume run" in said
    first = {r.id for r in read_records(records).trials}
    assert 2 <= len(first) < 12, said
    verb("resume", "run", cwd=tmp_path)
    found = read_records(records).trials
    assert len(found) == 12 and first < {r.id for r in found}
    assert {r.status for r in found} == {"DONE"}


@pytest.mark.real
@pytest.mark.usefixtures("ray_here")
@pytest.mark.skipif(
    not (DATA and MODELS) and not os.environ.get("CI"),
    reason="needs real data and checkpoints: set RAYSEARCH_DATA_DIR and RAYSEARCH_MODELS_DIR",
)
def test_a_slice_of_real_sst2(tmp_path: Path) -> None:
    out = tmp_path / "run"
    args = ("frontier", "--task", "sst2", "--models", "hash-16,minilm-1", "--labels", "32,320")
    args += ("--methods", "ngram_linear,embed_linear,finetune")
    done = verb(*args, "--trials", "5", "--out", out, "--json", cwd=tmp_path)
    table = whole(out, json.loads(done), "sst2")
    assert table["phase"].eq("confirm").sum() >= 9
    best = table["score_test"].max()
    assert best > 0.6, "nothing learnt from 320 labels of SST-2"
    assert (table["test_rows"].dropna() == 1821).all()
    # ids hold no path: the same study over copies of the folders has the same ids
    assert not table["hyper"].str.contains(str(tmp_path), regex=False).any()
