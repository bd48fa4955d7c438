"""Trials on a Ray that believes it has a GPU: parts of it, and what needs none beside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tune.clusters import ROOT, nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def study(address: str, tmp_path: Path, gpus: str, trials: int) -> tuple[Any, list[dict[str, Any]]]:
    diary = tmp_path / f"diary-{gpus}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.tune.gpu_driver", address, str(tmp_path / f"out-{gpus}")]
        + [str(diary), str(trials), gpus],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), [json.loads(line) for line in diary.read_text().splitlines()]


def at_once(lines: list[dict[str, Any]], device: str) -> int:
    """The most trials that were open together on a device."""
    turns = sorted(
        (e["at"], 1 if e["what"] == "open" else -1)
        for e in lines
        if e["device"] == device and e["what"] in ("open", "close")
    )
    most = now = 0
    for _, turn in turns:
        now += turn
        most = max(most, now)
    return most


def test_parts_of_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with nodes(tmp_path, 1, "4:1") as address:
        quarter, lines = study(address, tmp_path, "0.25", 16)
        assert quarter["by_status"] == {"DONE": 16}
        assert {e["gpus"] for e in lines if e["device"] == "cuda"} == {0.25}
        assert {e["gpus"] for e in lines if e["device"] == "cpu"} == {0.0}
        assert 2 <= at_once(lines, "cuda") <= 4
        # how large the GPU is nobody knows here: a whole one each
        whole, lines = study(address, tmp_path, "auto", 8)
        assert whole["by_status"] == {"DONE": 8}
        assert {e["gpus"] for e in lines if e["device"] == "cuda"} == {1.0}
        assert at_once(lines, "cuda") == 1
    hours = quarter["hours"].values()
    assert sorted(h["gpus"] for h in hours) == [0.0, 1.0]
    assert all(h["alive"] >= h["busy"] >= h["used"] >= 0 for h in hours)
    assert any(h["busy"] > 0 for h in hours)
