"""The pages in a real browser: marks, controls, keyboard, hostile text, Python's answers."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import Run, read_run
from raysearch.panels import write_pages
from raysearch.panels.answer import answer, to_json
from raysearch.panels.points import Points, collect
from raysearch.panels.sentences import footer, headline, why
from raysearch.panels.words import text
from raysearch.plan.config import TrialConfig
from tests.synthetic import records, write_run

CHROMIUM = Path("/usr/bin/chromium")
ARGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split() + ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
ALL = ("ngram_linear", "embed_linear", "finetune", "distill", "early_exit")
HOSTILE = "</script><img src=x onerror=alert(1)><b>${1}%{x}"
pytestmark = pytest.mark.browser


def _missing() -> str:
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return "" if CHROMIUM.exists() else f"{CHROMIUM} is not installed"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if _missing():
        if os.environ.get("CI"):
            pytest.fail(_missing())
        pytest.skip(_missing())
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield started
        started.close()


class Visit:
    """One open page, with what it logged and asked for."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, **context}
        )
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._log)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("dialog", lambda d: (self.errors.append("dialog " + d.message), d.dismiss()))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("requestfailed", lambda r: self.errors.append("failed " + r.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function("window.raysearchPainted > 0", timeout=30_000)

    def _log(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def close(self) -> None:
        self.context.close()
        assert self.errors == []
        assert all(r.startswith(("file://", "data:", "blob:")) for r in self.requests)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("site")
    left = {"prompt": "no label words for 'billing dispute'"}
    made = write_run(folder / "run", records(200, methods=ALL), left_out=left, shared_by=4)
    run = read_run(made)
    return run, write_pages(run, folder / "out")


def drawn(page: Any) -> int:
    """Marks of points in the plot: all but the ring."""
    marks = page.evaluate("document.querySelectorAll('#plot .scatterlayer .points path').length")
    return int(marks) - 1


def test_every_point_is_drawn_once(browser: Any, site: tuple[Run, Path]) -> None:
    run, index = site
    visit = Visit(browser, index)
    assert drawn(visit.page) == len(collect(run)) > 30
    assert visit.page.evaluate("window.raysearch.cloud") == 0
    visit.close()


SETTINGS: list[dict[str, Any]] = [
    {},
    {"labels": 200},
    {"labels": 3},
    {"max_ms": 3},
    {"cost": "train"},
    {"cost": "train", "teacher": "free"},
    {"cost": "train", "teacher": "shared", "labels": 600},
    {"cost": "latency_ms"},
    {"methods": ["finetune"]},
    {"methods": ["ngram_linear", "distill"], "cost": "bytes"},
    {"methods": []},
]


def same(points: Points, page: Any, **kw: Any) -> None:
    given = answer(points, **kw)
    theirs = page.evaluate(
        "(s) => { const a = window.raysearch.answer(s); return {...a, fits: a.fits.length}; }", kw
    )
    for name, mine in to_json(given).items():
        if name == "band" and mine is not None:
            assert theirs[name] == pytest.approx(mine, abs=1e-12)
        else:
            assert theirs[name] == mine, (kw, name)
    call = "(s) => [raysearch.headline(s), raysearch.why(s), raysearch.footer(s)]"
    sentences, reasons, foot = page.evaluate(call, kw)
    assert sentences == [text(s) for s in headline(points, given)], kw
    assert reasons == [list(r) for r in why(points, given)], kw
    assert foot == footer(points, given), kw


def test_the_page_answers_as_python_does(browser: Any, site: tuple[Run, Path]) -> None:
    run, index = site
    points = collect(run)
    visit = Visit(browser, index)
    for kw in SETTINGS:
        same(points, visit.page, **kw)
    visit.close()


def test_a_pearson_page_answers_as_python_does(browser: Any, tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "r", records(150, methods=ALL, score="pearson")))
    visit = Visit(browser, write_pages(run, tmp_path / "out"))
    for kw in SETTINGS[:7]:
        same(collect(run), visit.page, **kw)
    visit.close()


def test_controls_move_the_plot_and_the_sentences(browser: Any, site: tuple[Run, Path]) -> None:
    run, index = site
    points = collect(run)
    visit = Visit(browser, index)
    page = visit.page

    def line() -> list[float]:
        trace = "document.getElementById('plot').data.find((t) => t.meta.role === 'line')"
        return list(page.evaluate(f"{trace}.x"))

    def shown() -> str:
        return str(page.inner_text("#headline"))

    first, said = line(), shown()
    page.select_option("#cost", "bytes")
    assert line() != first
    assert "stored size" in page.evaluate("document.getElementById('plot').layout.xaxis.title.text")
    page.select_option("#cost", "infer_flops")
    assert line() == first and shown() == said
    page.select_option("#labels", "200")
    assert shown() != said
    assert shown().split("\n")[0] == text(headline(points, answer(points, labels=200))[0])
    assert drawn(page) == len(points)  # points that break a limit fade, they do not vanish
    page.select_option("#labels", "")
    page.fill("#max_ms", "3")
    assert "ms a text" in shown() and "not measured" not in shown().split("\n")[0]
    page.fill("#max_ms", "")
    for i, method in enumerate(points.methods):
        if method != "finetune":
            page.uncheck(f"#methods input[value='{i}']")
    assert "finetune" in shown().split("\n")[0]
    names = page.evaluate(
        "document.getElementById('plot').data.filter((t) => t.meta.role === 'member' && "
        "t.x.length).map((t) => t.meta.method)"
    )
    assert names == ["finetune"]
    visit.close()


def test_why_and_copy_give_what_they_promise(browser: Any, site: tuple[Run, Path]) -> None:
    run, index = site
    visit = Visit(browser, index)
    page = visit.page
    assert not page.is_visible("#reasons")
    page.click("#why")
    assert page.get_attribute("#why", "aria-expanded") == "true"
    assert "not run: no label words for 'billing dispute'" in page.inner_text("#reasons")
    page.evaluate(
        "() => { window.held = []; Object.defineProperty(navigator, 'clipboard', {value: "
        "{writeText: async (t) => { window.held.push(t); }}}); }"
    )
    page.click("#copy")
    page.locator("#rows button").last.click()
    page.wait_for_function("window.held.length === 2")
    points = collect(run)
    given = answer(points)
    held = [json.loads(t) for t in page.evaluate("window.held")]
    for value, i in zip(held, (given.choice, given.shown[-1]), strict=True):
        assert i is not None
        row = run.table.iloc[points.rows[i]]
        assert TrialConfig.from_json(value["config"]).id == row["id"]
        assert value["step"] == row["step"] and value["knobs"] == json.loads(row["point"])
    assert "Copied" in page.inner_text("#status")
    visit.close()


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(
    browser: Any, site: tuple[Run, Path]
) -> None:
    visit = Visit(browser, site[1])
    page = visit.page
    wanted = page.evaluate(
        "[...document.querySelectorAll('main button, main select, main input, nav a')]"
        ".filter((e) => !e.disabled).length"
    )
    reached = 0
    for _ in range(2 * wanted):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            "() => { const e = document.activeElement; if (!e || e === document.body || "
            "e.dataset.seen || !e.matches('main button, main select, main input, nav a')) "
            "return null; e.dataset.seen = 1; return [getComputedStyle(e).outlineStyle, "
            "!!(e.labels && e.labels.length) || !!e.innerText || !!e.ariaLabel]; }"
        )
        if seen is not None:
            assert seen[0] != "none" and seen[1] is True
            reached += 1
    assert reached == wanted > 12
    visit.close()


@pytest.mark.parametrize("name", ["index.html", "research.html"])
def test_a_phone_needs_no_sideways_scroll(browser: Any, site: tuple[Run, Path], name: str) -> None:
    visit = Visit(browser, site[1].parent / name, viewport={"width": 390, "height": 844})
    if name == "research.html":
        draw_all(visit.page)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.close()


def test_the_dark_scheme_reaches_the_plot(browser: Any, site: tuple[Run, Path]) -> None:
    visit = Visit(browser, site[1], color_scheme="light")
    colour = "document.getElementById('plot').layout.font.color"
    light = visit.page.evaluate(colour)
    visit.page.emulate_media(color_scheme="dark")
    visit.page.wait_for_function(f"{colour} !== '{light}'")
    background = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(20, 22, 26)"
    visit.close()


def draw_all(page: Any) -> None:
    page.evaluate("() => DATA.figures.forEach((_, at) => drawFigure(at))")


def test_research_draws_every_panel_and_its_table_sorts(
    browser: Any, site: tuple[Run, Path]
) -> None:
    run, index = site
    visit = Visit(browser, index.parent / "research.html")
    page = visit.page
    draw_all(page)
    assert page.locator("[data-drawn] .main-svg").count() >= page.locator("[data-drawn]").count()
    assert page.locator("[data-drawn]").count() == page.locator("section .plot").count() >= 7
    assert f"of {len(run.table)} rows" in page.inner_text("#found")
    heading = page.locator("#points th", has_text="score_validation")
    for want, down in (("ascending", False), ("descending", True)):
        heading.locator("button").press("Enter")
        assert heading.get_attribute("aria-sort") == want
        at = page.locator("#points th").all_inner_texts().index("score_validation") + 1
        cells = page.locator(f"#points td:nth-child({at})").all_inner_texts()
        values = [float(c) for c in cells if c]
        assert values == sorted(values, reverse=down) and len(values) > 50
    page.fill("#filter", "ngram_2e16")
    count = int(run.table["model"].eq("ngram_2e16").sum())
    assert f"of {count} rows" in page.inner_text("#found")
    page.select_option("#status", "FAILED")
    both = run.table["model"].eq("ngram_2e16") & run.table["status"].eq("FAILED")
    assert page.locator("#points tbody tr").count() == int(both.sum())
    visit.close()


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
