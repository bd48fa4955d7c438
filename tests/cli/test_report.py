"""raysearch report: the terminal, the page, JSON, and the folder for a paper."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from raysearch.analysis import read_run
from raysearch.cli.app import app
from raysearch.data.hashes import row_hash
from raysearch.errors import InputError
from raysearch.panels import paper, vector
from raysearch.recommend.recommended import look
from tests.support import tiny
from tests.support.judged import RECIPES, Recipe, write_run
from tests.support.verbs import Say


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", tiny.write_task(tmp_path / "two", "two", test=100))
    return tmp_path / "run"


def test_the_best_is_reported_without_a_text(say: Say, run: Path, tmp_path: Path) -> None:
    code, out, _ = say("report", run)
    assert code == 0 and "ngram_linear, hash-16, 32 labels" in out and "3 fresh draws" in out
    page = (run / "dashboard" / "report.html").read_text()
    assert (run / "dashboard" / "plotly.min.js").is_file()
    texts = [json.loads(line)["text"] for line in (tmp_path / "two" / "test.jsonl").open()]
    assert not any(t in page or t in out for t in texts)
    hashes = {row_hash(t) for t in texts}
    made = look(read_run(run))
    assert made is not None
    named = set(re.findall(r"\b[0-9a-f]{16}\b", page)) & hashes
    assert len(named) == len(made.hard) > 5


def test_texts_come_on_request_and_escaped(say: Say, tmp_path: Path) -> None:
    task = tiny.write_task(tmp_path / "two", "two", test=20)
    path = tmp_path / "two" / "test.jsonl"
    rows = [json.loads(line) for line in path.open()]
    rows[0]["text"] = "<script>alert(1)</script> [red]red[/red] {{title}}"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    write_run(tmp_path / "run", task, recipes=[Recipe(right=0.0)])
    code, out, err = say("report", tmp_path / "run", "--with-texts", "--json")
    value = json.loads(out)
    shown = {h["text"] for h in value["hardest"]}
    assert code == 0 and rows[0]["text"] in shown, err
    page = (tmp_path / "run" / "dashboard" / "report.html").read_text()
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert "[red]red[/red] {{title}}" in page  # a slot's name in a text is not filled
    code, out, _ = say("report", tmp_path / "run", "--with-texts")
    assert code == 0 and "text" in out


def test_a_named_point_and_another_file(say: Say, run: Path, tmp_path: Path) -> None:
    table = read_run(run).table
    trials = table[table["labels_train"].eq(16) & table["phase"].eq("search")]
    point = str(trials["point_id"].iloc[0])
    code, out, _ = say("report", run, point[:7], "--out", tmp_path / "a" / "b.html", "--json")
    value = json.loads(out)
    assert code == 0 and value["point_id"] == point and value["labels"] == 16
    assert (tmp_path / "a" / "b.html").is_file() and (tmp_path / "a" / "plotly.min.js").is_file()
    assert value["calibration"]["fitted"] == 3 and len(value["confusion"]) == 2


def test_a_zero_shot_model_is_reported_as_what_it_is(say: Say, tmp_path: Path) -> None:
    zero_shot = Recipe("zero_shot", "random-1", labels=0, right=0.2)
    write_run(
        tmp_path / "run", tiny.write_task(tmp_path / "two", "two"), recipes=[*RECIPES, zero_shot]
    )
    table = read_run(tmp_path / "run").table
    point = str(table[table["method"].eq("zero_shot")]["point_id"].iloc[0])
    code, out, err = say("report", "run", point[:8], "--share-teacher", "3")
    assert code == 0, err
    assert "zero_shot, random-1, no labels" in out and "used no labels" in out
    assert "one draw: not confirmed" not in out
    page = (tmp_path / "run" / "dashboard" / "report.html").read_text()
    assert "Not chosen, shown on test." in page and "Chosen on validation" not in page
    value = json.loads(say("report", "run", point[:8], "--json")[1], parse_constant=pytest.fail)
    assert value["labels"] == 0 and value["learning_curve"] == [] and not value["confirmed"]
    code, out, _ = say("report", "run")  # the recommended one is another
    assert code == 0 and "zero_shot" not in out


def test_without_its_data_a_run_is_reported_by_row_number(
    say: Say, run: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "two")
    code, out, _ = say("report", run)
    assert code == 0 and "rows are named by number" in out and "number " in out
    code, _, err = say("report", run, "--with-texts")
    assert code == 2 and len(err.splitlines()) == 1


def test_regression_and_many_classes_are_shown(say: Say, tmp_path: Path) -> None:
    write_run(tmp_path / "n", tiny.write_task(tmp_path / "number", "number"))
    code, out, _ = say("report", tmp_path / "n")
    assert code == 0 and "pearson" in out and "mse" in out and "Confusion" not in out
    assert "Predictions" in (tmp_path / "n" / "dashboard" / "report.html").read_text()
    home = tmp_path / "many"
    home.mkdir()
    for split in ("train", "validation", "test"):
        lines = [json.dumps({"text": f"{split} {i}", "label": f"[b]{i % 15}"}) for i in range(45)]
        (home / f"{split}.jsonl").write_text("\n".join(lines))
    from raysearch.data.own import own_task

    write_run(tmp_path / "m", own_task(str(home)), recipes=[Recipe(right=0.3)])
    code, out, err = say("report", tmp_path / "m")
    assert code == 0 and "Largest confusions" in out and "[b]3" in out, err


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["nowhere"], ["nowhere"]),
        (["run", "zzzz"], ["no trial or point of the search"]),
        (["run", "ab"], ["at least 4 digits"]),
        (["run", "--data-dir", "nowhere", "--with-texts"], ["--data-dir"]),
        (["run", "--share-teacher", "0"], ["--share-teacher", "above 0"]),
        (["run", "--share-teacher", "1.5"], ["--share-teacher", "whole number"]),
    ],
)
def test_bad_words_are_one_line(say: Say, run: Path, args: list[str], parts: list[str]) -> None:
    code, _, err = say("report", *args)
    (line,) = err.splitlines()
    assert code == 2 and all(p in line for p in parts), line


def test_a_point_that_test_has_not_seen_is_refused(say: Say, run: Path) -> None:
    table = read_run(run).table
    assert not RECIPES[-1].tested
    point = str(table[table["model"].eq("random-2")]["point_id"].iloc[0])
    code, _, err = say("report", run, point)
    assert code == 2 and "not scored on test" in err


def test_paper_without_kaleido_or_a_browser_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = look(read_run(run))
    assert made is not None
    find = importlib.util.find_spec
    with monkeypatch.context() as m:
        m.setattr(importlib.util, "find_spec", lambda n: None if n == "kaleido" else find(n))
        with pytest.raises(InputError, match=r"pip install 'raysearch\[paper\]'"):
            paper.write_paper(read_run(run), made, tmp_path / "p")
    pytest.importorskip("kaleido")
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-browser"))
    with pytest.raises(InputError, match="chromium") as caught:
        paper.write_paper(read_run(run), made, tmp_path / "p")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "p").glob("*"))


def test_figures_for_print_are_black_on_white_and_have_their_numbers(run: Path) -> None:
    made = look(read_run(run))
    assert made is not None
    figures = paper.figures(read_run(run), made)
    assert set(figures) == {"frontier", "labels", "reliability", "confusion"}
    for figure, rows in figures.values():
        before = figure.to_dict()
        printed = vector.for_print(figure)
        assert printed.layout.paper_bgcolor == "white" and printed.layout.font.color == "black"
        assert figure.to_dict() == before
        drawn = sum(
            len([x for x in t.x if x is not None]) for t in figure.data if t.mode != "lines"
        )
        assert drawn == len(rows)


def test_numbers_of_the_frontier_are_those_of_the_run(run: Path) -> None:
    found = read_run(run)
    made = look(found)
    assert made is not None and made.estimate is not None
    _, rows = paper.figures(found, made)["frontier"]
    (best,) = [r for r in rows if r["point_id"] == made.about.point.point_id]
    assert best["accuracy"] == made.estimate.score and best["low"] == made.estimate.low
    assert best["draws"] == 3 and best["on_line"] is True


@pytest.mark.slow
@pytest.mark.browser
def test_a_folder_for_a_paper(say: Say, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("kaleido")
    code, out, err = say("report", run, "--paper", tmp_path / "figures")
    assert code == 0, err
    home = tmp_path / "figures"
    names = {p.name for p in home.iterdir()}
    kinds = ("svg", "pdf", "csv")
    wanted = {f"{n}.{k}" for n in ("frontier", "labels", "reliability", "confusion") for k in kinds}
    assert names == wanted | {"hashes.json", "versions.txt", "commands.txt"}
    for name in names:
        data = (home / name).read_bytes()
        assert str(tmp_path).encode() not in data, name
        if name.endswith(".svg"):
            assert data.startswith(b"<svg") and b"Liberation Sans" in data
            assert b"<image" not in data  # vectors, no bitmap
        if name.endswith(".pdf"):
            assert data.startswith(b"%PDF") and b"/FontFile2" in data  # fonts embedded
    with (home / "confusion.csv").open() as f:
        assert sum(int(r["count"]) for r in csv.DictReader(f)) == 300
    value = json.loads((home / "hashes.json").read_text())
    raw = (run / "records.jsonl").read_bytes()
    assert value["records_sha256"] == hashlib.sha256(raw).hexdigest()
    assert "numpy==" in (home / "versions.txt").read_text()
    lines = (home / "commands.txt").read_text().splitlines()
    for line in [s for s in lines if not s.startswith("#")]:
        words = shlex.split(line)
        assert words[0] == "raysearch" and words[1] in app.commands
        known = {o for p in app.commands[words[1]].params for o in p.opts}
        assert {w for w in words if w.startswith("--")} <= known, line
    assert sum("--paper figures" in line for line in lines) == 1
