"""The whole: a real server process, a real Ray head, real Jobs; what is killed loses nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import requests

from raysearch.run.records import read_records
from raysearch.service import ray_head

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 300.0


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Place:
    """A server process over a root folder."""

    root: Path
    port: int
    process: subprocess.Popen[str] | None = None
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, owner: str = "anna") -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        return {
            **os.environ,
            "PYTHONPATH": path,
            "RAYSEARCH_SERVER": self.url,
            "RAYSEARCH_TOKEN": self.tokens.get(owner, ""),
        }

    def start(self) -> str:
        """Start the server; what it printed until it listens."""
        words = ["serve", "--root", str(self.root), "--port", str(self.port), "--cpus", "2"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "raysearch", *words, "--owner-trials", "1"],
            env=self.environment(),
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.root.parent,
        )
        assert self.process.stdout is not None
        text = ""
        for line in self.process.stdout:
            text += line
            if "enter?ticket=" in line:
                break
        wait(lambda: answers(self.url), "the server does not answer")
        return text

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def cli(self, *words: str, owner: str = "anna", code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "raysearch", *words],
            env=self.environment(owner),
            capture_output=True,
            text=True,
            timeout=LONGEST,
            cwd=self.root.parent,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        return "\n".join(p.read_text()[-3000:] for p in self.root.glob("studies/*/log.txt"))

    def get(self, path: str, owner: str = "anna") -> requests.Response:
        headers = {"Authorization": f"Bearer {self.tokens[owner]}"}
        return requests.get(self.url + path, headers=headers, timeout=60)

    def study(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/studies/{id_}").json()
        return found

    def records(self, id_: str) -> list[str]:
        path = self.root / "studies" / id_ / id_ / "records.jsonl"
        return [r.id for r in read_records(path).trials] if path.exists() else []

    def until(self, id_: str, *states: str) -> dict[str, Any]:
        wait(lambda: self.study(id_)["state"] in states, f"{id_} is never {states}", self.logs)
        return self.study(id_)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/v1/studies", timeout=5).status_code == 401
    except requests.ConnectionError:
        return False


def wait(what: Callable[[], bool], otherwise: str, more: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        if what():
            return
        time.sleep(0.3)
    pytest.fail(f"{otherwise}\n{more()}")


def end_tree(pid: int) -> None:
    """End a head that a test has started, and everything below it, and nothing else."""
    try:
        top = psutil.Process(pid)
        below = [*top.children(recursive=True), top]
    except psutil.NoSuchProcess:
        return
    for process in below:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(below, timeout=20)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One server with a head of its own, and two owners."""
    place = Place(tmp_path_factory.mktemp("service") / "root", free_port())
    try:
        lines = place.start()
        found = re.search(r"shown this once: (rs_\S+)", lines)
        assert found is not None, lines
        place.tokens["first"] = found[1]
        for owner in ("anna", "bert"):
            text = place.cli("token", "add", owner, "--root", str(place.root))
            place.tokens[owner] = text.strip()
        yield place
    finally:
        if place.process is not None:
            place.kill()
        found_head = ray_head.running_head(place.root / "ray")
        if found_head is not None:
            end_tree(found_head.pid)
            shutil.rmtree(found_head.temporary, ignore_errors=True)


