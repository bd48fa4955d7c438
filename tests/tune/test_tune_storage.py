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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from raysearch.engine.remote import Remote
from raysearch.record import read_records
from raysearch.toy import grammar
from tests.s3 import s3_server

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [pytest.mark.ray, pytest.mark.slow]


@contextmanager
def nodes(folder: Path, *cpus: int) -> Iterator[str]:
    """The address of a Ray of so many nodes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.tune.nodes", str(folder), *map(str, cpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(60)


def verb(*args: object, cwd: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "raysearch", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **env},
    )


def until(there: Callable[[], Any], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "never came"
        time.sleep(0.2)


def tickets(path: Path) -> Path:
    texts, labels = grammar.split("train", classes=2)
    with path.open("w", newline="", encoding="utf-8") as f:
        rows = csv.writer(f)
        rows.writerow(["text", "label"])
        rows.writerows(zip(texts[:400], ("no", "yes")[:0] or labels[:400], strict=True))
    return path


def trials(out: Path) -> list[dict[str, Any]]:
    events = map(json.loads, (out / "records.jsonl").read_text().splitlines())
    return [e for e in events if e["event"] == "trial"]


def test_a_study_of_two_nodes_outlives_its_storage(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    task, out = tickets(tmp_path / "tickets.csv"), tmp_path / "runs" / "one"
    options = ("--methods", "finetune", "--models", "toy-tiny", "--labels", "32,100")
    with s3_server() as server:
        storage = server.bucket("studies") + "/team"
        with nodes(tmp_path, 1, 1) as address:
            at = ("--address", address, "--storage", storage, "--out", out)
            run = verb("run", "--task", task, *options, *at, "--trials", 6, "--yes", cwd=tmp_path)
            until(lambda: (out / "records.jsonl").exists() and trials(out))
            server.kill()
            time.sleep(8.0)
            server.restart()
            said, _ = run.communicate(timeout=240)
            assert run.returncode == 0, said
        done = trials(out)
        assert Counter(e["status"] for e in done) == {"DONE": 6}
        assert len({e["id"] for e in done}) == 6
        hosts = [sorted(p.name for p in tmp_path.glob(f"node-{n}/*/data/*")) for n in (0, 1)]
        assert hosts[0] == hosts[1] and len(hosts[0]) == 1  # shipped once to each node

        there = Remote(f"{storage}/runs/one")
        segments = there.files("records")
        mirrored = b"".join(there.read(f"records/{name}") or b"" for name in segments)
        assert mirrored == (out / "records.jsonl").read_bytes() and len(segments) >= 2

        # another machine, which has nothing of it but the storage's name
        shutil.move(out, tmp_path / "gone")
        again = verb(
            "resume", out, "--storage", storage, "--trials-of-the-study-have-run", cwd=tmp_path
        )
        assert again.wait(60) == 2  # a typo is bad input, and nothing is touched
        assert not out.exists()
        more = verb("run", "--task", task, *options, "--out", out, "--storage", storage,
                    "--trials", "+1", "--yes", cwd=tmp_path)  # fmt: skip
        said, _ = more.communicate(timeout=240)
        assert more.returncode == 0, said
        assert len(read_records(out / "records.jsonl").trials) == 7
        assert (out / "records.jsonl").read_bytes().startswith(mirrored)

        other = verb("run", "--task", task, *options, "--out", tmp_path / "b" / "one",
                     "--storage", storage, "--trials", "2", "--seed", "5", "--yes", cwd=tmp_path)  # fmt: skip
        said, _ = other.communicate(timeout=120)
    shutil.rmtree(tmp_path / "node-0")


def test_a_folder_that_the_nodes_do_not_share_is_found_out(tmp_path: Path) -> None:
    with nodes(tmp_path, 1, 1) as address:
        # a folder nobody can write: on a machine of one's own all nodes see the same disk
        closed = tmp_path / "closed"
        closed.write_text("")
        run = verb("run", "--task", "toy", "--models", "toy-tiny", "--address", address,
                   "--storage", closed, "--trials", 1, "--yes", cwd=tmp_path)  # fmt: skip
        said, _ = run.communicate(timeout=120)
    assert run.returncode == 2 and "raysearch: error: storage" in said, said
