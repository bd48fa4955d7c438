"""The lab's hosts as Python sees them: what runs on each, who is alive, and the transcript."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HEAD = "10.77.0.10"


class Broken(Exception):
    """A promise that does not hold, in one sentence."""


class Lab:
    """The hosts, and the clock of the transcript."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.begun = time.monotonic()
        self._environment = {
            **os.environ,
            "LAB": str(folder),
            "PYBIN": str(Path(sys.executable).parent),
            "PYTHONPATH": str(ROOT),
            "WORKERS": str(workers),
        }

    def say(self, text: str) -> None:
        """One line of the transcript."""
        print(f"{time.monotonic() - self.begun:6.1f} s  {text}", flush=True)

    def sh(self, *words: str, check: bool = True, **more: Any) -> str:
        """Run a verb of lab.sh; its output, Broken when it fails."""
        done = subprocess.run(
            ["bash", str(HERE / "lab.sh"), *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **more,
        )
        if check and done.returncode:
            raise Broken(f"{' '.join(words)}: exit {done.returncode}: {done.stdout[-2000:]}")
        return done.stdout

    def start(self, log: Path, *words: str) -> subprocess.Popen[bytes]:
        """The same in the background, its output in a file."""
        with log.open("wb") as f:
            return subprocess.Popen(
                ["bash", str(HERE / "lab.sh"), *words],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=f,
                stderr=subprocess.STDOUT,
            )

    def wait(self, what: str, ready: Callable[[], Any], limit: float, pause: float = 1.0) -> Any:
        """Wait until `ready()` holds and return it; Broken after `limit` seconds [s]."""
        until = time.monotonic() + limit
        while not (found := ready()):
            if time.monotonic() > until:
                raise Broken(f"{what}: not within {limit:.0f} s")
            time.sleep(pause)
        return found

    @property
    def raylets(self) -> list[str]:
        """Hosts on which a raylet is at work."""
        return self.sh("raylets").split()


def alive(lab: Lab) -> set[str]:
    """Addresses of the nodes that the head holds for alive."""
    code = (
        "import ray, json; ray.init(address='auto', log_to_driver=False, logging_level=50); "
        "print('NODES', json.dumps([n['NodeManagerAddress'] for n in ray.nodes() if n['Alive']]))"
    )
    output = lab.sh("run", "head", "python", "-W", "ignore", "-c", code, check=False)
    lines = [line for line in output.splitlines() if line.startswith("NODES ")]
    return set(json.loads(lines[-1].removeprefix("NODES "))) if lines else set()


def at_work(lab: Lab, host: str) -> bool:
    """Whether a trial's process is at work on a host."""
    return "ray::Trial.train" in lab.sh("run", host, "ps", "ax", "-o", "args=", check=False)


def spread(hosts: Mapping[str, int]) -> str:
    """Trials by host, in words."""
    return ", ".join(f"{n} on {h}" for h, n in sorted(hosts.items()))
