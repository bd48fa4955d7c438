"""Plans with trials that sleep, on a cluster of the lab's hosts: how it scales, how it loses nodes.

Ray is started by hand here, each worker with one CPU and the head with none.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from tests.cluster.hosts import HEAD, ROOT, Broken, Lab, alive, at_work, spread

WORKERS = ("w1", "w2", "w3", "w4")
SLEEP = 2.0
"""How long a trial of `scaling` sleeps [s]."""
EACH = 20
"""Trials of `scaling` for each worker."""
LONG = 20.0
"""How long the trial of `spot` sleeps [s]."""
OWN = f"export RAY_AUTH_MODE=token PYTHONPATH='{ROOT}' && mkdir -p ~/.ray"


def begin(lab: Lab) -> None:
    """Start the head; the token lies where every host finds it."""
    (lab.folder / "shared" / "auth_token").write_text(secrets.token_hex(32))
    _start(lab, "head", "--num-cpus=0 --head --port=6379 --include-dashboard=false")


def join(lab: Lab, count: int) -> None:
    """Have so many workers."""
    for host in WORKERS[:count]:
        if host not in lab.raylets:
            _start(lab, host, f"--num-cpus=1 --address={HEAD}:6379")
    lab.wait(f"{count} workers", lambda: len(alive(lab)) == count + 1, 60)


def _start(lab: Lab, host: str, arguments: str) -> None:
    token = f"{OWN} && cp /mnt/shared/auth_token ~/.ray/"
    lab.sh("run", host, "bash", "-c", f"{token} && ray start {arguments} >/dev/null")


def _study(name: str, workers: int, trials: int, seconds: float) -> tuple[str, ...]:
    """What lab.sh is asked to run: the study of sleeping trials, on the head."""
    arguments = f"/mnt/shared/{name} {workers} {trials} {seconds}"
    return "run", "head", "bash", "-c", f"{OWN} && python -m tests.cluster.sleepers {arguments}"


def _said(text: str) -> dict[str, Any]:
    lines = [line for line in text.splitlines() if line.startswith("SLEPT ")]
    if not lines:
        raise Broken(f"the sleeping study broke: {text[-2000:]}")
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("SLEPT "))
    return found


def scaling(lab: Lab) -> None:
    """Sleeping trials on 1, 2 and 4 workers."""
    begin(lab)
    rows = []
    for count in (1, 2, 4):
        join(lab, count)
        trials = EACH * count
        found = _said(lab.sh(*_study(f"sleep-{count}", count, trials, SLEEP)))
        if found["by_status"] != {"DONE": trials} or len(found["hosts"]) != count:
            raise Broken(f"scaling on {count}: {found}")
        # The clock starts one sleep before the first end: the start of processes stands by itself.
        rate = trials / (found["between"] + SLEEP) * 3600
        rows.append((count, trials, rate, found["first"]))
        where = spread(found["hosts"])
        lab.say(f"{trials} trials of {SLEEP:g} s: {rate:,.0f} an hour ({where})")
    print(f"\n{'workers':>8}{'trials':>8}{'trials/hour':>13}{'of ideal':>10}{'first end':>11}")
    for count, trials, rate, first in rows:
        ideal = count * 3600 / SLEEP
        print(f"{count:8d}{trials:8d}{rate:13,.0f}{rate / ideal:10.0%}{first:9.1f} s")
    print()


def spot(lab: Lab) -> None:
    """One trial loses three machines, one after the other, and is DONE all the same."""
    begin(lab)
    join(lab, len(WORKERS))
    log = lab.folder / "spot.txt"
    driver = lab.start(log, *_study("spot", len(WORKERS), 1, LONG))
    left = set(WORKERS)
    for _ in range(len(WORKERS) - 1):
        # A process is new on each host, so the one that is seen is the trial's.
        host = lab.wait("the trial", lambda: next((h for h in left if at_work(lab, h)), ""), 90)
        lab.sh("kill", host)
        left.remove(host)
        lab.say(f"the trial was at work on {host}: killed every process of {host}")
    lab.wait("the study's end", lambda: driver.poll() is not None, 120)
    found = _said(log.read_text())
    if found["by_status"] != {"DONE": 1} or set(found["hosts"]) != left:
        raise Broken(f"a trial that lost three nodes: {found}")
    lab.say(f"the trial is DONE on {', '.join(left)}")
