"""The pages in a real browser: hostile text, thin runs, thousands of points."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import read_run
from raysearch.panels import write_pages
from raysearch.recommend.collect import collect
from tests.panels.visit import Visit, draw_all, drawn, same
from tests.support.synthetic import records, write_run

HOSTILE = "</script><img src=x onerror=alert(1)><b>${1}%{x}"
pytestmark = pytest.mark.browser


def test_hostile_text_is_inert(browser: Any, tmp_path: Path) -> None:
    made = []
    for r in records(60, task=HOSTILE):
        config = dataclasses.replace(
            r.config, method=HOSTILE + r.config.method, rung=HOSTILE, hyper={HOSTILE: HOSTILE}
        )
        points = tuple(dataclasses.replace(p, knobs={HOSTILE: HOSTILE}) for p in r.points)
        error = HOSTILE if r.error else None
        made.append(
            dataclasses.replace(
                r, config=config, id=config.id, points=points, hyper=config.hyper, error=error
            )
        )
    run = read_run(write_run(tmp_path / "r", made, left_out={HOSTILE: HOSTILE}))
    index = write_pages(run, tmp_path / "out")
    for name in ("index.html", "research.html"):
        visit = Visit(browser, index.parent / name)
        page = visit.page
        if name == "index.html":
            page.click("#why")
            page.locator("#rows button").first.click()
            page.hover("#plot .points path >> nth=0", force=True)
            assert HOSTILE in page.inner_text("#headline")
            assert HOSTILE in page.inner_text("#reasons")
        else:
            draw_all(page)
            assert HOSTILE in page.inner_text("#points")
        page.wait_for_timeout(200)
        assert page.locator("img").count() == 0
        visit.close()


@pytest.mark.parametrize("kind", ["none", "failed", "one"])
def test_thin_runs_have_a_page(browser: Any, tmp_path: Path, kind: str) -> None:
    made = records(60)
    tested = [r for r in made if any("test" in p.scores for p in r.points)]
    lost = [dataclasses.replace(r, status="FAILED", points=(), error="oom") for r in made[:4]]
    run = read_run(write_run(tmp_path / "r", {"none": [], "failed": lost, "one": tested[:1]}[kind]))
    index = write_pages(run, tmp_path / "out")
    visit = Visit(browser, index)
    same(collect(run), visit.page)
    assert visit.page.inner_text("#headline")
    assert visit.page.is_disabled("#copy") == (kind != "one")
    visit.close()
    visit = Visit(browser, index.parent / "research.html")
    draw_all(visit.page)
    visit.close()


def test_thousands_of_points_are_all_painted(browser: Any, tmp_path: Path) -> None:
    base = next(r for r in records(40) if r.points and "test" in r.points[0].scores)
    points = tuple(
        dataclasses.replace(
            base.points[0],
            point_id=f"p{k}",
            infer_flops=1e6 * (1 + k),
            scores={
                "validation": {"accuracy": 0.5 + (k * 7 % 97) / 400},
                "test": {"accuracy": 0.5 + (k * 7 % 89) / 400},
            },
        )
        for k in range(5000)
    )
    run = read_run(write_run(tmp_path / "r", [dataclasses.replace(base, points=points)]))
    visit = Visit(browser, write_pages(run, tmp_path / "out"))
    same(collect(run), visit.page)
    assert visit.page.evaluate("window.raysearch.cloud") + drawn(visit.page) == 5000
    visit.close()
