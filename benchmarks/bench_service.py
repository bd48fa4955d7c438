"""What a reader of the service waits for, while a study runs and its records grow.

A real server process over a root folder with one study of many synthetic points, to whose records a
trial is added every second. Readers ask for its frontier at the same time, each on a connection of
its own: first as fast as they get answers, then once a second as an open page does. Beside them a
real study of the toy task trains on the same machine (`--no-load`: none).

    python benchmarks/bench_service.py [--points 10000] [--readers 100] [--seconds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from raysearch.service.database import Database
from raysearch.service.paths import Paths
from raysearch.service.study_repository import StudyRepository
from raysearch.service.study_state import Spec
from raysearch.service.tokens import Tokens
from tests.service.fakes import recorded
from tests.support.synthetic import records

ID = "synthetic-1"


def grow(path: Path, seed: int, stop: threading.Event) -> None:
    """Add a trial to the records every second, as a driver does."""
    more = iter(records(10_000, seed))
    with path.open("a") as file:
        while not stop.wait(1.0):
            file.write(json.dumps(next(more).to_json(), allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


async def reader(
    port: int, token: str, pause: float, until: float, waits: list[float], stagger: float
) -> None:
    """Run one reader on one connection."""
    await asyncio.sleep(stagger)
    link_in, link_out = await asyncio.open_connection("127.0.0.1", port)
    question = (
        f"GET /v1/studies/{ID}/frontier HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()
    while time.monotonic() < until:
        begun = time.monotonic()
        link_out.write(question)
        head = await link_in.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        await link_in.readexactly(int(length))
        waits.append(time.monotonic() - begun)
        await asyncio.sleep(max(0.0, pause - (time.monotonic() - begun)))
    link_out.close()


async def readers(port: int, token: str, many: int, pause: float, seconds: float) -> list[float]:
    """Return how long each answer took [s]."""
    waits: list[float] = []
    until = time.monotonic() + seconds
    everyone = (reader(port, token, pause, until, waits, pause * i / many) for i in range(many))
    await asyncio.gather(*everyone)
    return waits


def main() -> None:
    """Serve, read, print."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--points", type=int, default=10_000)
    ask.add_argument("--readers", type=int, default=100)
    ask.add_argument("--seconds", type=float, default=20.0)
    ask.add_argument("--no-load", action="store_true")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory() as scratch, socket.socket() as s:
        paths = Paths(Path(scratch) / "root")
        paths.create()
        database = Database(paths.database)
        token = Tokens(database).add("bench", "bench", "submitter")
        draft = Path(scratch) / "draft"
        draft.mkdir()
        studies = StudyRepository(database, paths)
        studies.create(Spec(ID, "bench", 0.0, "sst2", "quick", []), draft)
        run = recorded(studies.run(ID), given.points, confirm=0)
        studies.transition(ID, "running", job="synthetic", concurrency=1, attempt=1)
        lock = (run / ".lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)  # as its driver does: the service leaves it alone
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        s.close()
        words = ["serve", "--root", str(paths.root), "--port", str(port), "--cpus", "2"]
        server = subprocess.Popen(
            [sys.executable, "-m", "raysearch", *words], stdout=subprocess.PIPE, text=True
        )
        stop = threading.Event()
        try:
            for line in server.stdout or ():
                if "enter?ticket=" in line:
                    break
            time.sleep(2.0)
            if not given.no_load:
                load(port, token)
            threading.Thread(
                target=grow, args=(run / "records.jsonl", 1, stop), daemon=True
            ).start()
            asyncio.run(readers(port, token, 1, 0.1, 5.0))  # the first reading
            for name, pause in (("as fast as answered", 0.0), ("once a second each", 1.0)):
                waits = asyncio.run(readers(port, token, given.readers, pause, given.seconds))
                p50, p95, p99 = (1e3 * q for q in np.quantile(waits, [0.5, 0.95, 0.99]))
                rate = len(waits) / given.seconds
                print(
                    f"{given.readers} readers, {name}: {rate:,.0f} answers a second, "
                    f"median {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms "
                    f"(load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)",
                    flush=True,
                )
        finally:
            stop.set()
            server.kill()
            from raysearch.service import ray_head

            found = ray_head.running_head(paths.ray)
            if found is not None:
                os.kill(found.pid, 15)
                while ray_head.running_head(paths.ray) is not None:
                    time.sleep(0.5)
                shutil.rmtree(found.temporary, ignore_errors=True)


def load(port: int, token: str) -> None:
    """Start a study that trains for as long as the readers read."""
    import requests

    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{port}/v1/studies"
    body = {"methods": ["finetune"], "labels": [1000], "trials": 200, "draws": 0}
    made = requests.post(url, headers=headers, json={**body, "concurrency": 1}, timeout=300)
    made.raise_for_status()
    path = f"{url}/{made.json()['id']}"
    for _ in range(120):
        time.sleep(1.0)
        progress = requests.get(path, headers=headers, timeout=60).json()["progress"]
        if progress and progress["trials"]:
            return


if __name__ == "__main__":
    main()
