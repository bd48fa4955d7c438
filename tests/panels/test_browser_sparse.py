"""The page of sparse distillation in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import Run
from raysearch.panels import write_pages
from tests.panels.visit import Visit, draw_all
from tests.support.sparse import TABLES, sparse

HOSTILE = "</script><img src=x onerror=alert(1)><b>${1}%{x}"
PAGE = "sparse_distill.html"
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("sparse")
    run = sparse(folder / "run", measured=True, tables=TABLES[1:9])
    return run, write_pages(run, folder / "out")


def test_every_picture_is_drawn(browser: Any, site: tuple[Run, Path]) -> None:
    visit = Visit(browser, site[1].parent / PAGE)
    draw_all(visit.page)
    assert visit.page.get_by_text("Nothing to show").count() == 0
    assert visit.page.locator("[data-drawn]").count() == 4
    for at in range(3):
        legend = visit.page.locator(f"#figure-{at} .legendtext").all_text_contents()
        assert legend == ["the teacher", "dan", "sparse_distill from finetune"]
    figure = str(visit.page.locator("#figure-3").text_content())
    ticks = visit.page.locator("#figure-3 .xtick text").all_text_contents()
    assert ticks == ["1", "3"]
    assert all(tick in figure for tick in ("4,000", "20,000", "62,500", "frequent", "hashed"))
    visit.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_page_needs_no_sideways_scroll(
    browser: Any, site: tuple[Run, Path], width: int, scheme: str
) -> None:
    size = {"width": width, "height": 844}
    visit = Visit(browser, site[1].parent / PAGE, viewport=size, color_scheme=scheme)
    draw_all(visit.page)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    visit.close()


def test_pointing_at_a_mark_gives_its_command(browser: Any, site: tuple[Run, Path]) -> None:
    visit = Visit(browser, site[1].parent / PAGE)
    page = visit.page
    page.locator("#figure-0").scroll_into_view_if_needed()
    call = """() => {
      const at = DATA.figures[0].data.findIndex((t) => t.mode === "lines+markers");
      Plotly.Fx.hover(byId("figure-0"), [{curveNumber: at, pointNumber: 1}]);
    }"""
    page.evaluate(call)
    hover = str(page.locator("#figure-0 .hoverlayer").text_content())
    assert "raysearch export " in hover and " --to DIR" in hover and " rows, " in hover
    assert "minilm-6, finetune" in hover and "times less compute a text" in hover
    visit.close()


def test_hostile_names_are_shown_and_do_nothing(browser: Any, tmp_path: Path) -> None:
    run = sparse(tmp_path / "run", labels=(100,), tables=TABLES[:3], rename=HOSTILE.__add__)
    visit = Visit(browser, write_pages(run, tmp_path / "out").parent / PAGE)
    draw_all(visit.page)
    assert HOSTILE in str(visit.page.locator("#figure-0").text_content())
    assert visit.page.locator("img").count() == 0
    visit.close()
