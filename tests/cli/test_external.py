"""raysearch add-point: what is taken, what is refused, and that a refusal writes nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raysearch.data.external import judged_rows
from raysearch.data.hashes import row_hash, row_hashes
from raysearch.data.own import own_task
from raysearch.run.records import read_records
from tests.support import tiny
from tests.support.judged import own_csv, write_run
from tests.support.verbs import Say


def refused(result: tuple[int, str, str], *parts: str) -> None:
    code, _, err = result
    assert code == 2, result
    (line,) = err.splitlines()
    for part in parts:
        assert part in line, line


class Made:
    """A run of a tiny task, its test rows, and a file of right predictions."""

    def __init__(self, home: Path, kind: str = "two", **more: Any) -> None:
        self.run = home / "run"
        self.task = (
            own_task(str(own_csv(home / "own.csv")))
            if kind == "own"
            else tiny.write_task(home / kind, kind)
        )
        self.data = write_run(self.run, self.task, **more)
        self.rows = judged_rows(self.data, crossfitted=True)
        assert self.rows.label is not None
        names = self.task.label_names
        self.labels = [names[int(v)] if names else f"{v:g}" for v in self.rows.label.tolist()]
        self.path = home / "predictions.csv"
        self.write(list(zip(row_hashes(self.rows), self.labels, strict=True)))

    def write(self, lines: list[Any], head: tuple[str, ...] = ("hash", "prediction")) -> Path:
        with self.path.open("w", newline="") as f:
            csv.writer(f).writerows([head, *lines])
        return self.path

    def records(self) -> bytes:
        return (self.run / "records.jsonl").read_bytes()


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_predictions_become_a_point_with_verdicts(say: Say, made: Made) -> None:
    code, out, _ = say(
        *("add-point", made.run, "--name", "gpt-x [v2]", "--predictions", made.path),
        *("--dollars-per-1k", "0.4", "--labels", "0", "--json"),
    )
    value = json.loads(out)
    assert code == 0 and value["scores"]["test"]["accuracy"] == 1.0
    assert "nll" not in value["scores"]["test"] and value["rows"] == 30
    assert value["labels"] == 0 and value["dollars_per_1k"] == 0.4 and "ms" not in value
    assert len(value["against"]) == 3 and not value["replaced"]
    assert {a["verdict"] for a in value["against"]} <= {"better", "worse", "indistinguishable"}
    (kept,) = read_records(made.run / "records.jsonl").outside
    assert kept.name == "gpt-x [v2]" and kept.interval == (1.0, 1.0)
    assert (made.run / "store" / "outside" / kept.key / "predictions.npy").is_file()


def test_the_same_name_replaces_and_says_so(say: Say, made: Made) -> None:
    say("add-point", made.run, "--name", "a", "--predictions", made.path)
    (first,) = read_records(made.run / "records.jsonl").outside
    other = [*made.labels[1:], made.labels[0]]
    made.write(list(zip(row_hashes(made.rows), other, strict=True)))
    code, out, _ = say("add-point", made.run, "--name", " a ", "--predictions", made.path)
    assert code == 0 and "replaces the earlier 'a'" in out
    (second,) = read_records(made.run / "records.jsonl").outside
    assert first.key != second.key and second.value < 1
    assert [p.name for p in (made.run / "store" / "outside").iterdir()] == [second.key]


def test_texts_ids_jsonl_and_tsv_are_read(say: Say, made: Made, tmp_path: Path) -> None:
    ids = [made.task.label_names.index(s) for s in made.labels]
    pairs = list(zip(made.rows.text, ids, strict=True))
    lines = [json.dumps({"text": f" {t.upper()}", "prediction": p}) for t, p in reversed(pairs)]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    (tmp_path / "p.tsv").write_text("text\tprediction\n" + "".join(f"{t}\t{p}\n" for t, p in pairs))
    for name in ("p.jsonl", "p.tsv"):
        code, out, err = say(
            "add-point", made.run, "--name", name, "--predictions", tmp_path / name, "--json"
        )
        assert code == 0, err
        value = json.loads(out)
        assert value["scores"]["test"]["accuracy"] == 1.0 and value["read_as"] == "class ids"


def test_pairs_and_regression(say: Say, tmp_path: Path) -> None:
    pair = Made(tmp_path, "pair")
    assert pair.rows.pair is not None
    lines = list(zip(pair.rows.text, pair.rows.pair, pair.labels, strict=True))
    pair.write(lines, ("text", "text_pair", "prediction"))
    code, out, err = say("add-point", pair.run, "--name", "x", "--predictions", pair.path, "--json")
    assert code == 0 and json.loads(out)["scores"]["test"]["accuracy"] == 1.0, err
    pair.write([(t, s) for t, _, s in lines], ("text", "prediction"))
    refused(say("add-point", pair.run, "--name", "x", "--predictions", pair.path), "'text_pair'")
    (tmp_path / "n").mkdir()
    number = Made(tmp_path / "n", "number")
    code, out, err = say(
        "add-point", number.run, "--name", "x", "--predictions", number.path, "--json"
    )
    value = json.loads(out)
    assert code == 0 and value["scores"]["test"]["pearson"] == pytest.approx(1), err
    assert value["against"] and value["interval"][0] > 0.99
    number.write([(h, "warm") for h in row_hashes(number.rows)])
    refused(
        say("add-point", number.run, "--name", "x", "--predictions", number.path),
        "30 predictions are not a number",
        "'warm'",
    )


def test_a_crossfitted_run_wants_every_row_of_the_pool(say: Say, tmp_path: Path) -> None:
    made = Made(tmp_path, "own")
    assert len(made.rows) == 122 > len(made.data.splits["test"])
    code, out, err = say("add-point", made.run, "--name", "x", "--predictions", made.path, "--json")
    value = json.loads(out)
    assert code == 0 and value["rows"] == 122 and value["against"], err
    single = {h: s for h, s in zip(row_hashes(made.rows), made.labels, strict=True)}
    assert len(single) == 121  # one text stands twice
    made.write(list(single.items()))
    code, out, err = say("add-point", made.run, "--name", "x", "--predictions", made.path, "--json")
    value = json.loads(out)
    assert code == 0 and value["shared"] == 1, err
    assert value["scores"]["test"]["accuracy"] == pytest.approx(121 / 122)


def test_an_unconfirmed_run_says_how_to_confirm(say: Say, tmp_path: Path) -> None:
    made = Made(tmp_path, "two", draws=0)
    code, out, _ = say("add-point", made.run, "--name", "x", "--predictions", made.path)
    assert code == 0 and f"confirm first: raysearch confirm {made.run}" in out


def test_a_template_holds_the_texts_and_no_label(say: Say, made: Made, tmp_path: Path) -> None:
    code, out, _ = say("add-point", made.run, "--template", tmp_path / "rows.csv")
    assert code == 0 and "class 0, class 1" in out
    with (tmp_path / "rows.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert {r["hash"] for r in rows} == set(row_hashes(made.rows))
    assert all(set(r) == {"hash", "text"} and row_hash(r["text"]) == r["hash"] for r in rows)
    refused(say("add-point", made.run, "--template", tmp_path / "rows.csv"), "is there already")
    refused(
        say("add-point", made.run, "--template", "x.csv", "--predictions", made.path), "--template"
    )


Change = Callable[[list[list[str]]], list[list[str]]]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda r: r[2:], ["2 texts are without a prediction", "hash"]),
        (lambda r: [*r, r[0]], ["1 text is predicted too often", "rows 1 and 31", "1x"]),
        (lambda r: [*r, ["f" * 16, r[0][1]]], ["1 row is not among the 30 test rows", "row 31"]),
        (lambda r: [[r[0][0], "clas 1"], *r[1:]], ["1 prediction is no label", "'class 1'"]),
        (lambda r: [[r[0][0], "7"], *r[1:]], ["is no label", "'7'", "0 to 1"]),
        (lambda r: [[r[0][0], ""], *r[1:]], ["1 row is without a prediction", "row 1"]),
        (lambda r: [], ["no rows"]),
    ],
)
def test_a_file_that_is_not_whole_is_refused_whole(
    say: Say, made: Made, change: Change, parts: list[str]
) -> None:
    before = made.records()
    lines = [list(line) for line in zip(row_hashes(made.rows), made.labels, strict=True)]
    made.write(change(lines))
    refused(say("add-point", made.run, "--name", "x", "--predictions", made.path), *parts)
    assert made.records() == before and not (made.run / "store" / "outside").exists()


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["--ms", "-1"], ["--ms", "-1"]),
        (["--ms", "nan"], ["--ms", "nan"]),
        (["--dollars-per-1k", "inf"], ["--dollars-per-1k"]),
        (["--dollars-per-1k", "cheap"], ["cheap"]),
        (["--labels", "-3"], ["--labels", "-3"]),
        (["--labels", "1.5"], ["1.5"]),
        (["--name", "  "], ["--name"]),
        (["--name", "x" * 81], ["81 characters", "80"]),
        (["--name", "a\nb"], ["U+000A"]),
        (["--name", "a\u202eb"], ["U+202E"]),
        (["--predictions", "nowhere.csv"], ["nowhere.csv"]),
        (["--data-dir", "nowhere"], ["--data-dir", "nowhere"]),
    ],
)
def test_bad_options_are_one_line(say: Say, made: Made, more: list[str], parts: list[str]) -> None:
    before = made.records()
    base = ["add-point", made.run, "--name", "x", "--predictions", made.path]
    refused(say(*base, *more), *parts)
    assert made.records() == before


def test_what_is_missing_is_named(say: Say, made: Made) -> None:
    refused(say("add-point", made.run, "--name", "x"), "--predictions")
    refused(say("add-point", made.run, "--predictions", made.path), "--name")
    refused(say("add-point", "nowhere", "--name", "x", "--predictions", made.path), "nowhere")
    made.write([("a", "b")], ("text_", "prediction"))
    refused(
        say("add-point", made.run, "--name", "x", "--predictions", made.path),
        "no column 'text' or 'hash'",
    )
    made.write([("a", "b")], ("text", "prediction_"))
    refused(
        say("add-point", made.run, "--name", "x", "--predictions", made.path),
        "no column 'prediction'",
        "'prediction_'",
    )


def test_changed_data_are_refused(say: Say, made: Made, tmp_path: Path) -> None:
    path = tmp_path / "two" / "test.jsonl"
    path.write_text(path.read_text().replace("class 1", "class 0", 1))
    refused(say("add-point", made.run, "--name", "x", "--predictions", made.path), "have changed")


def test_a_run_at_work_is_not_written_to(say: Say, made: Made) -> None:
    from raysearch.run.folder import RunFolder, locked

    before = made.records()
    with locked(RunFolder(made.run)):
        refused(
            say("add-point", made.run, "--name", "x", "--predictions", made.path),
            "another run of this study is at work",
        )
    assert made.records() == before


def test_names_that_look_like_ids_are_names(say: Say, tmp_path: Path) -> None:
    from dataclasses import replace

    from raysearch.data.external import read_predictions

    task = replace(tiny.write_task(tmp_path / "two", "two"), label_names=("1", "2"))
    rows = tiny.load(tiny.write_task(tmp_path / "two", "two")).splits["test"]
    path = tmp_path / "p.csv"

    def read(values: list[str]) -> Any:
        lines = [f"{h},{v}" for h, v in zip(row_hashes(rows), values, strict=True)]
        path.write_text("hash,prediction\n" + "\n".join(lines) + "\n")
        return read_predictions(path, rows, task)

    as_names = read(["1", "2"] * 15)
    assert as_names.read_as == "label names" and as_names.values[:2].tolist() == [0, 1]
    as_ids = read(["0", "1"] * 15)
    assert as_ids.read_as == "class ids" and as_ids.values[:2].tolist() == [0, 1]
