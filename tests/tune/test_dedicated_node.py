"""Models are timed on a machine that is held whole, where the cluster has one with a GPU."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tune.clusters import ROOT, nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def python(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_is_timed_on_a_machine_that_is_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    out = tmp_path / "run"
    with nodes(tmp_path, 1, "2:2") as address:
        few = ("--methods", "ngram_linear", "--models", "hash-16", "--labels", "32")
        options = ("--trials", 2, "--draws", 3, "--yes", "--gpus-per-trial", 0)
        python(
            "raysearch",
            "frontier",
            "--task",
            "toy",
            *few,
            *options,
            "--out",
            out,
            "--address",
            address,
        )
        found = json.loads(python("tests.tune.alone_driver", address, out).splitlines()[-1])
    assert found["measured"] and not found["failed"]
    assert found["host"] == platform.node() and f" on {found['host']}, one" in found["said"][0]
    assert (found["during"], found["after"]) == (0.0, 2.0), "all its GPUs, and only meanwhile"
    broken, busy = found["said"][-2:]
    assert broken == "why it broke"
    assert busy.startswith("no machine with 2 GPUs and 2 CPUs of the cluster was all free within")
