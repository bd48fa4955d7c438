"""Runs of an earlier version open, answer, draw and export as they did, to the digit.

The runs are real ones (tests/fixtures/old_runs/README.md); the files beside them hold what the
program printed when they were made, and `python -m tests.run.golden` compares or renews them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raysearch.record import TrialRecord
from raysearch.run.records import read_records
from tests.run import exported, golden, outputs
from tests.run.packed import unpack
from tests.support.verbs import Say

RUNS = golden.runs()
pytestmark = pytest.mark.statistics  # to the digit
FAST = {
    "search": ("status", "table", "frontier", "cascades", "recommend"),
    "grid": ("status", "table", "frontier"),
}
"""What is compared in every round of tests."""


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The fixture that the test names, as a folder below the one it works in."""
    name = str(request.param)
    unpack(name, tmp_path / name)
    return Path(name)


def cases() -> list[Any]:
    """Every (run, file) of what verbs say; those of a second and more are slow."""
    out = []
    for run in RUNS:
        for name in outputs.OUTPUTS:
            marks = () if name in FAST[run] else (pytest.mark.slow,)
            out.append(pytest.param(run, name, marks=marks, id=f"{run}-{name}"))
    return out


def test_there_are_runs() -> None:
    assert RUNS == ["grid", "search"]


# Reading


@pytest.mark.parametrize("run", RUNS, indirect=True)
def test_every_id_follows_from_its_configuration(say: Say, run: Path) -> None:
    found = read_records(run / "records.jsonl")
    assert not found.skipped and len(found.trials) >= 10
    for record in found.trials:
        assert record.config.id == record.id


@pytest.mark.parametrize("run", RUNS, indirect=True)
def test_records_are_written_as_they_were_read(say: Say, run: Path) -> None:
    """Key by key, as the file has them."""
    lines = (run / "records.jsonl").read_text(encoding="utf-8").splitlines()
    trials = [line for line in lines if json.loads(line)["event"] == "trial"]
    assert len(trials) >= 10
    for line in trials:
        assert json.dumps(TrialRecord.from_json(json.loads(line)).to_json()) == line
    for record in read_records(run / "records.jsonl").trials:
        assert TrialRecord.from_json(record.to_json()) == record


# What the verbs say


@pytest.mark.parametrize(("run", "name"), cases(), indirect=["run"])
def test_an_old_run_gives_the_same(say: Say, run: Path, name: str) -> None:
    now = golden.plain(outputs.OUTPUTS[name](say, run))
    found = list(golden.differences(golden.read(run.name, name), now))
    assert not golden.numbers_alone(found), golden.shown(golden.numbers_alone(found))
    assert not found, golden.shown(found)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) for kind in exported.POINTS]
)
@pytest.mark.parametrize("run", ["search"], indirect=True)
def test_an_old_point_is_exported_as_it_was(say: Say, run: Path, kind: str) -> None:
    now = golden.plain(exported.exported(say, run, exported.POINTS[kind], kind))
    expected = golden.read(run.name, f"export_{kind}")
    found = list(golden.differences(expected, now, close=exported.AFTER))
    assert not found, golden.shown(found)


def test_goldens_hold_what_they_are_meant_to() -> None:
    """A file that became empty would agree with anything."""
    answers = {**golden.read("search", "recommend"), **golden.read("search", "recommend_more")}
    choices = [a["choice"] for a in answers.values() if a.get("choice")]
    assert len({c["point_id"] for c in choices}) >= 3
    assert golden.read("search", "cascades")["cascades"]
    pages = golden.read("search", "pages")
    assert {"index.html", "early_exit.html", "research.html", "sparse_distill.html"} <= set(pages)
    assert "performance_efficiency.html" in golden.read("grid", "pages")
    assert len(golden.read("search", "table")["point_id"]) >= 40


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-9]}, ["/a/1"]),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 4e-16]}, []),
        ({"a": 1}, {"a": 1, "b": None}, ["/b"]),
        ([1, 2], [1], [": length"]),
        ({"a": None}, {"a": 0}, ["/a"]),
        ({"a": True}, {"a": 1}, ["/a"]),
        ("x", "y", [""]),
    ],
)
def test_what_differs(old: Any, new: Any, where: list[str]) -> None:
    assert [at for at, _, _ in golden.differences(old, new)] == where
