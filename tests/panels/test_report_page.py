"""The page of one point as a file: what its figures and tables hold, and nothing that is code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from raysearch.analysis import read_run
from raysearch.analysis.report_text import RowName
from raysearch.panels.report_page import write_report
from raysearch.recommend.recommended import look
from tests.panels.test_page import ATTRIBUTE, HOSTILE, tags, words
from tests.support import tiny
from tests.support.judged import write_run

EVIL = HOSTILE + ATTRIBUTE


def test_hostile_names_ids_and_texts_are_words_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "run", tiny.write_task(tmp_path / "two", "two", test=60))
    plain = look(read_run(tmp_path / "run"))
    assert plain is not None
    config = replace(plain.about.record.config, task=EVIL, method=EVIL, rung=EVIL)
    record = replace(plain.about.record, config=config, id=EVIL, hyper={EVIL: EVIL})
    point = replace(plain.about.point, point_id=EVIL, knobs={EVIL: EVIL})
    about = replace(plain.about, record=record, point=point, names=(EVIL, "plain"))
    classes = (replace(plain.classes[0], name=EVIL), *plain.classes[1:])
    evil = replace(plain, about=about, classes=classes)
    hard = plain.hard[0].id
    pages = [
        write_report(report, tmp_path / name / "report.html", {hard: RowName(text, text, text)})
        for name, report, text in (("plain", plain, "text"), ("evil", evil, EVIL))
    ]
    kinds = [[(tag, [k for k, _ in attrs]) for tag, attrs in tags(page)] for page in pages]
    assert kinds[0] == kinds[1]
    said = words(pages[1])
    assert f"Point {EVIL} of trial {EVIL}. " in said and f"{EVIL} {EVIL}" in said
    assert said.count(EVIL) > 10


def test_a_class_stands_flush_left_and_its_numbers_right(tmp_path: Path) -> None:
    write_run(tmp_path / "run", tiny.write_task(tmp_path / "two", "two", test=60))
    made = look(read_run(tmp_path / "run"))
    assert made is not None
    page = write_report(replace(made, hard=()), tmp_path / "report.html", {}).read_text()
    assert '<th scope="col">class</th><th scope="col" class="n">precision</th>' in page
    assert page.count("<table>") == 2 and "No test row was answered wrong." in page
    assert "What to train" not in page, "no page lies beside it"
