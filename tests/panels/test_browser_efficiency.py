"""The page of a crossing in a real browser: drawn whole, legible anywhere, inert, linked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysearch.panels import write_pages
from tests.panels.visit import Visit, draw_all
from tests.support.crossed import MODELS, PROCEDURES, crossed

HOSTILE = "</script><img src=x onerror=alert(1)><b>${1}%{x}"
PAGE = "performance_efficiency.html"
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crossed")
    return write_pages(crossed(folder / "run"), folder / "out").parent / PAGE


def point_at(page: Any) -> None:
    """Hold the pointer over the number of the map's first cell, until its words stand there."""
    page.locator("#figure-3").scroll_into_view_if_needed()
    box = page.locator("#figure-3 .textpoint").first.bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
    page.wait_for_selector("#figure-3 .hoverlayer .hovertext")


def test_every_picture_is_drawn_and_every_cell_tells_who_stands_there(
    browser: Any, page: Path
) -> None:
    visit = Visit(browser, page)
    draw_all(visit.page)
    assert visit.page.get_by_text("Nothing to show").count() == 0
    assert visit.page.locator("[data-drawn]").count() == 5
    legend = visit.page.locator("#figure-0 .legendtext").all_text_contents()
    assert legend[: len(PROCEDURES)] == sorted(PROCEDURES)
    cells = visit.page.locator("#figure-3 .barlayer .point path")
    numbers = visit.page.locator("#figure-3 .textpoint").count()
    assert cells.count() == numbers + 1 > 40  # one more is the key of the hatches
    point_at(visit.page)
    hover = visit.page.locator("#figure-3 .hoverlayer").text_content()
    assert "leads, undecided" in hover or "wins" in hover or "the only one" in hover
    visit.close()


@pytest.mark.parametrize("labels", [(), (32,)])
def test_legends_stand_clear_of_axes_and_titles(
    browser: Any, page: Path, tmp_path: Path, labels: tuple[int, ...]
) -> None:
    if labels:  # one cell alone: the lowest figures there are
        thin = crossed(tmp_path / "r", labels=labels, procedures=("finetune",), models=MODELS[:1])
        page = write_pages(thin, tmp_path / "out").parent / PAGE
    visit = Visit(browser, page)
    draw_all(visit.page)
    boxes = """(at) => {
      const of = (name) => [...document.querySelectorAll(`#figure-${at} ${name}`)]
        .filter((e) => e.textContent).map((e) => e.getBoundingClientRect());
      const fig = document.getElementById(`figure-${at}`).getBoundingClientRect();
      const legend = of(".legend")[0];
      const others = [...of(".xtick"), ...of(".xtitle"), ...of("[class^='x'][class$='title']")];
      return {hits: others.filter((b) => b.bottom > legend.top + 1).length,
              inside: legend.bottom <= fig.bottom + 1, seen: others.length};
    }"""
    for at in range(5):
        found = visit.page.evaluate(boxes, at)
        assert found["hits"] == 0 and found["inside"] and found["seen"] > 1, at
    visit.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_needs_no_sideways_scroll(browser: Any, page: Path, width: int) -> None:
    visit = Visit(browser, page, viewport={"width": width, "height": 844})
    draw_all(visit.page)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    visit.close()


def test_the_pages_lead_to_each_other(browser: Any, page: Path) -> None:
    visit = Visit(browser, page)
    for name, title in (
        ("Research", "Research"),
        ("Performance and efficiency", "Performance and efficiency"),
    ):
        visit.page.locator("header nav a", has_text=name).click()
        visit.page.wait_for_function("window.raysearchPainted > 0")
        assert visit.page.inner_text("h1") == title
    visit.close()


def test_hostile_names_are_shown_and_do_nothing(browser: Any, tmp_path: Path) -> None:
    few = {"labels": (10, 100), "models": ("bert_tiny", "bert_mini")}
    run = crossed(tmp_path / "run", rename=HOSTILE.__add__, **few)
    visit = Visit(browser, write_pages(run, tmp_path / "out").parent / PAGE)
    draw_all(visit.page)
    names = visit.page.locator("#figure-3 .legendtext").all_text_contents()
    assert HOSTILE + "finetune" in names
    point_at(visit.page)
    assert HOSTILE in str(visit.page.locator("#figure-3 .hoverlayer").text_content())
    assert visit.page.locator("img").count() == 0
    visit.close()
