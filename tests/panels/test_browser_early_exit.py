"""The page of early exit in a real browser, and the first page with its many points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import Run
from raysearch.analysis.report_text import RowName
from raysearch.panels import write_pages
from raysearch.recommend.collect import collect
from tests.panels.visit import Visit, draw_all, same
from tests.support.exiting import exiting

HOSTILE = "</script><img src=x onerror=alert(1)><b>${1}%{x}"
PAGE = "early_exit.html"
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("exits")
    run = exiting(folder / "run", measured=True)
    return run, write_pages(run, folder / "out")


def test_every_picture_is_drawn(browser: Any, site: tuple[Run, Path]) -> None:
    visit = Visit(browser, site[1].parent / PAGE)
    draw_all(visit.page)
    assert visit.page.get_by_text("Nothing to show").count() == 0
    assert visit.page.locator("[data-drawn]").count() == 6
    legend = visit.page.locator("#figure-0 .legendtext").all_text_contents()
    assert {"early_exit", "finetune", "leaves by confidence"} <= set(legend)
    assert visit.page.locator("#figure-2 .barlayer .point path").count() >= 6 * 8
    assert visit.page.locator("#figure-4 .scatterlayer .trace").count() == 3 * 6
    cells = visit.page.locator("#figure-5 .column-cell .cell-text").all_text_contents()
    assert "easiest" in cells and "hardest" in cells
    visit.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_page_needs_no_sideways_scroll(
    browser: Any, site: tuple[Run, Path], width: int, scheme: str
) -> None:
    size = {"width": width, "height": 844}
    visit = Visit(browser, site[1].parent / PAGE, viewport=size, color_scheme=scheme)
    draw_all(visit.page)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    outside = """() => [...document.querySelectorAll("#figure-2 .annotation, #figure-2 .legend")]
      .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth)
      .length"""
    assert visit.page.evaluate(outside) == 0
    visit.close()


def test_pointing_at_a_mark_gives_its_command(browser: Any, site: tuple[Run, Path]) -> None:
    visit = Visit(browser, site[1].parent / PAGE)
    page = visit.page
    page.locator("#figure-0").scroll_into_view_if_needed()
    call = """() => {
      const thick = (t) => t.mode === "lines+markers" && t.line.width > 1.5;
      const at = DATA.figures[0].data.findIndex(thick);
      Plotly.Fx.hover(byId("figure-0"), [{curveNumber: at, pointNumber: 2}]);
    }"""
    page.evaluate(call)
    hover = str(page.locator("#figure-0 .hoverlayer").text_content())
    assert "raysearch export " in hover and " --to DIR" in hover and "leaves at confidence" in hover
    assert "layer 1:" in hover and "on validation" in hover
    visit.close()


def test_the_first_page_of_many_confirmed_points_answers_as_python_does(
    browser: Any, site: tuple[Run, Path]
) -> None:
    run, index = site
    points = collect(run)
    assert (points.place >= 0).sum() > 40
    visit = Visit(browser, index)
    for kw in ({}, {"cost": "infer_flops"}, {"cost": "ms", "max_ms": 3}, {"labels": 300}):
        same(points, visit.page, **kw)
    call = "(i) => raysearch.exportCommand(i)"
    for i in (0, len(points) - 1):
        command = visit.page.evaluate(call, i)
        assert command == f"raysearch export {points.run} {points.ids[i]} --to model"
    visit.page.select_option("#cost", "infer_flops")
    names = visit.page.evaluate(
        "document.getElementById('plot').layout.annotations.filter((a) => a.name === 'mark')"
        ".map((a) => a.text.replace(/<.?b>/g, ''))"
    )
    curve = [n for n in names if n.startswith("minilm-6, early_exit")]
    assert 1 <= len(curve) <= 3, "a curve is named once, beside the choice and the tie"
    visit.close()


def test_hostile_names_and_texts_are_shown_and_do_nothing(browser: Any, tmp_path: Path) -> None:
    run = exiting(tmp_path / "run", labels=(100,), rename=HOSTILE.__add__, tries=1)

    def names(split: str, rows: Any) -> dict[int, RowName]:
        return {r: RowName(f"{r:016x}", HOSTILE) for r in rows}

    visit = Visit(browser, write_pages(run, tmp_path / "out", names=names).parent / PAGE)
    draw_all(visit.page)
    assert HOSTILE in str(visit.page.locator("#figure-5").text_content())
    assert visit.page.locator("img").count() == 0
    visit.close()
