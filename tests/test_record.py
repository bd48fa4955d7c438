"""Records: there and back, torn lines, wrong schemas, merged events, and a disk that is full."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.errors import RecordError
from raysearch.ledger import OWN, Charge
from raysearch.record import (
    EVENTS,
    SCHEMA,
    STATUSES,
    OperatingPoint,
    TrialRecord,
    point_id,
    score_event,
)
from raysearch.run.records import RecordWriter, read_records
from tests.support import synthetic

ROOT = Path(__file__).resolve().parent.parent


def record(seed=0, status="DONE", **changes):
    config = TrialConfig(
        "pets",
        "d1",
        "finetune",
        "bert-tiny",
        DataBudget(32, 16),
        hyper={"epochs": 5},
        init_seed=seed,
        inputs={"teacher": TrialConfig("pets", "d1", "finetune", "bert-mini", DataBudget(64))},
    )
    names = [point_id([config.id], 10, {"depth": d}) for d in (1, 2)]
    points = tuple(
        OperatingPoint(
            name,
            10,
            {"depth": d},
            {"validation": {"accuracy": 0.75, "nll": 0.1 + 0.2}},
            {"validation": 16},
            infer_flops=1e9 / 3,
            params=2**40 + 1,
            params_trained=7,
            bytes=28,
        )
        for d, name in enumerate(names, start=1)
    )
    plain = TrialRecord(
        config.id,
        config,
        status,
        {"epochs": 5, "schedule": "linear"},
        step=10,
        points=points if status == "DONE" else (),
        bill=(
            Charge("train", OWN, 2**60 + 1, 1.5, 160, 9000, 32),
            Charge("train", "teacher", 10, 0.1),
            Charge("validate", OWN, 5, 0.2, labels=16),
        ),
        labels_used=48,
        unlabelled_used=3,
        synthetic_used=4,
        score="accuracy",
        error=None if status == "DONE" else "broke",
        made_by={"device": "cpu", "raysearch": "0.1.0", "threads": 1},
    )
    return replace(plain, **changes)


def measure_event(name, **measured):
    return {"schema": SCHEMA, "event": "measure", "point_id": name, "measured": measured}


def write(path, *events):
    writer = RecordWriter(path)
    for event in events:
        writer.append(event.to_json() if isinstance(event, TrialRecord) else event)
    writer.close()
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.jsonl"


def test_records_come_back_as_they_were_written(path):
    written = [record(0), record(1, "FAILED"), record(2, "INFEASIBLE", bill=(), hyper={})]
    read = read_records(write(path, *written))
    assert read.trials == tuple(written) and read.skipped == ()
    assert [r.config.id for r in read.trials] == [r.id for r in written]


def test_a_hundred_plausible_records_come_back(path):
    written = synthetic.records(100, seed=3, methods=("finetune", "distill", "early_exit"))
    assert read_records(write(path, *written)).trials == tuple(written)


texts = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=80, deadline=None)
@given(
    knobs=st.dictionaries(texts, st.one_of(texts, numbers, st.integers(), st.booleans())),
    scores=st.dictionaries(texts, numbers, min_size=1),
    infer=st.none() | numbers,
    params=st.none() | st.integers(0, 2**63),
    error=st.none() | texts,
    made_by=st.dictionaries(texts, texts | st.integers()),
)
def test_any_record_is_one_line_of_json_and_back(knobs, scores, infer, params, error, made_by):
    point = OperatingPoint("p", 3, knobs, {"validation": scores}, {}, infer, params, None, params)
    whole = record(points=(point,), error=error, made_by=made_by, hyper=knobs)
    text = json.dumps(whole.to_json(), allow_nan=False)
    assert "\n" not in text and TrialRecord.from_json(json.loads(text)) == whole


def test_absent_values_are_left_out_and_stay_absent():
    value = OperatingPoint("p", 0).to_json()
    assert value == {"point_id": "p", "step": 0}
    back = OperatingPoint(**value)
    assert back.infer_flops is back.params is back.params_trained is back.bytes is None
    assert OperatingPoint(**OperatingPoint("p", 0, params_trained=0).to_json()).params_trained == 0
    assert "error" not in record().to_json()


def test_the_id_of_a_point_names_trials_step_and_knobs():
    ids = {
        point_id(["a"], 1, {}),
        point_id(["b"], 1, {}),
        point_id(["a"], 2, {}),
        point_id(["a"], 1, {"depth": 2}),
        point_id(["a", "b"], 1, {}),
        point_id(["b", "a"], 1, {}),
    }
    assert len(ids) == 6
    assert point_id(["a"], 1, {"x": 1, "y": 2}) == point_id(["a"], 1, {"y": 2, "x": 1})


# A torn last line


def cuts(line):
    return sorted({1, 2, len(line) // 3, len(line) // 2, len(line) - 2, len(line) - 1})


LINE = json.dumps(record(1).to_json() | {"error": "naïve 東京"}, ensure_ascii=False).encode()


@pytest.mark.parametrize("cut", cuts(LINE))
def test_a_torn_last_line_is_skipped_and_reported(path, cut):
    write(path, record(0))
    with path.open("ab") as f:
        f.write(LINE[:cut])
    before = path.read_bytes()
    read = read_records(path)
    assert read.trials == (record(0),)
    assert read.skipped == ("records.jsonl: line 2 is torn and was skipped",)
    assert path.read_bytes() == before, "reading changes nothing"
    write(path, record(2))
    assert read_records(path).trials == (record(0), record(2)), "the next line starts clean"
    assert read_records(path).skipped == ()


def test_a_line_torn_inside_a_letter_is_skipped(path):
    cut = LINE.index("東".encode()) + 1
    write(path, record(0))
    with path.open("ab") as f:
        f.write(LINE[:cut])
    assert len(read_records(path).skipped) == 1
    write(path, record(2))
    assert read_records(path).trials == (record(0), record(2))


def test_a_whole_line_that_lacks_only_its_newline_counts(path):
    write(path, record(0), record(1))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert read_records(path).trials == (record(0), record(1))
    write(path, record(2))
    assert read_records(path).trials == (record(0), record(1), record(2))


@pytest.mark.parametrize("bad", [b"{", b"not json", b"\xff\xfe", b"[1]", b"3", b'"text"', b"null"])
def test_a_broken_line_that_is_not_the_last_is_refused_by_its_number(path, bad):
    write(path, record(0))
    path.write_bytes(path.read_bytes() + bad + b"\n")
    write(path, record(1))
    with pytest.raises(RecordError, match="records.jsonl: line 2 is not") as e:
        read_records(path)
    assert "\n" not in str(e.value)


def test_empty_lines_and_an_empty_file_hold_nothing(path):
    path.write_bytes(b"")
    assert read_records(path).trials == ()
    write(path, record(0))
    path.write_bytes(b"\n" + path.read_bytes() + b"\n  \n")
    assert read_records(path).trials == (record(0),) and read_records(path).skipped == ()


def test_no_file_is_one_line(path):
    with pytest.raises(RecordError, match="cannot be read: No such file") as e:
        read_records(path)
    assert str(path) in str(e.value) and "\n" not in str(e.value)


# Wrong events


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, "1", None, 1.5])
def test_an_unknown_schema_is_refused_by_name(path, schema):
    write(path, record(0), record(1).to_json() | {"schema": schema})
    with pytest.raises(RecordError) as e:
        read_records(path)
    sentence = f"line 2 has schema {schema!r}, this version reads schema {SCHEMA}"
    assert sentence in str(e.value)


def test_no_schema_at_all_is_refused(path):
    event = record(0).to_json()
    del event["schema"]
    with pytest.raises(RecordError, match="line 1 has schema None"):
        read_records(write(path, event))


def test_an_unknown_event_is_refused_by_name(path):
    write(path, record(0), {"schema": SCHEMA, "event": "verdict"})
    with pytest.raises(RecordError, match="line 2 has event 'verdict'. Known: trial, score") as e:
        read_records(path)
    assert all(name in str(e.value) for name in EVENTS)


@pytest.mark.parametrize(
    "change",
    [
        {"config": {}},
        {"config": "x"},
        {"points": [{"step": 1}]},
        {"points": [{"point_id": "p", "step": 1, "lights": 2}]},
        {"bill": [{"phase": "trian"}]},
        {"bill": [{"phase": "train", "flops": -1}]},
        {"bill": 3},
    ],
)
def test_an_event_that_is_not_whole_is_refused_by_its_line(path, change):
    write(path, record(0), record(1).to_json() | change)
    with pytest.raises(RecordError, match="line 2 is not a whole event") as e:
        read_records(path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("key", ["event", "id", "config", "status"])
def test_a_missing_key_is_refused_by_its_line(path, key):
    event = record(0).to_json()
    del event[key]
    with pytest.raises(RecordError, match=f"line 1 is not a whole event: '{key}'"):
        read_records(write(path, event))


# Events of one trial become one record


def test_scores_and_measurements_are_merged_into_the_points_they_name(path):
    trial, other = record(0), record(1)
    first, second = (p.point_id for p in trial.points)
    written = write(
        path,
        trial,
        score_event(trial.id, first, "test", 200, {"accuracy": 0.5, "nll": 1.5}),
        other,
        measure_event(first, latency_ms=2.0, throughput=90.0),
        measure_event(first, latency_ms=1.0),
        score_event(trial.id, second, "test", 200, {"accuracy": 0.25}),
    )
    merged, untouched = read_records(written).trials
    assert untouched == other
    a, b = merged.points
    assert a.scores == {**trial.points[0].scores, "test": {"accuracy": 0.5, "nll": 1.5}}
    assert a.rows == {"validation": 16, "test": 200}
    assert a.measured == {"latency_ms": 1.0, "throughput": 90.0}, "the later measurement counts"
    assert b.scores["test"] == {"accuracy": 0.25} and b.measured == {}
    assert replace(merged, points=trial.points) == trial, "nothing else has changed"
    rewritten = write(path.with_name("again.jsonl"), merged)
    assert read_records(rewritten).trials == (merged,)


def twin_event(trial, split, score, **changes):
    """A score of the trial's first point in int8, a point that the trial does not list."""
    knobs = {**trial.points[0].knobs, "int8": True}
    point = OperatingPoint(point_id([trial.id], 10, knobs), 10, knobs, bytes=7)
    event = score_event(trial.id, point.point_id, split, 20, {"accuracy": score})
    return {**event, "point": point.to_json(), **changes}


