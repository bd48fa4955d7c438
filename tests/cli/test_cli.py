"""The command line: what a newcomer types, and every kind of bad input as one line and exit 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import to_table
from raysearch.run.study_file import StudyManifest, read_study_manifest, write_study_manifest
from raysearch.workflow.prepare import prepare
from raysearch.workflow.studies import can_confirm
from tests.support.synthetic import records, write_run, zero_shots
from tests.support.verbs import Say, refused


def table(path: Path, rows: int = 60, **more: str) -> Path:
    """A small CSV of two classes."""
    words = ("good fine lovely", "bad poor dull")
    lines = [f"number {i} {words[i % 2]} thing,{'pn'[i % 2]}" for i in range(rows)]
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["tasks", "methods", "models", "spaces", "studies", "objectives"])
def test_ls_lists_and_gives_json(say: Say, kind: str) -> None:
    code, out, _ = say("ls", kind, "--json")
    rows = json.loads(out)
    assert code == 0 and rows and all(rows[0].keys() == row.keys() for row in rows)
    code, out, _ = say("ls", kind)
    assert code == 0 and str(next(iter(rows[0].values()))) in out


def test_check_joins_the_catalogs(say: Say) -> None:
    code, out, _ = say("check")
    assert code == 0 and "whole" in out


def test_check_of_a_task_names_its_space(say: Say) -> None:
    code, out, _ = say("check", "--task", "toy")
    assert code == 0
    assert "finetune: toy-tiny, toy-mini, toy-small" in out


def test_doctor_says_versions_and_the_hub(say: Say) -> None:
    code, out, _ = say("doctor", "--json")
    found = json.loads(out)
    assert code == 0 and found["torch"] and found["hub"] in ("reachable", "not reachable")


def test_a_dry_run_prices_and_writes_nothing(say: Say, tmp_path: Path) -> None:
    code, out, _ = say("frontier", "--dry-run", "--json", "--trials", "6", "--out", tmp_path / "r")
    price = json.loads(out)
    assert code == 0 and price["trials"] == 6 and price["flops"] > 0 and price["hours"] > 0
    assert not (tmp_path / "r" / "study.yaml").exists()


@pytest.mark.parametrize(
    "verb", ["frontier", "run", "resume", "status", "page", "check", "cascades"]
)
def test_help_has_an_example(say: Say, verb: str) -> None:
    code, out, _ = say(verb, "--help")
    assert code == 0 and f"raysearch {verb}" in out


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["frontier", "--task", "sst3"], ["no task 'sst3'", "Did you mean 'sst2'"]),
        (["frontier", "--methods", "fintune"], ["no method 'fintune'", "'finetune'"]),
        (["frontier", "--models", "toy-smal"], ["no rung 'toy-smal'", "'toy-small'"]),
        (["frontier", "--study", "quik"], ["no study 'quik'", "'quick'"]),
        (["frontier", "--study", "../../etc/passwd"], ["no study"]),
        (["frontier", "--searcher", "tpee"], ["no searcher 'tpee'", "tpe, random"]),
        (["frontier", "--precision", "fp16"], ["no precision 'fp16'"]),
        (["frontier", "--labels", "32,ten"], ["--labels", "'ten'"]),
        (["frontier", "--labels", "99999999"], ["99,999,999", "training rows"]),
        (["frontier", "--trials", "0"], ["--trials", "above 0"]),
        (["frontier", "--hours", "-1"], ["hours"]),
        (["frontier", "--dollars", "5"], ["price"]),
        (["frontier", "--text", "body"], ["--text", "own data"]),
        (["frontier", "--template", "{text} {mask}"], ["--template", "own data", "'toy'"]),
        (["frontier", "--task", "sst2", "--words", "a=b"], ["--words", "own data", "'sst2'"]),
        (["frontier", "--share-teacher", "0"], ["--share-teacher", "above 0"]),
        (["run", "--share-teacher", "1.5"], ["--share-teacher", "'1.5'", "whole number"]),
        (["frontier", "--pool", "more.csv"], ["more.csv", "no such file"]),
        (["frontier", "--pool", "wikipedia"], ["'wikipedia'", "--data-dir"]),
        (["frontier", "--pool", " "], ["--pool", "blank"]),
        (["frontier", "--data-dir", "nowhere"], ["--data-dir", "nowhere"]),
        (["frontier", "--task", "missing.csv"], ["missing.csv"]),
        (["frontier", "--tusk", "toy"], ["--tusk"]),
        (["frontir"], ["no verb 'frontir'", "'frontier'"]),
        (["ls", "taks"], ["no kind 'taks'", "'tasks'"]),
        (["status", "nowhere"], ["holds no run"]),
        (["resume", "nowhere"], ["holds no run"]),
        (["page", "nowhere"], ["nowhere"]),
        (["export-optuna", "nowhere"], ["nowhere"]),
    ],
)
def test_bad_words_are_one_line(say: Say, args: list[str], parts: list[str]) -> None:
    refused(say(*args), *parts)


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("name: x\ntrails: 3\n", ["no key 'trails'", "'trials'"]),
        ("name: x\ntrials: 0\n", ["trials"]),
        ("name: x\nobjectives: [score, train_flop]\n", ["no objective", "'train_flops'"]),
        ("name: x\nname: y\n", ["stands twice"]),
        ("- a\n", ["mapping"]),
    ],
)
def test_a_bad_study_file_is_one_line(
    say: Say, tmp_path: Path, body: str, parts: list[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(body, encoding="utf-8")
    refused(say("frontier", "--study", path), *parts)


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("id,number\n" + "".join(f"{i},{i % 2}\n" for i in range(60)), ["text"]),
        ("text,label\n" + "".join(f"nice thing {i},p\n" for i in range(60)), ["class"]),
        ("", ["empty"]),
        ("text,label\n", ["rows"]),
    ],
)
def test_bad_own_data_is_one_line(say: Say, tmp_path: Path, body: str, parts: list[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(body, encoding="utf-8")
    refused(say("frontier", "--task", path), "mine.csv", *parts)


ASKS = ("--template", "{text} it was {mask}.", "--words", "p=good;n=bad")


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (ASKS[:2], ["--template", "--words"]),
        (ASKS[2:], ["--words", "--template"]),
        (("--template", "{text}", *ASKS[2:]), ["{mask} not at all", "once"]),
        ((*ASKS, "--template", "{mask} {text} {mask}"), ["{mask} twice", "once"]),
        (("--template", "{txt} {mask}", *ASKS[2:]), ["'txt'", "Did you mean 'text'"]),
        ((*ASKS[:3], "p=good"), ["--words", "no word for n"]),
        ((*ASKS[:3], "p=good;q=bad;n=bad"), ["--words", "no label 'q'", "Known: n, p"]),
    ],
)
def test_a_question_that_cannot_be_asked_is_one_line(
    say: Say, tmp_path: Path, args: tuple[str, ...], parts: list[str]
) -> None:
    refused(say("frontier", "--task", table(tmp_path / "mine.csv"), *args), *parts)


def test_own_data_that_is_not_utf8_is_one_line(say: Say, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(b"text,label\ncaf\xe9 is nice,p\nno,n\n")
    refused(say("frontier", "--task", path), "mine.csv", "UTF-8")


def test_a_wrong_column_names_the_nearest(say: Say, tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv")
    refused(say("frontier", "--task", path, "--text", "txt"), "'txt'", "'text'")


def test_a_label_seen_only_in_test_is_one_line(say: Say, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    table(folder / "train.csv")
    (folder / "test.csv").write_text("text,label\nodd thing,q\nok,p\nno,n\n", encoding="utf-8")
    refused(say("frontier", "--task", folder), "q")


def test_a_models_folder_without_weights_is_one_line(say: Say, tmp_path: Path) -> None:
    (tmp_path / "models" / "all-MiniLM-L6-v2").mkdir(parents=True)
    result = say("frontier", "--models", "minilm-1", "--models-dir", tmp_path / "models")
    refused(result, "minilm-1", "config.json")


def test_a_hub_that_cannot_be_reached_says_how_to_go_on(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused(say("frontier", "--task", "sst2"), "sst2", "--data-dir")


def test_a_run_folder_of_another_task_is_refused(say: Say, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert say("frontier", "--dry-run", "--trials", "2", "--out", out)[0] == 0
    from raysearch.config.catalog import find_study, find_task
    from raysearch.run.study_file import StudyManifest, write_study_manifest

    write_study_manifest(out, StudyManifest(find_study("quick"), find_task("toy"), "0" * 16))
    refused(say("frontier", "--task", table(tmp_path / "mine.csv"), "--out", out), "toy", "--out")
    refused(say("frontier", "--study", "default", "--out", out), "quick")


def prepared(*args: str | Path, monkeypatch: pytest.MonkeyPatch) -> StudyManifest:
    """The study that these words would start."""
    from raysearch.cli import main, studies

    found: list[StudyManifest] = []

    def study(given: dict[str, Any], *, whole: bool) -> int:
        found.append(prepare(given).run)
        write_study_manifest(prepare(given).out, found[0])
        return 0

    monkeypatch.setattr(studies, "_study", study)
    with pytest.raises(SystemExit, match="0"):
        main([str(a) for a in args])
    return found[0]


def test_own_data_is_asked_by_its_template_and_words(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path / "mine.csv")
    more = tmp_path / "more.csv"
    more.write_text("text\nanother thing\nand another\nnumber 3 bad poor dull thing\n")
    words = ("frontier", "--task", path, "--models", "toy-tiny,toy-mini", "--labels", "8")
    bare = prepared(*words, "--out", "bare", monkeypatch=monkeypatch)
    assert bare.left_out["zero_shot"].endswith("own data: give --template and --words")
    two = ("--template", "all in all {mask} : {text}")
    whole = (*words, *ASKS, *two, "--out", "run")
    run = prepared(*whole, "--share-teacher", "3", "--pool", "more.csv", monkeypatch=monkeypatch)
    assert run.task.templates == (ASKS[1], two[1])
    assert dict(run.task.words) == {"n": ("bad",), "p": ("good",)}
    assert not {"zero_shot", "prompt"} & set(run.left_out)
    assert run.study.shared_by == 3 and run.study.pool == str(more)
    assert any("2 texts of column 'text'; 1 dropped" in note for note in run.notes)
    again = read_study_manifest(Path("run"))
    assert again.task == run.task and again.study == run.study

    # A run keeps its question; one that had none may get its first.
    for kept in (
        prepared("run", "--out", "run", monkeypatch=monkeypatch),
        prepared(*words, "--out", "run", monkeypatch=monkeypatch),
    ):
        assert kept.task.templates == run.task.templates and kept.study.shared_by == 3
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    other = ("--template", "{mask}: {text}", *ASKS[2:])
    refused(say(*words, *other, "--out", "run"), "other templates", "--out")
    refused(say("run", *other, "--out", "run"), "other templates", "--out")
    refused(say("run", *ASKS[2:], "--out", "bare"), "--words", "--template")
    late = prepared("run", *ASKS, "--out", "bare", monkeypatch=monkeypatch)
    assert late.task.templates == (ASKS[1],) and "zero_shot" not in late.left_out


def test_only_what_used_labels_is_drawn_again() -> None:
    shots = zero_shots({"bert_tiny": 0.6})
    failed = [r for r in records(60) if r.status == "FAILED"]
    assert failed and not can_confirm(to_table([*shots, *failed]))
    assert can_confirm(to_table([*shots, *records(6)]))


def test_a_torn_last_line_is_said_and_an_unknown_schema_refused(say: Say, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run, records(6, seed=1))
    path = run / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"schema": 1, "eve')
    code, out, _ = say("page", run)
    assert code == 0 and "torn" in out
    path.write_bytes(whole + b'{"schema": 99, "event": "trial"}\n')
    refused_code, _, err = say("page", run)
    assert refused_code in (1, 2) and "schema 99" in err
