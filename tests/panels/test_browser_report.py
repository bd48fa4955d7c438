"""The report's page in a real browser: drawn, quiet, and inert to hostile label names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import read_run
from raysearch.analysis.report_text import RowName
from raysearch.panels.report_page import write_report
from raysearch.recommend.recommended import look
from tests.panels.visit import Visit, draw_all
from tests.support import tiny
from tests.support.judged import write_run

HOSTILE = "</script><img src=x onerror=alert(1)><b>&amp;"
pytestmark = pytest.mark.browser


def test_every_figure_is_drawn_and_no_name_is_code(browser: Any, tmp_path: Path) -> None:
    task = tiny.write_task(tmp_path / "two", "two", test=60)
    write_run(tmp_path / "run", task)
    made = look(read_run(tmp_path / "run"))
    assert made is not None
    made = replace(made, about=replace(made.about, names=(HOSTILE, "plain")))
    made = replace(made, classes=(replace(made.classes[0], name=HOSTILE), *made.classes[1:]))
    rows = {made.hard[0].id: RowName("0" * 16, HOSTILE)}
    visit = Visit(browser, write_report(made, tmp_path / "out" / "report.html", rows))
    draw_all(visit.page)
    assert visit.page.locator("[data-drawn]").count() == 3
    assert visit.page.locator("#classes td").first.inner_text() == HOSTILE
    assert HOSTILE in visit.page.locator("#hardest").inner_text()
    assert visit.page.locator("main img").count() == 0
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 1280
    visit.close()


def test_it_is_legible_on_a_phone_and_in_the_dark(browser: Any, tmp_path: Path) -> None:
    task = tiny.write_task(tmp_path / "number", "number")
    write_run(tmp_path / "run", task)
    made = look(read_run(tmp_path / "run"))
    assert made is not None
    page = write_report(made, tmp_path / "out" / "report.html", {})
    visit = Visit(browser, page, viewport={"width": 390, "height": 800}, color_scheme="dark")
    draw_all(visit.page)
    assert visit.page.locator("[data-drawn]").count() == 2
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.close()
