"""The Python face: what a notebook sees of a run is what verbs and pages say of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import raysearch
from raysearch.analysis import read_run, summary
from raysearch.api import OpenRun
from raysearch.errors import InputError
from raysearch.record import measure_event
from raysearch.run.records import RecordWriter
from tests.run.packed import unpack
from tests.support.verbs import Say


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an earlier version: searched, confirmed, measured."""
    return unpack("search", tmp_path_factory.mktemp("runs") / "search")


@pytest.fixture(scope="module")
def run(folder: Path) -> OpenRun:
    return raysearch.open_run(folder)


def test_the_package_gives_it_out_and_nothing_else() -> None:
    assert raysearch.__all__ == ["__version__", "open_run"]
    assert not hasattr(raysearch, "nothing")


def test_a_folder_that_is_no_run_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no records\.jsonl in it"):
        raysearch.open_run(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        raysearch.open_run(tmp_path / "nothing")


# Table and frontier


def test_the_table_is_a_copy_of_the_runs(run: OpenRun, folder: Path) -> None:
    table = run.table()
    assert table.equals(read_run(folder).table) and len(table) >= 40
    table["labels"] = 0.0
    assert run.table()["labels"].max() > 0


@pytest.mark.parametrize("cost", ["infer_flops", "train_flops_full", "bytes", "labels"])
def test_the_frontier_is_that_of_the_search(run: OpenRun, cost: str) -> None:
    found = run.frontier(cost)
    known = summary(run.read().table, ("score", cost))["frontier"]
    assert list(found["point_id"]) == [p["point_id"] for p in known] and len(found) >= 1
    assert list(found.index) == list(range(len(found)))
    assert found[cost].is_monotonic_increasing and found["score_validation"].is_monotonic_increasing
    assert list(found.columns).count(cost) == 1


def test_the_frontier_of_a_label_budget(run: OpenRun) -> None:
    table = run.table()
    few = int(table["labels_train"].max())
    ids = set(table.loc[table["labels_train"] == few, "point_id"])
    found = run.frontier(labels=few)
    assert len(found) and set(found["point_id"]) <= ids


def test_an_unknown_cost_names_the_nearest(run: OpenRun) -> None:
    for of in (run.frontier, run.figure):
        with pytest.raises(InputError, match="infer_flops"):
            of("infer_flop")


# Recommendation


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, ()),
        ({"labels": 64}, ("--labels", "64")),
        ({"max_bytes": 10}, ("--max-bytes", "10")),
        ({"labels": 200, "max_ms": 5.0}, ("--labels", "200", "--max-ms", "5")),
        (
            {"methods": ["finetune", "distill from finetune"], "teacher": "free"},
            ("--methods", "finetune,distill from finetune", "--teacher", "free"),
        ),
    ],
    ids=["none", "labels", "nothing-fits", "fast", "methods"],
)
def test_it_recommends_what_the_verb_does(
    run: OpenRun, folder: Path, say: Say, limits: dict[str, object], words: tuple[str, ...]
) -> None:
    found = run.recommend(**limits)  # type: ignore[arg-type]
    code, out, _ = say("recommend", folder, *words, "--json")
    assert code == 0 and json.loads(out) == json.loads(json.dumps(found.value))
    code, out, _ = say("recommend", folder, *words)
    assert code == 0 and out.strip() == str(found) == repr(found)
    choice = found.value["choice"]
    assert found.point_id == (choice and choice["point_id"])
    assert (found.point_id is None) == ("max_bytes" in limits)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_ms": -1.0}, "'-1.0' must be above 0"),
        ({"labels": math.nan}, "not a number"),
        ({"cost": "infer_flop"}, "infer_flops"),
        ({"methods": ["finetun"]}, "finetune"),
        ({"teacher": "mother"}, "full"),
    ],
)
def test_a_limit_that_is_none_is_one_line(
    run: OpenRun, limits: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words) as error:
        run.recommend(**limits)  # type: ignore[arg-type]
    assert len(str(error.value).splitlines()) == 1


def test_who_shares_a_teacher_is_said_when_it_is_opened(folder: Path) -> None:
    shares = [raysearch.open_run(folder, shared_by=k).table() for k in (1, 4)]
    column = "train_flops_shared"
    assert (shares[0][column] >= shares[1][column]).all()
    assert (shares[0][column] > shares[1][column]).any()


# What a notebook shows


def test_the_figure_has_the_winners(run: OpenRun) -> None:
    figure = run.figure("train_flops_full")
    drawn = [x for trace in figure.data if trace.mode == "markers" for x in trace.x]
    assert len(drawn) >= 4 and set(drawn) <= set(run.table()["train_flops_full"])


def test_it_stands_in_a_notebook_as_a_table_and_a_sentence(run: OpenRun) -> None:
    assert repr(run) == f"<run {str(run.folder)!r}: {len(run.read().records)} trials, " + (
        f"{len(run.table())} points>"
    )
    page = run._repr_html_()
    assert page.count("<table") == 1 and "score_validation" in page
    assert "&lt;run" in page and "<run" not in page
    assert run.recommend()._repr_html_().startswith("<p>")


def test_it_reads_on_when_records_are_added(tmp_path: Path) -> None:
    run = raysearch.open_run(unpack("grid", tmp_path / "grid"))
    before = run.read()
    assert run.read() is before
    record = next(r for r in before.records if r.points)
    writer = RecordWriter(run.folder / "records.jsonl")
    writer.append(measure_event(record.id, record.points[0].point_id, {"latency_ms": 7.5}))
    writer.close()
    table = run.table().set_index("point_id")
    assert table.loc[record.points[0].point_id, "latency_ms"] == 7.5
