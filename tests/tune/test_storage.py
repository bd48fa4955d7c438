"""A study of two nodes on an object store: shipped, interrupted, mirrored, opened elsewhere."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raysearch.run.records import read_records
from raysearch.storage.remote import Remote
from raysearch.toy import grammar
from tests.support.s3 import s3_server
from tests.support.verbs import Say, refused
from tests.tune.clusters import nodes

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [pytest.mark.ray, pytest.mark.slow]


def verb(*args: object, cwd: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "raysearch", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **env},
    )


def until(ready: Callable[[], Any], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "never came"
        time.sleep(0.2)


def tickets(path: Path) -> Path:
    texts, labels = grammar.split("train", classes=2)
    with path.open("w", newline="", encoding="utf-8") as f:
        rows = csv.writer(f)
        rows.writerow(["text", "label"])
        rows.writerows(zip(texts[:400], labels[:400], strict=True))
    return path


def trials(out: Path) -> list[dict[str, Any]]:
    events = map(json.loads, (out / "records.jsonl").read_text().splitlines())
    return [e for e in events if e["event"] == "trial"]


def test_a_study_of_two_nodes_outlives_its_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAYSEARCH_CACHE_DIR", str(tmp_path / "driver"))
    task, out = tickets(tmp_path / "tickets.csv"), tmp_path / "runs" / "one"
    plan = ("run", "--task", task, "--methods", "finetune", "--models", "toy-tiny", "--yes")
    with s3_server() as server:
        storage = server.bucket("studies") + "/team"
        where = ("--labels", "32,100", "--storage", storage)
        with nodes(tmp_path, 1, 1) as address:
            at = ("--address", address, "--out", out, "--trials", 6)
            run = verb(*plan, *where, *at, cwd=tmp_path)
            until(lambda: (out / "records.jsonl").exists() and trials(out))
            server.kill()
            before = len(trials(out))
            time.sleep(8.0)
            server.restart()
            output, _ = run.communicate(timeout=240)
            assert run.returncode == 0, output
        assert before < 6, "the storage was there all the time"
        assert Counter(e["status"] for e in trials(out)) == {"DONE": 6}
        assert len({e["id"] for e in trials(out)}) == 6
        arrived = [sorted(p.name for p in tmp_path.glob(f"node-{n}/*/data/*")) for n in (0, 1)]
        assert arrived[0] == arrived[1] and len(arrived[0]) == 1  # to each node, once

        mirror = Remote(f"{storage}/runs/one")
        segments = mirror.files("records")
        mirrored = b"".join(mirror.read(f"records/{name}") or b"" for name in segments)
        assert mirrored == (out / "records.jsonl").read_bytes() and len(segments) >= 2

        # a machine that knows nothing of it but the storage's name goes on with it
        shutil.move(out, tmp_path / "gone")
        monkeypatch.setenv("RAYSEARCH_CACHE_DIR", str(tmp_path / "other"))
        more = verb(*plan, *where, "--out", out, "--trials", 7, cwd=tmp_path)
        output, _ = more.communicate(timeout=240)
        assert more.returncode == 0, output
        assert (out / "records.jsonl").read_bytes().startswith(mirrored)
        assert len(read_records(out / "records.jsonl").trials) == 7
        known = {e["id"] for e in map(json.loads, mirrored.splitlines()) if e["event"] == "trial"}
        assert known < {r.id for r in read_records(out / "records.jsonl").trials}
        logits = {p.name for p in (out / "store" / "logits").iterdir()}
        assert {p.name for p in (tmp_path / "gone" / "store" / "logits").iterdir()} <= logits

        # another run of the same name is refused, and the first stands as it was
        other = tmp_path / "elsewhere" / "one"
        other.mkdir(parents=True)
        (other / "records.jsonl").write_bytes(b"".join(mirrored.splitlines(True)[1:]))
        refused(say(*plan, *where, "--out", other, "--trials", 7), "holds another run")


def test_a_storage_that_cannot_be_used_is_one_line(tmp_path: Path, say: Say) -> None:
    closed = tmp_path / "closed"
    closed.write_text("a file, not a folder")
    refused(
        say("run", "--task", "toy", "--storage", closed, "--trials", 1, "--yes"),
        "raysearch: error: storage '",
    )
