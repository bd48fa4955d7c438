"""raysearch domains: the matrix, what it is made of, what is left out, and every refusal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from raysearch.analysis import Run
from raysearch.analysis.domains import read_domains
from raysearch.config.task import Task
from raysearch.data.task_data import load_task
from raysearch.errors import InputError
from raysearch.run.folder import DOMAINS
from raysearch.run.records import read_records
from tests.support import tiny
from tests.support.domains import NGRAM, learn, own, task, train
from tests.support.verbs import Say, refused

pytestmark = pytest.mark.usefixtures("tiny_ladder")
DAN = ("dan", "table-400")


Two = Callable[..., tuple[Task, Task]]


@pytest.fixture(scope="module")
def trained() -> dict[str, tuple[Path, tuple[Task, Task]]]:
    """Runs by what they were trained with; not to be changed."""
    return {}


@pytest.fixture
def two(
    trained: dict[str, tuple[Path, tuple[Task, Task]]], tmp_path_factory: pytest.TempPathFactory
) -> Two:
    """Copies runs `books` and `dvd` of one method, and their data, to a folder."""

    def copy(home: Path, **more: object) -> tuple[Task, Task]:
        key = repr(sorted(more.items()))
        if key not in trained:
            made = tmp_path_factory.mktemp("two")
            tasks = task(made, "books", 1), task(made, "dvd", 2)
            for of_task in tasks:
                train(made / of_task.name, of_task, **more)
            trained[key] = made, tasks
        made, tasks = trained[key]
        shutil.copytree(made, home, dirs_exist_ok=True)
        for of_task in tasks:
            study = home / of_task.name / "study.yaml"
            study.write_text(study.read_text().replace(str(made), str(home)))
        one, other = (
            replace(of_task, source=of_task.source.replace(str(made), str(home)))
            for of_task in tasks
        )
        return one, other

    return copy


def cells(folder: Path, method: str = "ngram_linear") -> dict[tuple[str, str], object]:
    found = read_domains(folder)
    assert found is not None
    (of_method,) = [m for m in found.methods if m.method == method]
    return {(c.trained_on, c.tested_on): c for c in of_method.cells}


def test_the_diagonal_is_what_the_records_say(say: Say, tmp_path: Path, two: Two) -> None:
    two(tmp_path, draws=3)
    code, out, err = say("domains", "books", "dvd")
    assert code == 0 and not err, err
    for name in ("books", "dvd"):
        assert (tmp_path / name / DOMAINS).read_bytes() == (
            tmp_path / "books" / DOMAINS
        ).read_bytes()
        fresh = [r for r in read_records(tmp_path / name / "records.jsonl").trials
                 if r.phase == "confirm"]  # fmt: skip
        fresh.sort(key=lambda r: r.config.data.seed)
        theirs = [r.points[0].scores["test"]["accuracy"] for r in fresh]
        home = cells(tmp_path / "books")[name, name]
        assert home.per_draw == pytest.approx(theirs, abs=1e-12) and len(theirs) == 3
        assert home.score == pytest.approx(sum(theirs) / 3, abs=1e-12)
        assert home.low <= home.score <= home.high and (home.rows, home.dropped) == (40, 0)
        assert f"{home.score:.3f} [{home.low:.3f}, {home.high:.3f}]" in out
    assert "Means over 3 fresh draws; 95 % intervals over draws and test rows." in out
    assert "Mean drop off the diagonal over 2 pairs of domains: ngram_linear " in out
    assert (tmp_path / "dvd" / "dashboard" / "domains.html").is_file()
    assert "page: dvd/dashboard/domains.html" in out and "Chosen on validation of" in out
    for name in ("books", "dvd"):
        page = (tmp_path / name / "dashboard" / "domains.html").read_text()
        assert "Chosen on validation of" in page and "Out of date" not in page


def test_off_the_diagonal_stands_what_the_model_says_of_the_others_test(
    say: Say, tmp_path: Path, two: Two
) -> None:
    books, dvd = two(tmp_path)
    assert say("domains", "books", "dvd")[0] == 0
    model = tmp_path / "model"
    assert say("export", "books", read_domains(tmp_path / "books").methods[0].sources[0].point_id,
               "--to", model)[0] == 0  # fmt: skip
    rows = load_task(dvd).splits["test"]
    from raysearch.export.opening import open_model

    predictor = open_model(model)
    predicted = predictor.infer(predictor.prepare(list(rows.text), None)).argmax(axis=1)
    cell = cells(tmp_path / "dvd")["books", "dvd"]
    assert cell.score == pytest.approx(float((predicted == rows.label).mean()), abs=1e-12)
    assert cell.score < 1 and cell.rows == 40 and len(cell.per_draw) == 1
    assert books.label_names == dvd.label_names


def test_known_texts_are_left_out_and_counted(say: Say, tmp_path: Path) -> None:
    books, dvd = task(tmp_path, "books", 1), task(tmp_path, "dvd", 2)
    texts = list(load_task(dvd).splits["test"].text)
    learn(books, ["  " + t.upper().replace(" ", "\n ") for t in texts[:5]])
    for of_task in (books, dvd):
        train(tmp_path / of_task.name, of_task)
    code, out, _ = say("domains", "books", "dvd")
    found = cells(tmp_path / "books")
    assert code == 0 and (found["books", "dvd"].rows, found["books", "dvd"].dropped) == (35, 5)
    assert found["dvd", "books"].dropped == found["dvd", "dvd"].dropped == 0
    assert "5 of dvd from books." in out
    whole = (tmp_path / "books" / DOMAINS).read_text()
    assert not any(t in whole for t in texts) and str(tmp_path) not in whole


@pytest.mark.slow
def test_without_weights_of_draws_the_searchs_own_trial_is_asked(
    say: Say, tmp_path: Path, two: Two
) -> None:
    two(tmp_path, draws=3, kept=[0])
    code, out, _ = say("domains", "books", "dvd")
    assert (
        code == 0 and "the search's own trial (the weights of the other draws were not kept" in out
    )
    (own,) = [r for r in read_records(tmp_path / "dvd" / "records.jsonl").trials
              if r.phase == "search"]  # fmt: skip
    home = cells(tmp_path / "books")["dvd", "dvd"]
    assert home.per_draw == pytest.approx([own.points[0].scores["test"]["accuracy"]])
    code, out, _ = say("domains", "books", "dvd", "--train")
    assert code == 0 and out.count("weights were not kept: trains trial") == 6
    again = cells(tmp_path / "books")["dvd", "dvd"]
    assert len(again.per_draw) == 3, "the second call replaces the first"
    assert "Means over 3 fresh draws" in out


@pytest.mark.slow
def test_of_a_crossing_the_search_s_own_trial_alone_is_no_mean(
    say: Say, tmp_path: Path, two: Two
) -> None:
    """There the search's own trial is one of the draws, and often the only one with weights."""
    two(tmp_path, draws=2, kept=[0])
    for name in ("books", "dvd"):
        study = tmp_path / name / "study.yaml"
        value = yaml.safe_load(study.read_text())
        value |= {"procedures": [{"method": "ngram_linear"}], "searcher": "grid"}
        study.write_text(yaml.safe_dump(value))
    code, out, err = say("domains", "books", "dvd")
    assert code == 0, err
    assert "fresh draws" not in out
    assert "the search's own trial (the weights of the other draws were not kept; --train" in out
    source = read_domains(tmp_path / "books").methods[0].sources[0]
    assert (source.draws, source.confirmed) == (0, 2)
    code, out, _ = say("domains", "books", "dvd", "--train")
    assert code == 0 and "Means over 3 fresh draws" in out


