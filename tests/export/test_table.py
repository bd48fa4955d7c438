"""A network over n-grams as files: numpy alone computes what was trained."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from raysearch.data.rows import Rows
from raysearch.errors import InputError, RaysearchError
from raysearch.export.manifest import FILE
from raysearch.export.measured import GRAPH, TEXTS, TimingProcess, measure_points
from raysearch.export.opening import open_model
from raysearch.export.point import export_point
from raysearch.ngrams import dan_numpy
from raysearch.outputs.calibration import softmax
from raysearch.trial.trained import open_trained

KNOBS = {"epochs": 3, "min_steps": 4, "ngrams": 3}
ODD = ["red the of", "", "  \n", "a\x00b", "ÉTÉ 日本 🙂 don't", "b\ud800", "zzz", "the of " * 2000]


@pytest.fixture(scope="module")
def folders(request, tmp_path_factory):
    """Exported folders with the trial and point that they come from, by what is trained."""
    made = {}

    def of(make_run, task, vocabulary, dtype):
        key = task, vocabulary, dtype
        if key not in made:
            run = make_run(task, ("dan", "table-400", {**KNOBS, "vocabulary": vocabulary}))
            (record,) = run.records
            point = next(p for p in record.points[-3:] if p.knobs["table"] == dtype)
            target = tmp_path_factory.mktemp("m") / "m"
            trial = open_trained(record.config, run.world.place)
            assert trial.restore_weights()
            export_point(trial, record, point, None, target, command="x")
            made[key] = target, trial, point
        return made[key]

    return of


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize(
    ("task", "vocabulary"), [("two", "frequent"), ("pair", "hashed"), ("number", "frequent")]
)
def test_files_answer_what_was_trained(folders, make_run, task, vocabulary, dtype):
    target, trial, point = folders(make_run, task, vocabulary, dtype)
    assert {p.name for p in target.iterdir()} == {
        *("model.safetensors", "model.py", "README.md"),
        FILE,
    }
    pairs = ODD[::-1] if task == "pair" else None
    expected = trial.graph(point).logits(Rows("x", np.arange(len(ODD)), ODD, pairs), None)
    if task != "number":
        cold = json.loads((target / FILE).read_text())["temperature"]
        expected = softmax(expected / np.float32(cold))
    found = open_model(target).probabilities(ODD, pairs)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    own = dan_numpy.Model(target)
    alone = [own.probabilities([t], None if pairs is None else [p])[0]
             for t, p in zip(ODD, pairs or ODD, strict=True)]  # fmt: skip
    np.testing.assert_allclose(alone, expected, rtol=1e-5, atol=1e-5)
    lines = "".join(f"{t}\tred\n" if pairs else f"{t}\n" for t in ("red the of", "", "zzz"))
    done = subprocess.run(
        [sys.executable, "-I", str(target / "model.py")],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 3


def test_the_rows_of_the_table_are_those_of_the_point(folders, make_run):
    target, _, point = folders(make_run, "two", "frequent", "int8")
    found = load_file(target / "model.safetensors")
    assert point.knobs["rows"] == 120
    assert found["table"].shape == (120, 8) and found["table"].dtype == np.int8
    assert found["scale"].shape == found["parent"].shape == found["last"].shape == (120,)
    stored = sum(v.nbytes for v in found.values())
    assert abs(stored - point.bytes) <= 8


@pytest.mark.slow
def test_a_table_is_measured_as_it_is_exported(folders, make_run):
    _, trial, point = folders(make_run, "two", "frequent", "float16")
    with TimingProcess(1) as process:
        (numbers,) = measure_points(trial, [point], process)
    assert numbers["latency_ms"] > 0 and numbers["tokenise_ms"] > 0


@pytest.mark.slow
def test_points_of_a_table_are_measured_in_one_process_small_before_large(folders, make_run):
    _, trial, point = folders(make_run, "two", "frequent", "float32")
    points = [replace(point, knobs={"rows": n, "table": "float32"}) for n in (400, 40, 120)]
    with TimingProcess(1) as process:
        found = measure_points(trial, points, process)
    large, small, middle = (numbers["peak_memory"] for numbers in found)
    assert 0 < small <= middle <= large
    assert all(n["latency_ms"] > 0 and n["threads"] == 1 for n in found)


@pytest.mark.slow
def test_a_graph_that_cannot_be_timed_is_one_line_and_the_next_is_timed(
    folders, make_run, tmp_path, capfd
):
    _, trial, point = folders(make_run, "two", "frequent", "float32")
    (tmp_path / GRAPH).write_text(json.dumps({"kind": "bag", "threads": 1}))
    with TimingProcess(1) as process:
        with pytest.raises(RaysearchError, match=f"^FileNotFoundError: .*{TEXTS}'$"):
            process.time(tmp_path, "bag")
        (numbers,) = measure_points(trial, [point], process)
    assert numbers["latency_ms"] > 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [None, b"", b"{", "half"])
def test_a_torn_file_is_one_line(folders, make_run, tmp_path, content):
    target, *_ = folders(make_run, "two", "frequent", "float32")
    home = shutil.copytree(target, tmp_path / "m")
    path = home / "model.safetensors"
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(InputError, match="model.safetensors") as e:
        open_model(home)
    assert "\n" not in str(e.value) and str(tmp_path) not in str(e.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("parent", lambda v: v[:-1]),
        ("parent", lambda v: v + 1000),
        ("last", lambda v: v - 1000),
        ("table", lambda v: v[:, :-1]),
        ("head.weight", lambda v: v.T),
        ("words", lambda v: v[:5]),
        ("hidden.bias", None),
    ],
)
def test_tensors_that_do_not_fit_are_one_line(folders, make_run, tmp_path, name, change):
    target, *_ = folders(make_run, "two", "frequent", "float32")
    home = shutil.copytree(target, tmp_path / "m")
    found = load_file(home / "model.safetensors")
    value = found.pop(name)
    if change is not None:
        found[name] = np.ascontiguousarray(change(value))
    save_file(found, home / "model.safetensors")
    with pytest.raises(InputError, match="model.safetensors") as e:
        open_model(home)
    assert "\n" not in str(e.value)


def test_code_in_the_folder_is_never_run(folders, make_run, tmp_path):
    target, *_ = folders(make_run, "two", "frequent", "float32")
    home = shutil.copytree(target, tmp_path / "m")
    (home / "model.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    open_model(home).probabilities(["red"])
    assert not (tmp_path / "ran").exists()
