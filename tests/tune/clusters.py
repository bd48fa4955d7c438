"""Rays of several nodes on this machine, each in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def nodes(folder: Path, *cpus: int | str) -> Iterator[str]:
    """The address of a Ray of so many nodes, as CPUS or `CPUS:GPUS`."""
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