def test_a_score_that_carries_its_point_adds_it_to_the_trial(path):
    trial, other = record(0), record(1)
    events = twin_event(trial, "validation", 0.5), twin_event(trial, "test", 0.25)
    again = twin_event(trial, "validation", 0.75)
    merged, untouched = read_records(write(path, events[0], trial, other, events[1])).trials
    assert untouched == other and merged.points[:2] == trial.points
    (twin,) = merged.points[2:]
    assert twin.knobs == {"depth": 1, "int8": True} and twin.bytes == 7
    assert twin.scores == {"validation": {"accuracy": 0.5}, "test": {"accuracy": 0.25}}
    assert twin.rows == {"validation": 20, "test": 20}
    assert replace(merged, points=trial.points) == trial
    rewritten = write(path.with_name("again.jsonl"), merged, again)
    (later,) = read_records(rewritten).trials
    assert len(later.points) == 3, "a point is added once"
    assert later.points[2].scores["validation"] == {"accuracy": 0.75}


def test_a_further_point_of_no_trial_here_is_left(path):
    stranger = twin_event(record(5), "test", 0.5)
    assert read_records(write(path, record(0), stranger)).trials == (record(0),)


@pytest.mark.parametrize("point", [3, {"step": "x", "lights": 2}, {}])
def test_a_further_point_that_is_not_whole_is_refused_by_its_line(path, point):
    write(path, record(0), twin_event(record(0), "test", 0.5, point=point))
    with pytest.raises(RecordError, match="line 2 is not a whole event"):
        read_records(path)


