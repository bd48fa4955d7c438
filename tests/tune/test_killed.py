"""Drivers in processes of their own, killed and interrupted: no record lost, none twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raysearch.run.folder import RunFolder
from raysearch.run.records import read_records
from raysearch.workflow.status import status
from tests.tune.fakes import diary

pytestmark = pytest.mark.ray
HERE = Path(__file__).resolve().parent


def start(out: Path, notes: Path, trials: int, seconds: float) -> subprocess.Popen[str]:
    """A driver that leads a process group of its own, as under a terminal."""
    command = [sys.executable, str(HERE / "driver.py"), str(out), str(notes)]
    return subprocess.Popen(
        [*command, str(trials), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(out: Path, driver: subprocess.Popen[str], done: int, limit: float = 120.0) -> None:
    """Wait until so many trials are recorded."""
    until = time.monotonic() + limit
    records = out / "records.jsonl"
    while time.monotonic() < until:
        assert driver.poll() is None, driver.communicate()
        if records.exists() and records.read_bytes().count(b"\n") >= done:
            return
        time.sleep(0.05)
    driver.kill()
    raise AssertionError(f"not {done} records in {limit} s")


def finish(driver: subprocess.Popen[str]) -> dict[str, object]:
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    value: dict[str, object] = json.loads(out)  # nothing else stands on stdout
    return value


def events(out: Path) -> list[str]:
    text = (out / "records.jsonl").read_text().splitlines()
    return [e["id"] for e in map(json.loads, text) if e["event"] == "trial"]


def test_a_killed_driver_loses_no_record_and_runs_none_twice(
    tmp_path: Path, workers_path: str
) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    first = start(out, notes, 8, 1.5)
    wait_for(out, first, 3)
    time.sleep(0.8)  # into the next trials, past their first checkpoint
    assert status(out)["running"] is True
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    before = read_records(RunFolder(out).records)
    kept = {r.id for r in before.trials}
    assert len(kept) >= 3 and status(out)["running"] is False
    assert status(out)["unfinished"] >= 1

    outcome = finish(start(out, notes, 8, 1.5))
    assert outcome["by_status"] == {"DONE": 8} and outcome["fresh"] == 8 - len(kept)
    ids = events(out)
    assert len(ids) == len(set(ids)) == 8 and kept <= set(ids)
    ends = [n["id"] for n in diary(notes) if n["what"] == "done"]
    assert len([e for e in ends if e in kept]) == len(kept), "no recorded trial ran again"
    assert [n for n in diary(notes) if n["what"] == "load"], "unfinished trials went on"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_study_stops_cleanly_and_goes_on(
    tmp_path: Path, workers_path: str, number: signal.Signals
) -> None:
    out, notes = tmp_path / "out", tmp_path / "diary"
    first = start(out, notes, 6, 2.5)
    wait_for(out, first, 2)
    time.sleep(1.0)
    if number is signal.SIGINT:
        os.killpg(first.pid, number)  # a terminal sends it to the workers too
    else:
        first.send_signal(number)
    outcome = finish(first)
    assert outcome["interrupted"] is True
    assert outcome["stopped_by"] == "interrupted; unfinished trials keep their checkpoints"
    done = len(events(out))
    assert outcome["by_status"] == {"DONE": done} and done < 6
    assert list((out / "checkpoints").iterdir())
    if number is signal.SIGINT:
        again = finish(start(out, notes, 6, 2.5))
        assert again["by_status"] == {"DONE": 6} and again["interrupted"] is False
        assert len(set(events(out))) == len(events(out)) == 6
        assert [n for n in diary(notes) if n["what"] == "load"]
        assert not (out / "checkpoints").exists()
