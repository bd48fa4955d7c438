"""Rows on the page of a run: by hash where the data are there, by text where asked for."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import constants

from raysearch.analysis import read_run
from raysearch.config.study import Study
from raysearch.config.task import Task
from raysearch.data.crossfit import crossfit, folds_of
from raysearch.data.hashes import row_hash
from raysearch.data.own import own_task
from raysearch.data.task_data import TaskData, load_task
from raysearch.errors import InputError
from raysearch.outputs.point_kinds.exits import read as read_exits
from raysearch.panels import exit_accuracy, exit_calibration, exit_curve, exit_histogram
from raysearch.run.records import RecordWriter
from raysearch.run.study_file import StudyManifest, write_study_manifest
from raysearch.trial.trained import score_points
from raysearch.workflow.open_run import row_namer
from tests.support import tiny
from tests.support.exiting import exiting
from tests.support.synthetic import records, write_run
from tests.support.verbs import Say

curves_of = partial(exit_curve.info, baseline="finetune")
accuracy_of = partial(exit_accuracy.info, baseline="finetune")

SHORT: dict[str, object] = {"epochs": 2, "min_steps": 12}


@pytest.fixture
def made(tiny_ladder: None, tmp_path: Path) -> tiny.Made:
    trials = [("early_exit", "random-2", SHORT), ("finetune", "random-1", SHORT)]
    made = tiny.run_folder(tmp_path, "two", *trials, labels=60)
    writer = RecordWriter(made.out / "records.jsonl")
    for record in made.records:
        scores = [p.scores["validation"]["accuracy"] for p in record.points]
        best = record.points[scores.index(max(scores))]
        (event,) = score_points(record.config, made.world.place, [best], "test")
        writer.append(event)
    writer.close()
    return made


def texts_of(made: tiny.Made) -> list[str]:
    lines = (made.out.parent / "data" / "test.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def page_of(made: tiny.Made) -> str:
    return (made.out / "dashboard" / "early_exit.html").read_text()


def hashes_of(made: tiny.Made) -> set[str]:
    """Of the test rows, as far as the page has them."""
    known = {row_hash(t) for t in texts_of(made)}
    return known & set(re.findall(r"\b[0-9a-f]{16}\b", page_of(made)))


def test_rows_stand_by_hash_and_by_text_where_texts_are_asked_for(
    say: Say, made: tiny.Made
) -> None:
    code, out, err = say("page", made.out)
    assert code == 0 and "by number" not in out and not err
    plain = page_of(made)
    assert "first 16 digits of SHA-256" in plain and "by their number" not in plain
    assert len(hashes_of(made)) == 16
    assert not [t for t in texts_of(made) if t in plain.replace("<br>", " ")]
    code, _, err = say("page", made.out, "--with-texts")
    assert code == 0, err
    shown = page_of(made)
    assert len(hashes_of(made)) == 16
    assert sum(t in shown.replace("<br>", " ") for t in texts_of(made)) >= 16
    for page in ("index.html", "research.html"):
        assert not [t for t in texts_of(made) if t in (made.out / "dashboard" / page).read_text()]


def test_texts_need_the_data_and_hashes_give_way_to_numbers(say: Say, made: tiny.Made) -> None:
    home = made.out.parent / "data"
    known = {row_hash(t) for t in texts_of(made)}
    shutil.move(home, home.with_name("moved"))
    code, out, err = say("page", made.out)
    assert code == 0 and not err
    assert len([x for x in out.splitlines() if x.startswith("rows are named by number: ")]) == 1
    assert Path(out.splitlines()[-1]).is_file()
    assert "Rows are named by their number" in page_of(made)
    assert not known & set(re.findall(r"\b[0-9a-f]{16}\b", page_of(made)))
    code, _, err = say("page", made.out, "--with-texts")
    assert code == 2 and len(err.splitlines()) == 1
    code, out, _ = say("page", made.out, "--data-dir", "nowhere")
    assert code == 0 and "--data-dir: no folder 'nowhere'" in out
    assert say("page", made.out, "--data-dir", "nowhere", "--with-texts")[0] == 2


def test_data_that_have_changed_name_no_row(say: Say, made: tiny.Made) -> None:
    file = made.out.parent / "data" / "test.jsonl"
    file.write_text(file.read_text().replace('"text": "', '"text": "other ', 1))
    code, out, _ = say("page", made.out)
    assert code == 0 and "have changed since the run began" in out and not hashes_of(made)


def test_a_page_without_such_rows_opens_no_data(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*of: object, **how: object) -> None:
        raise AssertionError("nothing is to be opened")

    monkeypatch.setattr("raysearch.workflow.open_run.open_data", opened)
    write_run(tmp_path / "run", records(12, seed=3))
    code, out, err = say("page", "run")
    assert code == 0 and "by number" not in out, err


def test_a_folder_of_records_without_a_study_has_its_page(say: Say, tmp_path: Path) -> None:
    exiting(tmp_path / "run", labels=(40,), depths=(), tries=1, draws=0)
    code, out, err = say("page", "run")
    assert code == 0 and "rows are named by number: " in out, err
    assert "by their number" in (tmp_path / "run" / "dashboard" / "early_exit.html").read_text()


def pooled(home: Path, rows: int = 150) -> tuple[Path, TaskData, list[str]]:
    """The as-run of a task without splits of its own, its data, and all texts by row number."""
    home.mkdir()
    texts = [f"row {i} <i>says</i> {i * i}" for i in range(rows)]
    lines = [json.dumps({"text": t, "label": f"k{i % 2}"}) for i, t in enumerate(texts)]
    (home / "train.jsonl").write_text("\n".join(lines))
    task = own_task(str(home))
    data = load_task(task)
    out = home.parent / "run"
    write_study_manifest(out, StudyManifest(Study(name="tiny"), task, data.digest))
    return out, data, texts


@pytest.mark.parametrize("split", ["validation", "test"])
def test_rows_of_a_split_that_was_carved_anew_are_named(tmp_path: Path, split: str) -> None:
    out, data, texts = pooled(tmp_path / "data")
    anew = crossfit(data, folds_of(data), 2).splits[split].ids.tolist()
    assert not set(anew) <= set(data.splits[split].ids.tolist()), "else nothing is shown"
    for with_texts in (False, True):
        known = row_namer(out, texts=with_texts)(split, [*anew, 10**6, -1])
        assert list(known) == anew, "a number that no row has is left out"
        for i in anew:
            assert known[i].hash == row_hash(texts[i])
            assert known[i].text == (texts[i] if with_texts else None)


def test_official_validation_rows_are_not_those_of_the_pool(tmp_path: Path) -> None:
    home = tmp_path / "data"
    home.mkdir()
    for name, count in (("train", 100), ("validation", 20)):
        lines = [json.dumps({"text": f"{name} {i}", "label": f"k{i % 2}"}) for i in range(count)]
        (home / f"{name}.jsonl").write_text("\n".join(lines))
    task = own_task(str(home))
    write_study_manifest(
        tmp_path / "run", StudyManifest(Study(name="tiny"), task, load_task(task).digest)
    )
    names = row_namer(tmp_path / "run", texts=True)
    assert names("validation", [3])[3].text == "validation 3"
    assert names("test", [3])[3].text == "train 3"


def test_texts_of_a_run_judged_on_carved_validation_rows_are_shown(
    say: Say, tmp_path: Path
) -> None:
    exiting(tmp_path / "run", labels=(100,), depths=(), tries=1, draws=0, tested=False)
    _, data, texts = pooled(tmp_path / "data")  # over the study.yaml of the records
    assert not set(range(100)) <= set(data.splits["validation"].ids.tolist())
    code, _, err = say("page", "run", "--with-texts")
    assert code == 0, err
    page = (tmp_path / "run" / "dashboard" / "early_exit.html").read_text()
    shown = json.loads(page.split('type="application/json" id="data">')[1].split("</script>")[0])
    (table,) = [t for f in shown["figures"] for t in f["data"] if t["type"] == "table"]
    *_, hashes, _, _, _, cells = table["cells"]["values"]
    numbers = [int(n) for n in table["cells"]["values"][1]]
    assert hashes == [row_hash(texts[n]) for n in numbers] and len(hashes) == 16
    assert cells == [html.escape(texts[n]) for n in numbers]
    assert "<i>says" not in page


def test_the_hub_is_asked_for_texts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def load(task: Task, *, data_dir: Path | None = None) -> None:
        calls.append(not constants.HF_HUB_OFFLINE)
        raise InputError("out of reach")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("raysearch.data.task_data.load_task", load)
    task = tiny.write_task(tmp_path / "two", "two")
    task = dataclasses.replace(task, source="hf:nobody/nothing")
    write_study_manifest(tmp_path / "run", StudyManifest(Study(name="tiny"), task, "0" * 16))
    lines: list[str] = []
    names = row_namer(tmp_path / "run", notify=lines.append)
    assert calls == [] and names("test", [1]) == {} == names("test", [2])
    assert calls == [False] and lines == ["rows are named by number: out of reach"]
    with pytest.raises(InputError, match="out of reach"):
        row_namer(tmp_path / "run", texts=True)
    assert calls == [False, True]


def test_a_trained_run_has_every_picture(made: tiny.Made) -> None:
    run = read_run(made.out)
    record = made.records[0]
    exits, ids, _ = read_exits(made.out / "store" / "exits" / f"{record.id}-test")
    assert exits.logits.shape == (60, 2, 2) and len(ids) == 60
    curves = curves_of(run)
    (pane,) = curves.panes
    marks = {m.point_id: m for c in pane.curves for m in c.marks}
    assert set(marks) == {p.point_id for p in record.points}
    scored = [p for r in run.records for p in r.points if "test" in p.scores and p.exits]
    assert [marks[p.point_id].test for p in scored] == [
        p.scores["test"]["accuracy"] for p in scored
    ]
    assert "finetune: other models" in curves.caption
    assert exit_histogram.info(run).exits == ("layer 1", "layer 2")
    assert len(exit_calibration.info(run).exits) == 2
    alone = accuracy_of(run)
    whole = next(p for p in record.points if p.knobs["threshold"] == "never")
    assert alone.exits[-1].validation == pytest.approx(whole.scores["validation"]["accuracy"])