def test_order_of_events_does_not_matter_and_strangers_are_left(path):
    trial = record(0)
    name = trial.points[0].point_id
    late = [score_event(trial.id, name, "test", 9, {"accuracy": 1.0}), measure_event(name, x=1.0)]
    after = read_records(write(path, trial, *late)).trials
    before = read_records(write(path.with_name("b.jsonl"), *late, trial)).trials
    assert after == before
    lone = write(path.with_name("c.jsonl"), trial, measure_event("nobody", latency_ms=1.0))
    assert read_records(lone).trials == (trial,)


@pytest.mark.parametrize("early", [s for s in STATUSES if s != "DONE"])
def test_one_record_an_id_and_done_is_final(path, early):
    done, tried = record(0), record(0, early)
    later = replace(done, step=99)
    assert done.id == tried.id == later.id
    for events, kept in (
        ((tried, done), done),
        ((done, tried), done),
        ((done, later), done),
        ((tried, done, later, tried), done),
        ((tried, replace(tried, error="again")), replace(tried, error="again")),
    ):
        path.unlink(missing_ok=True)
        assert read_records(write(path, *events)).trials == (kept,)


def test_records_stand_in_the_order_they_first_came(path):
    write(path, record(2, "FAILED"), record(0), record(1), record(2))
    assert [r.config.init_seed for r in read_records(path).trials] == [2, 0, 1]


