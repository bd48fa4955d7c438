"""The page of a run that was trained here: rows by number, and by hash and text where asked for."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from raysearch.analysis import read_run
from raysearch.engine.hashes import row_hash
from raysearch.engine.leaving import read_exits
from raysearch.panels import exit_accuracy, exit_calibration, exit_curve, exit_histogram
from raysearch.record import RecordWriter
from raysearch.trial import score_points
from tests import tiny
from tests.verbs import Say

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


def test_rows_stand_by_number_until_texts_are_asked_for(say: Say, made: tiny.Made) -> None:
    assert say("page", made.out)[0] == 0
    hashes = {row_hash(t) for t in texts_of(made)}
    plain = page_of(made)
    assert "Rows are named by their number" in plain
    assert not [t for t in texts_of(made) if t in plain]
    assert not hashes & set(re.findall(r"\b[0-9a-f]{16}\b", plain))
    code, _, err = say("page", made.out, "--with-texts")
    assert code == 0, err
    shown = page_of(made)
    assert len(hashes & set(re.findall(r"\b[0-9a-f]{16}\b", shown))) == 16
    assert sum(t in shown.replace("<br>", " ") for t in texts_of(made)) >= 16
    for page in ("index.html", "research.html"):
        assert not [t for t in texts_of(made) if t in (made.out / "dashboard" / page).read_text()]


def test_texts_need_the_data_and_the_page_does_not(say: Say, made: tiny.Made) -> None:
    home = made.out.parent / "data"
    shutil.move(home, home.with_name("moved"))
    assert say("page", made.out)[0] == 0
    code, _, err = say("page", made.out, "--with-texts")
    assert code == 2 and len(err.splitlines()) == 1


def test_a_trained_run_has_every_picture(made: tiny.Made) -> None:
    run = read_run(made.out)
    record = made.records[0]
    exits, ids, _ = read_exits(made.out / "store" / "exits" / f"{record.id}-test")
    assert exits.logits.shape == (60, 2, 2) and len(ids) == 60
    curves = exit_curve.info(run)
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
    alone = exit_accuracy.info(run)
    whole = next(p for p in record.points if p.knobs["threshold"] == "never")
    assert alone.exits[-1].validation == pytest.approx(whole.scores["validation"]["accuracy"])
