"""export and predict as a person types them: choices, tables of every kind, and bad input."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raysearch.export.manifest import read_manifest
from raysearch.export.opening import open_model
from raysearch.run.records import RecordWriter, read_records
from tests.support import tiny
from tests.support.verbs import refused

FINETUNE = ("finetune", "random-2", {})
NGRAM = ("ngram_linear", "hash-16", {})
pytestmark = pytest.mark.usefixtures("tiny_ladder")


@pytest.fixture(scope="module")
def made(tiny_rungs, tmp_path_factory):
    """A run of two trials; the catalog knows the tiny rungs while it is made."""
    from raysearch.config import catalog

    known = catalog._ladder
    all_rungs = {**catalog.ladder(), **tiny_rungs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_ladder", lambda path: all_rungs)
        out = tiny.run_folder(tmp_path_factory.mktemp("cli"), "two", FINETUNE, NGRAM)
    assert catalog._ladder is known
    return out


@pytest.fixture
def model(made, say):
    """An exported n-gram model of two classes."""
    code, _, err = say(
        "export", made.out, made.records[1].id, "--to", "model", "--format", "native"
    )
    assert code == 0, err
    return Path("model").resolve()


# export


def test_the_best_is_exported_and_said(made, say):
    code, out, _ = say("export", made.out, "--to", "best", "--format", "native")
    best = max(made.records, key=lambda r: r.points[0].scores["validation"]["accuracy"])
    if best.config.method == "ngram_linear":
        assert code == 0 and best.points[0].point_id in out and "probabilities within" in out
        assert read_manifest(Path("best")).trial == best.id
    else:
        assert code == 2


@pytest.mark.parametrize("name", ["hf", "onnx"])
def test_a_trial_or_a_point_or_the_beginning_of_one(made, say, name):
    record = made.records[0]
    point = record.points[0].point_id
    for i, named in enumerate((record.id, record.id[:6], point, point[:4])):
        code, out, err = say("export", made.out, named, "--to", f"m{i}", "--format", name)
        assert code == 0, err
        assert read_manifest(Path(f"m{i}")).point == point
    assert (
        f"raysearch export out {point} --to DIR --format {name}" in Path("m0/README.md").read_text()
    )


def test_what_cannot_be_exported_is_one_line(made, say):
    run, (first, second) = made.out, made.records
    to = ("--to", "m", "--format")
    refused(say("export", run, "123", *to, "hf"), "at least 4 digits")
    refused(say("export", run, "zzzzzz", *to, "hf"), "'zzzzzz': no trial or point of the search")
    near = first.id[:-1] + ("0" if first.id[-1] != "0" else "1")
    refused(say("export", run, near, *to, "hf"), f"Did you mean '{first.id}'")
    refused(say("export", run, second.id, *to, "hf"), "--format may be native")
    refused(say("export", run, first.id, *to, "native"), "--format may be")
    refused(say("export", run, first.id, *to, "hff"), "Did you mean 'hf'")
    refused(say("export", run, first.id, *to, "hf", "--int8"), "has no int8")
    refused(say("export", "nothing", *to, "hf"), "nothing: no such folder")
    refused(say("export", run, first.id, *to, "hf", "--data-dir", "no"), "--data-dir: no folder")
    Path("m").mkdir()
    refused(say("export", run, first.id, *to, "hf"), "m: stands there already; --force")
    assert not list(Path("m").iterdir()) and os.listdir() == ["m"]


def test_a_trial_without_a_point_and_an_ambiguous_id_are_one_line(say, tmp_path):
    trials = [("ngram_linear", "hash-16", {"c": c}) for c in (0.1, 1.0, 10.0)]
    made = tiny.run_folder(tmp_path / "run", "two", *trials)
    writer = RecordWriter(made.out / "records.jsonl")
    failed = made.records[0].to_json() | {"status": "FAILED", "points": [], "id": "f" * 16}
    writer.append(failed)
    for name in ("abcdef0000000000", "abcdef1111111111"):
        writer.append(made.records[0].to_json() | {"id": name, "points": []})
    writer.close()
    to = ("--to", "m", "--format", "native")
    refused(say("export", made.out, "ffff", *to), "is FAILED, without a point")
    refused(say("export", made.out, "abcdef", *to), "may be abcdef0", "more digits")


def test_data_that_is_gone_is_one_line(say, tmp_path):
    made = tiny.run_folder(tmp_path / "run", "two", NGRAM)
    made.world.keep(set())
    for path in (tmp_path / "run" / "data").iterdir():
        path.unlink()
    from raysearch.data import task_data

    task_data._loaded.clear()
    result = say("export", made.out, "--to", "m", "--format", "native")
    refused(result, "data")
    assert not Path("m").exists()


def test_int8_becomes_a_point_of_the_run(say, tmp_path):
    made = tiny.run_folder(tmp_path / "run", "five", FINETUNE)
    record = made.records[0]
    code, out, err = say("export", made.out, record.id, "--to", "m", "--format", "onnx", "--int8")
    assert code == 0, err
    assert "in float32" in out and "in int8" in out
    (read,) = read_records(made.out / "records.jsonl").trials
    twin = read.points[1]
    assert twin.knobs == {"int8": True} and set(twin.scores) == {"validation", "test"}
    assert read.points[0] == record.points[0]
    size = (made.out / "records.jsonl").stat().st_size
    code, out, err = say("export", made.out, twin.point_id[:8], "--to", "n", "--format", "onnx")
    assert code == 0 and "int8" in out, err
    assert (made.out / "records.jsonl").stat().st_size == size, "scored once"
    a, b = (open_model(Path(d)).probabilities(["red the"]) for d in "mn")
    assert np.array_equal(a, b)
    code, out, _ = say("export", made.out, "--to", "o", "--format", "hf")
    assert code == 0 and record.points[0].point_id in out, "a twin is taken by name alone"
    refused(say("export", made.out, twin.point_id, "--to", "p", "--format", "hf"), "no int8")


def test_int8_waits_for_no_one(say, tmp_path):
    from raysearch.run.folder import RunFolder, locked

    made = tiny.run_folder(tmp_path / "run", "two", FINETUNE)
    with locked(RunFolder(made.out)):
        result = say("export", made.out, "--to", "m", "--format", "onnx", "--int8")
    refused(result, "another run of this study is at work")
    assert not Path("m").exists()


# predict


ROWS = [
    {"id": "1", "text": "red the a of", "note": "x, y"},
    {"id": "2", "text": "   ", "note": ""},
    {"id": "3", "text": "green of to", "note": 'a "quote"'},
    {"id": "4", "text": "", "note": "line\nbreak"},
]


def write_table(path, rows=ROWS):
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def read_table(path):
    if path.suffix == ".parquet":
        return (
            pd.read_parquet(path).astype(object).where(lambda f: f.notna(), "").to_dict("records")
        )
    if path.suffix == ".jsonl":
        return [
            {k: "" if v is None else v for k, v in json.loads(x).items()}
            for x in path.read_text().splitlines()
        ]
    with path.open(newline="") as f:
        return list(csv.DictReader(f, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("out_kind", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("batch", ["1", "3", "100"])
def test_a_table_keeps_its_columns_and_gets_its_labels(model, say, tmp_path, kind, out_kind, batch):
    table, out = write_table(tmp_path / f"in{kind}"), tmp_path / f"out{out_kind}"
    code, _, err = say("predict", model, table, "-o", out, "--batch-rows", batch)
    assert code == 0, err
    assert "4 rows in" in err and "2 without a text left empty" in err
    rows = read_table(out)
    opened = open_model(model)
    assert list(rows[0]) == ["id", "text", "note", "prediction", "p_class 0", "p_class 1"]
    assert [{k: r[k] for k in ROWS[0]} for r in rows] == ROWS
    expected = opened.probabilities([ROWS[0]["text"], ROWS[2]["text"]])
    for row, p in zip((rows[0], rows[2]), expected, strict=True):
        assert row["prediction"] == opened.labels[p.argmax()]
        assert float(row["p_class 0"]) == p[0] and float(row["p_class 1"]) == p[1]
    for row in (rows[1], rows[3]):
        assert row["prediction"] == row["p_class 0"] == row["p_class 1"] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([table.name, "model", out.name])


def test_parquet_keeps_its_types(model, say, tmp_path):
    frame = pd.DataFrame(
        {
            "when": pd.to_datetime(["2024-01-01", None]),
            "n": pd.array([1, None], "Int64"),
            "text": ["red", None],
            "tags": [["a", "b"], []],
        }
    )
    frame.to_parquet("in.parquet")
    assert say("predict", model, "in.parquet", "-o", "out.parquet")[0] == 0
    before = pd.read_parquet("in.parquet", dtype_backend="pyarrow")
    after = pd.read_parquet("out.parquet", dtype_backend="pyarrow")
    assert (after.dtypes[: len(before.columns)] == before.dtypes).all()
    assert after["n"].isna().tolist() == [False, True] and after["prediction"].isna().sum() == 1
    assert say("predict", model, "in.parquet", "-o", "out.csv")[0] == 0
    assert '["a", "b"]' in read_table(Path("out.csv"))[0]["tags"]


def test_columns_are_named_known_or_guessed(model, say):
    rows = [{"a": "x", "long": "red the a of to", "short": "green"}] * 2
    write_table(Path("in.csv"), rows)
    assert say("predict", model, "in.csv", "-o", "o.csv")[0] == 0
    guessed = read_table(Path("o.csv"))[0]["p_class 0"]
    assert float(guessed) == open_model(model).probabilities(["red the a of to"])[0, 0]
    assert say("predict", model, "in.csv", "-o", "p.csv", "--text", "short")[0] == 0
    named = read_table(Path("p.csv"))[0]["p_class 0"]
    assert float(named) == open_model(model).probabilities(["green"])[0, 0]
    refused(
        say("predict", model, "in.csv", "-o", "q.csv", "--text", "lnog"),
        "no column 'lnog'",
        "Did you mean 'long'",
    )
    refused(say("predict", model, "in.csv", "-o", "q.csv", "--pair", "short"), "reads one text")
    write_table(Path("n.csv"), [{"a": "1", "b": "2"}])
    refused(say("predict", model, "n.csv", "-o", "q.csv"), "no column looks like text", "--text")
    write_table(Path("two.csv"), [{"sentence1": "red the", "sentence2": "a of"}])
    refused(say("predict", model, "two.csv", "-o", "q.csv"), "look like a pair", "--text")
    assert not Path("q.csv").exists()


def test_pairs_and_numbers(say, tmp_path):
    for task in ("pair", "number"):
        made = tiny.run_folder(tmp_path / f"run-{task}", task, NGRAM)
        assert say("export", made.out, "--to", task, "--format", "native")[0] == 0
    rows = [{"text": "red the", "text_pair": "red of"}, {"text": "red", "text_pair": ""}]
    write_table(Path("in.csv"), rows)
    code, _, err = say("predict", "pair", "in.csv", "-o", "o.csv")
    assert code == 0 and "1 without a text" in err
    first, blank = read_table(Path("o.csv"))
    assert (
        float(first["p_class 1"])
        == open_model(Path("pair")).probabilities(["red the"], ["red of"])[0, 1]
    )
    assert blank["prediction"] == ""
    refused(say("predict", "pair", "in.csv", "-o", "q.csv", "--pair", "no"), "no column 'no'")
    write_table(Path("one.csv"), [{"body": "red the", "other": "red of"}])
    refused(say("predict", "pair", "one.csv", "-o", "q.csv"), "--pair. Known: body, other")
    code, _, err = say(
        "predict", "pair", "one.csv", "-o", "q.csv", "--text", "body", "--pair", "other"
    )
    assert code == 0, err
    assert read_table(Path("q.csv"))[0]["p_class 1"] == first["p_class 1"]
    refused(say("predict", "number", "in.csv", "-o", "n.csv", "--pair", "text"), "reads one text")
    assert say("predict", "number", "in.csv", "-o", "n.csv")[0] == 0
    row = read_table(Path("n.csv"))[0]
    assert list(row) == ["text", "text_pair", "prediction"] and float(row["prediction"])


def test_from_a_pipe_to_a_pipe(model, tmp_path):
    """In a process of its own: the test's standard output is no file."""
    code = "import sys; from raysearch.cli import main; main(sys.argv[1:])"
    ran = subprocess.run(
        [sys.executable, "-c", code, "predict", str(model), "-", "-o", "-"],
        input="text\nred the été\n".encode(),
        capture_output=True,
    )
    assert ran.returncode == 0, ran.stderr
    (row,) = csv.DictReader(io.StringIO(ran.stdout.decode()))
    assert row["text"] == "red the été" and row["prediction"].startswith("class")
    assert b"1 rows in" in ran.stderr and b"->" not in ran.stderr


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "is empty"),
        ("a.jsonl", b"", "is empty"),
        ("a.csv", b"text\n\xff\xfe\n", "is not UTF-8 at byte 5, line 2"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2: is not JSON"),
        ("a.jsonl", b'{"text": "a"}\n3\n', "line 2: must be an object"),
        ("a.jsonl", b'{"text": ["a"]}\n', "holds lists or mappings"),
        ("a.csv", b"text,b\nred,1\nred,2,3\n", "line 3 holds 3 fields, the header 2"),
        ("a.csv", b"text,text\nred,1\n", "column 'text' stands twice"),
        ("a.csv", b"text,prediction\nred,1\n", "has a column 'prediction' already"),
        ("a.csv", b"text,p_class 0\nred,1\n", "has a column 'p_class 0' already"),
        ("a.parquet", b"PAR1 no", "is not a Parquet file"),
        ("a.xlsx", b"x", "is no .parquet, .csv, .tsv or .jsonl file"),
        ("a", b"x", "is no .parquet, .csv"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(model, say, name, content, part):
    Path(name).write_bytes(content)
    refused(say("predict", model, name, "-o", "out.jsonl"), part)
    assert sorted(os.listdir()) == sorted([name, "model"]), "nothing half-written stays"


def test_odd_tables_are_read_all_the_same(model, say):
    Path("bom.csv").write_bytes("\ufefftext;n\nred the;1\n\nred;\n".encode())
    assert say("predict", model, "bom.csv", "-o", "o.csv")[0] == 0
    assert Path("o.csv").read_text().splitlines()[0] == "text;n;prediction;p_class 0;p_class 1"
    assert len(Path("o.csv").read_text().splitlines()) == 3
    Path("short.csv").write_text("text,n,m\nred\n")
    assert say("predict", model, "short.csv", "-o", "p.csv")[0] == 0
    Path("long.csv").write_text("text\n" + "red " * 100_000 + "\n")
    assert say("predict", model, "long.csv", "-o", "q.csv")[0] == 0
    Path("half.jsonl").write_text('{"text": "red \\ud800", "n": 1}\n{"text": "red", "m": 2}\n')
    assert say("predict", model, "half.jsonl", "-o", "r.jsonl")[0] == 0
    assert json.loads(Path("r.jsonl").read_text().splitlines()[0])["text"] == "red \ud800"
    refused(say("predict", model, "half.jsonl", "-o", "s.csv"), "key 'm' that the first has not")
    refused(say("predict", model, "half.jsonl", "-o", "s.parquet"), "write a .jsonl")
    Path("none.csv").write_text("text\n")
    code, _, err = say("predict", model, "none.csv", "-o", "t.csv")
    assert code == 0 and "0 rows" in err
    assert Path("t.csv").read_text() == "text,prediction,p_class 0,p_class 1\n"


def test_nothing_is_replaced_without_force(model, say):
    write_table(Path("in.csv"))
    Path("out.csv").write_text("mine")
    refused(say("predict", model, "in.csv", "-o", "out.csv"), "stands there already; --force")
    assert Path("out.csv").read_text() == "mine"
    assert say("predict", model, "in.csv", "-o", "out.csv", "--force")[0] == 0
    assert say("predict", model, "in.csv", "-o", "in.csv", "--force")[0] == 0, "onto itself"
    assert len(read_table(Path("in.csv"))) == 4
    refused(say("predict", model, "no.csv", "-o", "x.csv"), "no.csv: cannot be read")
    refused(say("predict", model, "out.csv", "-o", "x.csv"), "has a column 'prediction'")
    refused(say("predict", model, "in.csv", "-o", "x.csv", "--batch-rows", "0"), "above 0")
    refused(say("predict", "nowhere", "in.csv", "-o", "x.csv"), "nowhere: no such folder")
    result = say("predict", model, write_table(Path("k.csv")), "-o", "no/such/x.csv")
    refused(result, "cannot be written", code=1)


MANY = 1_050_000
MEASURE = """
import resource, sys
from raysearch.cli import main
try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.slow
def test_a_million_rows_take_no_more_memory_than_some(model, tmp_path):
    peaks = []
    for rows in (20_000, MANY):
        table = tmp_path / f"{rows}.csv"
        with table.open("w") as f:
            f.write("id,text\n")
            f.writelines(f"{i},red the {i} of to a green\n" for i in range(rows))
        out = tmp_path / f"{rows}-out.csv"
        ran = subprocess.run(
            [sys.executable, "-c", MEASURE, "predict", str(model), str(table), "-o", str(out)],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert ran.returncode == 0, ran.stderr
        peaks.append(int(ran.stderr.splitlines()[-1]))
        with out.open() as f:
            assert sum(1 for _ in f) == rows + 1
        if rows == MANY:
            assert f"{MANY:,} rows in" in ran.stderr
    assert peaks[1] - peaks[0] < 20_000, f"{peaks} KiB"
