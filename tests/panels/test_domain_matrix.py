"""The matrix of domains as a picture, and the page that only runs with one have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import Run, read_run
from raysearch.analysis.domains import Matrix, write_domains
from raysearch.analysis.selected_point import chosen
from raysearch.panels import domain_matrix, write_pages
from raysearch.run.folder import DOMAINS
from tests.panels.visit import Visit, draw_all
from tests.support.domains import matrix
from tests.support.synthetic import records, write_run

HOSTILE = "</script><img src=x onerror=alert(1)><b>${1}%{x}"


def run_of(folder: Path, made: Matrix | None = None) -> Run:
    out = write_run(folder, records(20))
    if made is not None:
        write_domains([folder], made)
    return read_run(out)


def test_every_number_stands_in_its_cell(tmp_path: Path) -> None:
    made = matrix(("books", "dvd", "music"), dropped=4)
    info = domain_matrix.info(run_of(tmp_path, made))
    figure = domain_matrix.draw(info)
    maps = [t for t in figure.data if t.type == "heatmap"]
    assert len(maps) == len(made.methods) and {t.coloraxis for t in maps} == {"coloraxis"}
    for drawn, method in zip(maps, made.methods, strict=True):
        names = info.domains
        for c in method.cells:
            row, column = names.index(c.trained_on), names.index(c.tested_on)
            assert drawn.z[row][column] == c.score
            hover = drawn.hovertext[row][column]
            assert f"trained on {c.trained_on}, tested on {c.tested_on}" in hover
            assert f"[{c.low:.3f}, {c.high:.3f}]" in hover
            assert ("4 left out" in hover) == (row != column)
    texts = [str(x) for t in figure.data if t.type == "scatter" for x in t.text]
    assert sorted(texts) == sorted(f"{c.score:.3f}" for m in made.methods for c in m.cells)
    low, high = figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax
    assert (low, high) == (0.7, 0.9)


def test_the_diagonal_is_outlined(tmp_path: Path) -> None:
    info = domain_matrix.info(run_of(tmp_path, matrix(("a", "b", "c"), ("dan",))))
    shapes = domain_matrix.draw(info).layout.shapes
    places = {((s.x0 + s.x1) / 2, (s.y0 + s.y1) / 2) for s in shapes}
    assert places == {(0, 0), (1, 1), (2, 2)}
    assert {s.line.color for s in shapes} == {"#ffffff", "#000000"}


def test_the_caption_says_the_drop_and_whose_models(tmp_path: Path) -> None:
    caption = domain_matrix.info(run_of(tmp_path, matrix(dropped=2))).caption
    assert "over 2 pairs of domains: dan +0.100 [+0.050, +0.150], finetune" in caption
    assert "Means over 3 fresh draws" in caption
    assert "2 of dvd from books" in caption and caption.startswith("Chosen on validation")


def test_points_named_by_hand_were_not_chosen(tmp_path: Path) -> None:
    caption = domain_matrix.info(run_of(tmp_path, replace(matrix(), by_hand=True))).caption
    assert caption.startswith("Points named by hand, shown on test.")
    assert "hosen on validation" not in caption and "Out of date" not in caption


def test_a_broken_file_takes_no_other_page_down(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", matrix())
    for torn in ('{"schema": 1}', "[" * 100_000, "\x00"):
        (tmp_path / "run" / DOMAINS).write_text(torn)
        info = domain_matrix.info(run)
        assert not info.panes and info.caption.startswith("domains.json: is not whole (")
        assert str(tmp_path) not in info.caption
    index = write_pages(run, tmp_path / "out")
    assert "domains.json: is not whole" in (index.parent / "domains.html").read_text()
    assert index.is_file() and (index.parent / "research.html").is_file()


def test_a_file_of_other_data_is_not_shown(tmp_path: Path) -> None:
    """The matrix was copied here, or the data have changed since."""
    info = domain_matrix.info(run_of(tmp_path / "a", matrix(splits="0123456789abcdef")))
    assert not info.panes and info.caption == domain_matrix.FOREIGN
    out = write_run(tmp_path / "b", records(20), splits="fedcba9876543210")
    write_domains([out], matrix())
    assert not domain_matrix.info(read_run(out)).panes, "study.yaml has the last word"
    write_domains([out], matrix(splits="fedcba9876543210"))
    assert domain_matrix.info(read_run(out)).panes


def test_points_that_would_not_be_chosen_now_are_said(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    now = chosen(run)
    made = matrix(methods=tuple(now))
    stale = [
        replace(m, sources=(replace(m.sources[0], point_id=now[m.method]), m.sources[1]))
        for m in made.methods
    ]
    write_domains([tmp_path], replace(made, methods=tuple(stale)))
    assert "Out of date" not in domain_matrix.info(run).caption
    first = made.methods[0]
    write_domains([tmp_path], replace(made, methods=(first, *stale[1:])))
    sentence = f"Out of date: of this run other points would be chosen now ({first.method});"
    assert sentence in domain_matrix.info(run).caption


def test_a_method_that_a_domain_lacks_leaves_cells_empty(tmp_path: Path) -> None:
    made = matrix()
    few = tuple(c for c in made.methods[0].cells if c.trained_on == "books")
    made = replace(made, methods=(replace(made.methods[0], cells=few, drop=None),))
    info = domain_matrix.info(run_of(tmp_path, made))
    (drawn,) = [t for t in domain_matrix.draw(info).data if t.type == "heatmap"]
    assert list(drawn.z[1]) == [None, None] and None not in drawn.z[0]
    assert "Mean drop" not in info.caption


def test_without_a_matrix_the_command_is_said_and_no_page_written(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    info = domain_matrix.info(run)
    assert not info.panes and "raysearch domains RUN RUN" in info.caption
    assert not domain_matrix.draw(info).data and domain_matrix.numbers(info) == []
    index = write_pages(run, tmp_path / "out")
    assert not (index.parent / "domains.html").exists()
    assert "domains.html" not in index.read_text()
    write_domains([tmp_path / "run"], matrix())
    write_pages(run, tmp_path / "out")
    assert (index.parent / "domains.html").is_file() and "domains.html" in index.read_text()


def test_the_numbers_are_the_cells(tmp_path: Path) -> None:
    made = matrix()
    rows = domain_matrix.numbers(domain_matrix.info(run_of(tmp_path, made)))
    cells = [c for m in made.methods for c in m.cells]
    assert [(r["trained_on"], r["tested_on"], r["score"], r["low"]) for r in rows] == [
        (c.trained_on, c.tested_on, c.score, c.low) for c in cells
    ]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_page_draws_and_hostile_names_do_nothing(
    browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    made = matrix((HOSTILE, "dvd"), (HOSTILE + "m", "dan", "finetune", "prompt"))
    index = write_pages(run_of(tmp_path / "run", made), tmp_path / "out")
    size = {"width": width, "height": 844}
    page = index.parent / "domains.html"
    visit = Visit(browser, page, viewport=size, color_scheme=scheme)
    draw_all(visit.page)
    assert visit.page.locator("#figure-0 .heatmaplayer .hm").count() == 4
    assert visit.page.locator("#figure-0 .textpoint").count() == 16
    assert HOSTILE in str(visit.page.locator("#figure-0").text_content())
    visit.page.evaluate("""() => Plotly.Fx.hover(byId("figure-0"), [{xval: 0, yval: 0}], ["xy"])""")
    assert "trained on </script>" in str(visit.page.locator("#figure-0 .hoverlayer").text_content())
    assert visit.page.locator("img").count() == 0
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    visit.close()