def post(place: Place, path: str, owner: str, **body: object) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {place.tokens[owner]}"}
    answer = requests.post(place.url + path, headers=headers, json=body, timeout=LONGEST)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_file_of_ones_own_from_upload_to_the_model(place: Place, tmp_path: Path):
    table = tmp_path / "tickets.csv"
    words = ("good fine great nice", "bad awful poor dull")
    rows = [f"{words[i % 2].split()[i % 4]} thing {i},<b>{'no' if i % 2 else 'yes'}</b>"
            for i in range(300)]  # fmt: skip
    table.write_text("message,<script>queue\n" + "\n".join(rows) + "\n")
    options = ["--task", str(table), "--text", "message", "--label", "<script>queue"]
    options += ["--labels", "32", "--trials", "2", "--methods", "ngram_linear", "--models"]
    done = place.cli("submit", *options, "hash-16", "--draws", "0", "--follow")
    id_ = done.partition(":")[0]
    assert "running, 1 of 2 trials" in done or "2 of 2 trials" in done
    assert done.splitlines()[-1] == f"{id_}: done, 2 of 2 trials"
    assert "tickets" in id_ and place.study(id_)["task"] == "tickets"
    assert place.get(f"/v1/studies/{id_}/frontier").json()["trials"] == {"DONE": 2}
    page = place.get(f"/studies/{id_}/dashboard/")
    assert page.status_code == 200 and "<script>queue" not in page.text
    assert "good thing" not in page.text and "<b>yes" not in page.text
    refused = place.get(f"/v1/studies/{id_}/logs", owner="bert")
    assert refused.status_code == 403
    assert "2 trials" in place.cli("logs", id_)
    post(place, f"/v1/studies/{id_}/confirm", "anna", draws=1)
    confirmed = place.until(id_, "done", "failed")
    assert (confirmed["state"], confirmed["verb"]) == ("done", "confirm"), place.logs()
    assert confirmed["progress"]["draws"] >= 1
    place.cli("fetch", id_, "--to", "out", "--model", "--format", "native")
    out = place.root.parent / "out"
    assert len(pd.read_parquet(out / "records.parquet")) >= 2
    assert json.loads((out / "recommend.json").read_text())["choice"]["model"] == "hash-16"
    assert (out / "model" / "model.py").is_file()


def test_a_submission_is_refused_in_the_command_lines_words(place: Place):
    words = ["submit", "--task", "toy", "--labels", "999999999"]
    done = subprocess.run(
        [sys.executable, "-m", "raysearch", *words],
        env=place.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "is more than the" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_two_owners_at_once_and_what_is_killed_loses_nothing(place: Place):
    small = {"methods": ["finetune"], "models": ["toy-mini"], "labels": [320, 1000], "draws": 0}
    with ThreadPoolExecutor(2) as pool:
        trials = {"anna": 20, "bert": 30}  # bert's is still at work when it is stopped
        made = pool.map(lambda o: post(place, "/v1/studies", o, trials=trials[o], **small), trials)
        first, second = (m["id"] for m in made)
    third = post(place, "/v1/studies", "anna", trials=1, **small)["id"]
    for id_ in (first, second):
        wait(lambda i=id_: len(place.records(i)) > 0, f"{id_} records nothing", place.logs)
    assert {place.study(i)["state"] for i in (first, second)} == {"running"}  # side by side
    assert place.study(third)["why"] == "queued: anna has 1 of 1 trials at work, next"
    assert place.study(first)["concurrency"] == place.study(second)["concurrency"] == 1
    post(place, f"/v1/studies/{third}/stop", "anna")
    # the service is killed: its studies go on
    before, found = len(place.records(first)), ray_head.running_head(place.root / "ray")
    assert found is not None
    place.kill()
    wait(lambda: len(place.records(first)) > before, "a study ended with its service")
    place.start()
    assert ray_head.running_head(place.root / "ray") == found  # the same Ray, found again
    assert place.study(first)["state"] in ("running", "done")
    # one is stopped and goes on
    place.cli("stop", second, owner="bert")
    stopped = place.until(second, "stopped")
    assert stopped["progress"]["trials"] < 30, "stopped too late to see"
    had = place.records(second)
    assert post(place, f"/v1/studies/{second}/resume", "bert")["state"] == "queued"
    place.until(second, "running")
    # the head is killed: a new one comes up, and what has not ended goes on there
    end_tree(found.pid)
    assert place.until(second, "done", "failed")["state"] == "done"
    assert place.until(first, "done", "failed")["state"] == "done"
    again = ray_head.running_head(place.root / "ray")
    assert again is not None and again.pid != found.pid
    for id_, count in ((first, 20), (second, 30)):
        ids = place.records(id_)
        assert len(ids) == len(set(ids)) == count
    assert set(had) <= set(place.records(second))