# Writing


def test_every_line_is_on_disk_before_append_returns(path, monkeypatch):
    seen = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append(path.stat().st_size) or sync(fd))
    writer = RecordWriter(path)
    for seed in range(3):
        writer.append(record(seed).to_json())
        assert len(seen) == seed + 1 and seen[-1] == path.stat().st_size
        assert len(read_records(path).trials) == seed + 1
    writer.close()


def test_texts_of_any_letters_are_written(path):
    """A path that is not UTF-8 reaches an error's text as a lone surrogate."""
    error = "no file 'caf\udce9' \u2028 in 東京"
    assert read_records(write(path, record(0, "FAILED", error=error))).trials[0].error == error
    path.read_text(encoding="utf-8")
    assert len(path.read_bytes().splitlines()) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1}])
def test_what_is_no_json_is_refused_before_anything_is_written(path, bad):
    writer = RecordWriter(path)
    writer.append(record(0).to_json())
    size = path.stat().st_size
    with pytest.raises((TypeError, ValueError)):
        writer.append({**record(1).to_json(), "step": bad})
    writer.append(record(2).to_json())
    writer.close()
    assert path.stat().st_size > size
    assert read_records(path).trials == (record(0), record(2))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_refuses_leaves_no_half_line(path, monkeypatch, number):
    writer = RecordWriter(path)
    writer.append(record(0).to_json())
    before = path.read_bytes()

    def refuse(_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(RecordError) as e:
            writer.append(record(1).to_json())
    assert str(e.value) == f"{path}: cannot be written: {os.strerror(number)}"
    assert path.read_bytes() == before
    writer.append(record(2).to_json())
    writer.close()
    assert read_records(path).trials == (record(0), record(2))


FULL = """
import json, resource, sys
from pathlib import Path
from raysearch.errors import RecordError
from raysearch.run.records import RecordWriter
path, event = Path(sys.argv[1]), json.loads(sys.argv[2])
writer = RecordWriter(path)
writer.append(event)
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        writer.append(event)
        raise SystemExit("the limit did not hold")
    except RecordError as e:
        print(e)
    assert path.stat().st_size == size, path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.append({**event, "step": 11})
"""


def test_a_disk_that_fills_up_in_the_middle_of_a_line(path):
    """A limit on the file's size lets the kernel write a part of the line, as a full disk does."""
    event = json.dumps(record(0).to_json())
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(path), event],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [f"{path}: cannot be written: No space left on device"] * 2
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps == [10, 11]


@pytest.mark.parametrize("place", ["a-folder", "missing/records.jsonl"])
def test_a_file_that_cannot_be_opened_is_one_line(tmp_path, place):
    (tmp_path / "a-folder").mkdir()
    with pytest.raises(RecordError, match="cannot be opened for writing") as e:
        RecordWriter(tmp_path / place)
    assert "\n" not in str(e.value)


def test_a_closed_writer_writes_no_more(path):
    writer = RecordWriter(path)
    writer.append(record(0).to_json())
    writer.close()
    with pytest.raises(ValueError):
        writer.append(record(1).to_json())
    assert read_records(path).trials == (record(0),)
