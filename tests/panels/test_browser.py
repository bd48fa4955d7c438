"""The pages in a real browser: marks, controls, keyboard, hostile text, Python's answers."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import Run, read_run
from raysearch.cli import main
from raysearch.config.trial import TrialConfig
from raysearch.panels import write_pages
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.sentences import headline
from raysearch.recommend.words import text
from tests.panels.visit import Visit, draw_all, drawn, same
from tests.support.synthetic import add_outside, records, write_run, zero_shots

ALL = ("ngram_linear", "embed_linear", "finetune", "distill", "early_exit")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("site")
    left = {"prompt": "no label words for 'billing dispute'"}
    made = write_run(folder / "run", records(200, methods=ALL), left_out=left, shared_by=4)
    run = read_run(made)
    return run, write_pages(run, folder / "out")


def test_every_point_is_drawn_once(browser: Any, site: tuple[Run, Path]) -> None:
    run, index = site
    visit = Visit(browser, index)
    assert drawn(visit.page) == len(collect(run)) > 30
    assert visit.page.evaluate("window.raysearch.cloud") == 0
    buttons = visit.page.locator("#plot .modebar-btn")
    assert buttons.count() == 4  # and none that sends the chart to plotly's server
    assert "loud" not in "".join(b.get_attribute("data-title") for b in buttons.all())
    visit.close()


SETTINGS: list[dict[str, Any]] = [
    {},
    {"labels": 200},
    {"labels": 3},
    {"max_ms": 3},
    {"cost": "train"},
    {"cost": "train", "teacher": "free"},
    {"cost": "train", "teacher": "shared", "labels": 600},
    {"cost": "ms"},
    {"max_bytes": 1000},
    {"max_bytes": 1000, "labels": 3},
    {"max_ms": 0.5, "min_score": 0.99},
    {"max_train_flops": 1e13, "min_score": 0.5},
    {"volume": 1e6, "prices": {"cpu_hour": 0.1, "label": 0.3}},
    {"volume": 0, "prices": {"cpu_hour": 0.1, "label": 0.3}, "labels": 200},
    {"volume": 3e4, "prices": {"label": 0.05}},
    {"methods": ["finetune"]},
    {"methods": ["ngram_linear", "distill"], "cost": "bytes"},
    {"methods": []},
]


def test_the_page_answers_as_python_does(browser: Any, site: tuple[Run, Path]) -> None:
    run, index = site
    points = collect(run)
    visit = Visit(browser, index)
    for kw in SETTINGS:
        same(points, visit.page, **kw)
    visit.close()


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("confirmed")
    speed = {"latency_ms": 2.0, "tokenise_ms": 0.5, "throughput": 400.0}
    shots = [*zero_shots({"bert_small": 0.66}), *zero_shots({"bert_tiny": 0.55}, **speed)]
    made = write_run(
        folder / "a run",
        [*records(120, confirm=4), *shots],
        prices={"cpu_hour": 0.05, "label": 0.2},
    )
    add_outside(made, "gpt <b>x</b>", 0.95, labels=0, ms=700.0, dollars_per_1k=0.4)
    add_outside(made, "older", 0.6, interval=(0.57, 0.63))
    run = read_run(made)
    return run, write_pages(run, folder / "out")


NAMES = "document.getElementById('plot').layout.annotations.map((a) => a.text)"


def test_outside_systems_are_diamonds_where_they_have_the_cost(
    browser: Any, confirmed: tuple[Run, Path]
) -> None:
    run, index = confirmed
    visit = Visit(browser, index)
    marks = "document.getElementById('plot').data.find((t) => t.meta.role === 'rival')"
    found = collect(run).baselines
    assert [r.name for r in found][:2] == ["gpt <b>x</b>", "older"]
    assert (found[0].differences[:, 0] > 0).any()
    visit.page.select_option("#cost", "ms")
    assert visit.page.evaluate(f"[{marks}.x, {marks}.marker.symbol]") == [[700, 2.5], "diamond"]
    assert "gpt &lt;b&gt;x&lt;/b&gt;" in visit.page.evaluate(NAMES)
    foot = visit.page.inner_text("#footer")
    assert "outside systems not drawn for lack of time per text: 1" in foot
    assert "zero-shot models not drawn for lack of time per text: 1" in foot
    visit.page.select_option("#cost", "infer_flops")
    assert {"zero_shot bert_tiny", "zero_shot bert_small"} & set(visit.page.evaluate(NAMES))
    assert visit.page.evaluate(f"{marks}.x") == [r.costs["infer_flops"] for r in found[2:]]
    (hovered, _) = visit.page.evaluate(f"{marks}.hovertext")
    assert hovered.startswith("zero_shot bert_tiny, no labels: accuracy 0.55 [")
    visit.page.select_option("#cost", "train")
    assert visit.page.evaluate(f"{marks}.x") == []
    assert "zero-shot models not drawn for lack of training compute: 2" in visit.page.inner_text(
        "#footer"
    )
    visit.page.click("#why")
    details = visit.page.inner_text("#details")
    assert (
        "Outside, gpt <b>x</b>: accuracy" in details and "better" in details and "worse" in details
    )
    assert "Without labels, zero_shot bert_tiny: accuracy 0.55" in details
    assert "zero_shot" not in visit.page.inner_text("#methods"), "there is nothing to switch off"
    visit.close()


def test_a_confirmed_page_answers_as_python_and_the_terminal_do(
    browser: Any, confirmed: tuple[Run, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, index = confirmed
    points = collect(run)
    assert (points.place >= 0).sum() > 10
    visit = Visit(browser, index)
    for kw in SETTINGS:
        same(points, visit.page, **kw)
    request = {"labels": 700, "max_ms": 4.5, "volume": 2e6}
    flags = ["--labels", "700", "--max-ms", "4.5", "--volume", "2M"]
    with pytest.raises(SystemExit, match="0"):
        main(["recommend", str(run.folder), *flags])
    printed = capsys.readouterr().out.splitlines()
    call = "(s) => [...raysearch.headline(s), ...raysearch.details(s), raysearch.footer(s)]"
    theirs = visit.page.evaluate(call, request)
    assert len(theirs) >= 5 and [line for line in theirs if line not in printed] == []
    assert "To own" in "".join(theirs)
    visit.close()


def test_confirmed_members_are_filled_and_barred(browser: Any, confirmed: tuple[Run, Path]) -> None:
    run, index = confirmed
    visit = Visit(browser, index)
    traces = visit.page.evaluate(
        "document.getElementById('plot').data.filter((t) => t.meta.role === 'member' && t.x.length)"
        ".map((t) => [t.marker.symbol, t.error_y.array])"
    )
    for symbols, bars in traces:
        assert all(not s.endswith("-open") for s in symbols) and all(b > 0 for b in bars)
    assert traces
    text_ = visit.page.inner_text("#headline")
    assert "Not confirmed" not in text_ and "4 fresh draws" in visit.page.inner_text("#interval")
    assert "4 draws" in visit.page.inner_text("#footer")
    visit.page.fill("#volume", "1000000")
    assert "dollars to own" in visit.page.evaluate(
        "document.getElementById('plot').layout.xaxis.title.text"
    )
    visit.close()


def test_who_pays_the_teacher_moves_the_line(browser: Any, tmp_path: Path) -> None:
    made = write_run(tmp_path / "r", records(150, methods=("finetune", "distill")), shared_by=8)
    run = read_run(made)
    points = collect(run)
    visit = Visit(browser, write_pages(run, tmp_path / "out"))
    page = visit.page
    words = page.locator("#teacher option").all_inner_texts()
    assert words == ["paid in full", "shared by 8", "free"]
    page.select_option("#cost", "train")
    line = "document.getElementById('plot').data.find((t) => t.meta.role === 'line').x"
    seen = []
    for teacher in ("full", "shared", "free"):
        page.select_option("#teacher", teacher)
        given = answer(points, cost="train", teacher=teacher)
        x = points.cost("train", teacher)
        assert page.evaluate(line)[:-1] == [x[i] for i in given.frontier]  # then to the edge
        same(points, page, cost="train", teacher=teacher)
        seen.append(given.frontier)
    assert len(set(seen)) == 3
    visit.close()


def test_a_page_of_zero_shot_models_alone_says_so(browser: Any, tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "r", zero_shots({"bert_tiny": 0.6})))
    visit = Visit(browser, write_pages(run, tmp_path / "out"))
    same(collect(run), visit.page)
    assert "never chosen by a score" in visit.page.inner_html("#reasons")
    assert "Without labels, " in visit.page.inner_html("#details")
    visit.close()


@pytest.mark.parametrize("score", ["pearson", "spearman", "mcc", "f1"])
def test_a_page_of_any_score_answers_as_python_does(
    browser: Any, tmp_path: Path, score: str
) -> None:
    run = read_run(write_run(tmp_path / "r", records(150, methods=ALL, score=score)))
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

    first, sentences = line(), shown()
    page.select_option("#cost", "bytes")
    assert line() != first
    assert "stored size" in page.evaluate("document.getElementById('plot').layout.xaxis.title.text")
    page.select_option("#cost", "infer_flops")
    assert line() == first and shown() == sentences
    page.select_option("#labels", "200")
    assert shown() != sentences
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
    command, copied = page.evaluate("window.held")
    assert given.choice is not None
    chosen = run.table.iloc[points.rows[given.choice]]
    words = shlex.split(command)
    assert words == ["raysearch", "export", str(run.folder), chosen["point_id"], "--to", "model"]
    value, row = json.loads(copied), run.table.iloc[points.rows[given.shown[-1]]]
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


def test_research_draws_every_panel_and_its_table_sorts(
    browser: Any, site: tuple[Run, Path]
) -> None:
    run, index = site
    visit = Visit(browser, index.parent / "research.html")
    page = visit.page
    draw_all(page)
    assert page.locator("[data-drawn] .main-svg").count() >= page.locator("[data-drawn]").count()
    bare = page.get_by_text("Nothing to show").count()  # no confirming draws: nothing attained
    assert bare == 1
    drawn_ = page.locator("[data-drawn]").count()
    assert drawn_ + bare == page.locator("section .plot").count() >= 8
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