def test_all_draws_are_judged_on_the_same_rows(
    say: Say, tmp_path: Path, two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each draw takes texts of its own from a pool: what one has is left out for all."""
    from raysearch.data.rows import Rows
    from raysearch.trial.trained import TrainedModel

    _, dvd = two(tmp_path, draws=3)
    test = load_task(dvd).splits["test"]

    def pool(trial: TrainedModel) -> Rows:
        draw = trial.config.data.seed
        return replace(test.take(np.arange(5 * draw, 5 * draw + 5)), split="unlabelled")

    monkeypatch.setattr(TrainedModel, "unlabelled", property(pool))
    code, out, err = say("domains", "books", "dvd")
    assert code == 0, err
    cell = cells(tmp_path / "books")["books", "dvd"]
    assert len(cell.per_draw) == 3 and (cell.rows, cell.dropped) == (25, 15)
    assert "15 of dvd from books" in out


def test_without_any_weights_the_error_says_what_to_do(say: Say, tmp_path: Path, two: Two) -> None:
    two(tmp_path, kept=[])
    refused(say("domains", "books", "dvd"), "books", "were not kept", "--train trains it again")
    assert not (tmp_path / "books" / DOMAINS).exists()
    code, out, _ = say("domains", "books", "dvd", "--train", "--json")
    assert code == 0 and json.loads(out)["schema"] == 1


def test_a_method_that_one_run_lacks_has_no_row_there(say: Say, tmp_path: Path) -> None:
    books, dvd = task(tmp_path, "books", 1), task(tmp_path, "dvd", 2)
    train(tmp_path / "books", books, NGRAM, DAN)
    train(tmp_path / "dvd", dvd)
    code, out, _ = say("domains", "books", "dvd")
    assert code == 0 and "dan: accuracy on test" in out
    assert set(cells(tmp_path / "dvd", "dan")) == {("books", "books"), ("books", "dvd")}
    assert "2 pairs of domains: ngram_linear " in out


def test_points_are_named(say: Say, tmp_path: Path) -> None:
    books, dvd = task(tmp_path, "books", 1), task(tmp_path, "dvd", 2)
    made = train(tmp_path / "books", books, NGRAM, DAN)
    train(tmp_path / "dvd", dvd)
    last = made[1].points[-1]
    code, out, _ = say("domains", "books", "dvd", "--point", last.point_id, "--json")
    (only,) = json.loads(out)["methods"]
    assert code == 0 and only["method"] == "dan table-400"
    page = (tmp_path / "books" / "dashboard" / "domains.html").read_text()
    assert json.loads(out)["by_hand"] and "Points named by hand, shown on test." in page
    assert [s["point_id"] for s in only["sources"]] == [last.point_id]
    both = [x for p in made[1].points[:2] for x in ("--point", p.point_id)]
    refused(say("domains", "books", "dvd", *both), "one point a method and model")
    refused(say("domains", "books", "dvd", "--point", "zzzzzz"), "no trial or point")


def test_tasks_that_cannot_be_compared_are_refused_in_one_line(
    say: Say, tmp_path: Path, two: Two
) -> None:
    books, dvd = two(tmp_path)
    refused(say("domains", "books"), "one run given", "two or more")
    refused(say("domains", "books", "nowhere"), "nowhere", "holds no run")
    refused(say("domains", "books", "books"), "both of task 'books'")

    def like(name: str, kind: str, seed: int = 3, **changes: object) -> None:
        train(tmp_path / name, task(tmp_path, name, seed, kind, **changes))

    like("five", "five")
    refused(say("domains", "books", "five"), "books has classes 'class 0, class 1'", "five has")
    train(tmp_path / "turned", replace(dvd, name="turned", label_names=dvd.label_names[::-1]))
    refused(say("domains", "books", "turned"), "turned has classes 'class 1, class 0'")
    like("number", "number")
    refused(say("domains", "books", "number"), "number", "numbers for labels")
    like("pair", "pair")
    refused(say("domains", "pair", "books"), "pair has rows of pairs of texts", "single texts")
    like("f1", "two", score="macro_f1")
    refused(say("domains", "books", "f1"), "score accuracy", "score macro_f1")
    train(tmp_path / "twin", replace(books, name="twin"))
    refused(say("domains", "books", "twin"), "the same rows")


def test_classes_are_compared_whole(say: Say, tmp_path: Path) -> None:
    """Of eight classes six are shown; and a name with a comma is not two names."""
    from raysearch.run.study_file import StudyManifest
    from raysearch.workflow.domains import comparable

    books = task(tmp_path, "books", 1)
    study = tiny.world(books, tmp_path / "world").study

    def refused_of(one: tuple[str, ...], other: tuple[str, ...]) -> str:
        runs = [
            (Path(name), StudyManifest(study, replace(books, name=name, label_names=names), name))
            for name, names in (("books", one), ("dvd", other))
        ]
        with pytest.raises(InputError) as e:
            comparable(runs)
        return str(e.value)

    eight = tuple("abcdefgh")
    line = refused_of(eight, (*eight[:7], "z"))
    assert "whose number 8 is 'h'" in line and "whose number 8 is 'z'" in line
    line = refused_of(("a, b", "c"), ("a", "b, c"))
    assert "whose number 1 is 'a, b'" in line and "whose number 1 is 'a'" in line
    assert "'a, b'" in refused_of(("a", "b"), ("a", "c"))
    assert refused_of(("a", "b, c"), ("a", "b", "c")).count("\n") == 0


def test_an_ambiguous_point_is_an_error_whatever_the_other_run_has(tmp_path: Path) -> None:
    from raysearch.analysis import read_run
    from raysearch.analysis.point_lookup import find
    from raysearch.workflow.domains import _named
    from tests.support.synthetic import records, write_run

    made = list(records(12))
    ids = ["abcd00000000000" + c for c in "0123456789ab"]

    def named(folder: str, *ids: str) -> Run:
        some = [
            replace(r, points=(replace(r.points[0], point_id=i),))
            for r, i in zip([r for r in made if r.points], ids, strict=False)
        ]
        return read_run(write_run(tmp_path / folder, some))

    two, one, none = (
        named("two", *ids[:2]),
        named("one", "abcdef0123456789"),
        named("none", "0" * 16),
    )
    for runs in ((two, one), (one, two), (none, two), (two, none)):
        with pytest.raises(InputError, match="may be abcd0000"):
            _named(runs, ["abcd"])
    assert find(one, "abcd")[1].point_id == "abcdef0123456789"
    assert _named((none, one), ["abcd"])[0] == {}
    with pytest.raises(InputError, match="no trial or point"):
        _named((none, one), ["ffffff"])


def test_pairs_of_texts_are_domains_too(say: Say, tmp_path: Path) -> None:
    for at, name in enumerate(("news", "letters")):
        train(tmp_path / name, task(tmp_path, name, 5 + at, "pair"))
    assert say("domains", "news", "letters")[0] == 0
    assert len(cells(tmp_path / "news")) == 4


def test_folds_are_judged_at_home_and_the_carved_split_abroad(say: Say, tmp_path: Path) -> None:
    for at, name in enumerate(("mine", "yours")):
        of_task = own(tmp_path, name, at)
        train(tmp_path / name, of_task, draws=3, folds=3)
    code, _, err = say("domains", tmp_path / "mine", tmp_path / "yours")
    assert code == 0, err
    found = read_domains(tmp_path / "mine")
    assert found is not None
    for task_, name in zip((d.task for d in found.domains), ("mine", "yours"), strict=True):
        fresh = [r.points[0] for r in read_records(tmp_path / name / "records.jsonl").trials
                 if r.phase == "confirm"]  # fmt: skip
        right = sum(p.scores["test"]["accuracy"] * p.rows["test"] for p in fresh)
        home = cells(tmp_path / "mine")[task_, task_]
        assert home.rows == sum(p.rows["test"] for p in fresh) == 120 and home.dropped == 0
        assert home.score == pytest.approx(right / 120) and len(home.per_draw) == 3
        (abroad,) = [c for k, c in cells(tmp_path / "mine").items() if k[0] == task_ != k[1]]
        assert abroad.rows < 60
    assert found.methods[0].drop is not None and found.methods[0].drop.pairs == 2


def test_changed_data_are_refused(say: Say, tmp_path: Path, two: Two) -> None:
    _, dvd = two(tmp_path)
    learn(dvd, ["a text that was not there"])
    refused(say("domains", "books", "dvd"), "dvd", "have changed since the run began")


@pytest.mark.slow
def test_a_torn_file_is_one_line(say: Say, tmp_path: Path, two: Two) -> None:
    two(tmp_path)
    assert say("domains", "books", "dvd")[0] == 0
    path = tmp_path / "books" / DOMAINS
    page = tmp_path / "books" / "dashboard" / "domains.html"
    for torn in (path.read_text()[:200], "[]", '{"schema": 2}', '{"schema": 1}'):
        path.write_text(torn)
        with pytest.raises(InputError, match="`raysearch domains RUN RUN` writes it anew"):
            read_domains(tmp_path / "books")
        assert say("page", "books")[0] == 0, "the other pages are written"
        assert "is not whole" in page.read_text()
    assert say("domains", "books", "dvd")[0] == 0 and say("page", "books")[0] == 0


@pytest.mark.slow
def test_points_that_leave_by_exits_and_encoders(say: Say, tmp_path: Path) -> None:
    for at, name in enumerate(("books", "dvd")):
        train(tmp_path / name, task(tmp_path, name, 1 + at), ("early_exit", "random-2"))
    code, _, err = say("domains", "books", "dvd")
    assert code == 0, err
    (own,) = read_records(tmp_path / "books" / "records.jsonl").trials
    home = cells(tmp_path / "books", "early_exit")["books", "books"]
    source = read_domains(tmp_path / "books").methods[0].sources[0]
    (point,) = [p for p in own.points if p.point_id == source.point_id]
    assert home.score == pytest.approx(point.scores["test"]["accuracy"], abs=1e-12)


def test_a_run_at_work_is_left_alone(say: Say, tmp_path: Path, two: Two) -> None:
    from raysearch.run.folder import RunFolder, locked

    two(tmp_path)
    with locked(RunFolder(tmp_path / "dvd")):
        refused(say("domains", "books", "dvd"), "another run of this study is at work")
