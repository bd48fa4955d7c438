"""Brings up clusters/on-prem.yaml for real, in the lab, and pulls plugs: nothing may be lost.

    python -m tests.cluster.rehearse [--plan lost] [--lab DIR] [--keep]

Plans: `lost`, a worker dies in mid-study, in another study one's link goes down; `idle`, no worker
before there is work, those at rest are given back and come again; `scaling`, sleeping trials on 1,
2 and 4 workers; `spot`, one trial loses three machines; `done`, a study takes the cluster down.
Prints one line a step, with the seconds
since the start; ends with 1 at the first promise that does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.hosts import HEAD, ROOT, Broken, Lab, alive, at_work, spread
from tests.cluster.sleeping import scaling, spot

SHIPPED = ROOT / "clusters" / "on-prem.yaml"
WORKERS = {"w1": "10.77.0.11", "w2": "10.77.0.12"}
TRIALS = 10
WANTED = (
    "--task /mnt/shared/own.csv --text text --label label --methods finetune --models toy-mini "
    f"--labels 1000 --trials {TRIALS} --draws 0 --yes --address auto --concurrency 3"
)
"""Trials that outlast the start of a worker's process, on any machine. Of shorter ones Ray gives
the next to a process that is there, and the one that is starting is thrown away: a slow node may
then never see a trial."""


def texts(path: Path) -> None:
    """Write the task: 4,000 texts of 56 words, of which two in three that tell are the label's."""
    draw = random.Random(0)
    tell = ("bad dull flat cold dim rude vague".split(), "good fine sharp warm kind clear".split())
    rest = [f"w{i}" for i in range(300)]
    rows = ["text,label"]
    for _ in range(4000):
        label = draw.randrange(2)
        words = draw.choices(rest, k=50) + draw.choices(tell[label], k=4)
        words += draw.choices(tell[1 - label], k=2)
        draw.shuffle(words)
        rows.append(f"{' '.join(words)},{('no', 'yes')[label]}")
    path.write_text("\n".join(rows) + "\n")


def of_the_lab(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped file with the lab's addresses and user; everything else as it is shipped.

    The name is the lab's own too: ssh's sockets lie below /tmp under it, and the hosts share /tmp.
    """
    config: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    config["provider"] |= {"head_ip": HEAD, "worker_ips": list(WORKERS.values())}
    config["auth"]["ssh_user"] = "root"
    config["cluster_name"] = name
    return config | dict(changes)


def ended(out: Path) -> list[dict[str, Any]]:
    """The trials' events so far, in order."""
    records = out / "records.jsonl"
    lines = records.read_bytes().split(b"\n")[:-1] if records.exists() else []
    return [e for e in map(json.loads, lines) if e["event"] == "trial"]


def hosts_of(out: Path) -> Counter[str]:
    """How many trials each host brought to an end."""
    return Counter(e["made_by"].get("host", "?") for e in ended(out))


def whole(lab: Lab, out: Path, trials: int) -> None:
    """Nothing was lost: so many trials, each DONE once; Broken otherwise."""
    events = ended(out)
    statuses = Counter(e["status"] for e in events)
    twice = [i for i, n in Counter(e["id"] for e in events).items() if n > 1]
    if dict(statuses) != {"DONE": trials} or twice:
        raise Broken(f"{out.name}: {dict(statuses)}, recorded twice: {twice or 'none'}")
    where = spread(hosts_of(out))
    lab.say(f"{out.name}: {trials} of {trials} trials DONE, each once ({where})")


@contextlib.contextmanager
def study(lab: Lab, name: str, more: str = "") -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """`raysearch frontier` on the head, begun through `ray exec`; ends whole or is Broken."""
    out, log = lab.folder / "shared" / "raysearch" / name, lab.folder / f"{name}.txt"
    if not (task := lab.folder / "shared" / "own.csv").exists():
        texts(task)
    command = f"raysearch frontier {WANTED} --out /mnt/shared/raysearch/{name}{more}"
    lab.say(f"ray exec cluster.yaml '{command}'")
    driver = lab.start(log, "run", "cli", "ray", "exec", "cluster.yaml", command)
    try:
        yield out, driver
        lab.wait(f"{name}: its end", lambda: driver.poll() is not None, 480)
        if driver.returncode:
            raise Broken(f"{name}: exit {driver.returncode}: {log.read_text()[-2000:]}")
    finally:
        driver.kill()
    whole(lab, out, TRIALS)
    for line in (out / "log.txt").read_text().splitlines():
        if any(word in line for word in ("died", "lost", "break-down", "broke down")):
            lab.say(f"  its log: {line.split(' ', 1)[1]}")
    if not (out / "dashboard").exists():
        raise Broken(f"{name}: no page")


def busy(lab: Lab, driver: subprocess.Popen[bytes], out: Path, host: str, nodes: set[str]) -> None:
    """Wait until trials were seen at work on all `nodes` and one is now on `host`."""
    seen: set[str] = set()

    def ready() -> bool:
        if driver.poll() is not None or len(ended(out)) > TRIALS - 2:
            raise Broken(f"{out.name}: nearly over, trials seen on {', '.join(seen) or 'no node'}")
        seen.update(hosts_of(out), (h for h in nodes - seen if at_work(lab, h)))
        return bool(ended(out)) and seen >= nodes and at_work(lab, host)

    lab.wait(f"{out.name}: a trial on {host}", ready, 300, pause=0.2)
    done = f"{len(ended(out))} of {TRIALS} trials are done"
    lab.say(f"{done}; trials were at work on {', '.join(sorted(seen))}, one is on {host}")


def up(lab: Lab, changes: Mapping[str, Any] | None = None) -> None:
    """`ray up` brings head and workers; each installs raysearch from the checkout."""
    home = lab.folder / "cli" / "home"
    (home / "cluster.yaml").write_text(yaml.safe_dump(of_the_lab(lab.folder.name, changes or {})))
    lab.sh("run", "cli", "ray", "get-auth-token", "--generate")
    output = lab.sh(
        "run", "cli", "python", "-m", "raysearch", "doctor", "--cluster", "cluster.yaml"
    )
    lab.say(f"raysearch doctor --cluster {output.splitlines()[-1]}")
    lab.say("ray up -y cluster.yaml (clusters/on-prem.yaml with the lab's addresses and user)")
    command = f"cd '{ROOT}' && RAY_AUTH_MODE=token ray up -y ~/cluster.yaml"
    lab.sh("run", "cli", "bash", "-c", command)
    lab.say("the head is up")
    if changes is not None:
        lab.say(f"asked for no worker before there is work: {changes}")
        return
    lab.wait("head and two workers", lambda: alive(lab) == {HEAD, *WORKERS.values()}, 300)
    lab.say("head, w1 and w2 are alive")


def kill(lab: Lab) -> None:
    """A worker dies in mid-study, with all its processes."""
    with study(lab, "killed") as (out, driver):
        busy(lab, driver, out, "w1", {"head", "w1", "w2"})
        lab.sh("kill", "w1")
        lab.say("killed every process of w1")


def cut(lab: Lab) -> None:
    """A worker's link goes down in mid-study."""
    with study(lab, "cut") as (out, driver):
        busy(lab, driver, out, "w2", {"head", "w2"})
        lab.sh("cut", "w2")
        lab.say("took the link of w2 down")
        begun, before = time.monotonic(), set(WORKERS.values()) & alive(lab)
        gone = WORKERS["w2"]
        if gone in before:
            lab.wait("w2 given up", lambda: gone not in alive(lab), 150)
        lab.say(f"the head gave w2 up after {time.monotonic() - begun:.0f} s")


IDLE = {"min_workers": 0, "idle_timeout_minutes": 0.5}
DEMAND = """
import ray, time
ray.init(address="auto", log_to_driver=False, logging_level=50)
task = ray.remote(num_cpus=2)(lambda: time.sleep(10))
ray.get([task.remote() for _ in range(3)])
"""


def rest(lab: Lab, time_: str) -> None:
    """Work for three nodes, then none: two come, and go when idle."""
    if (found := alive(lab)) != {HEAD}:
        raise Broken(f"nodes before there is work: {found}")
    begun = time.monotonic()
    lab.say("the head is alone; three tasks that each want a whole node")
    work = lab.start(lab.folder / "work.txt", "run", "head", "python", "-c", DEMAND)
    lab.wait("two workers", lambda: len(alive(lab)) == 3, 180)
    lab.say(f"w1 and w2 came for the {time_} time, {time.monotonic() - begun:.0f} s")
    lab.wait("the tasks", lambda: work.poll() is not None, 120)
    begun = time.monotonic()
    lab.say("the tasks are done")
    lab.wait("workers given back", lambda: alive(lab) == {HEAD}, 240)
    gone = time.monotonic() - begun
    lab.say(f"w1 and w2 were given back after {gone:.0f} s at rest (idle timeout 30 s)")


def down(lab: Lab) -> None:
    """`ray down` ends clean: no raylet is left."""
    lab.sh("join", "w2")  # where it was cut
    lab.say("ray down -y cluster.yaml")
    lab.sh("run", "cli", "env", "RAY_AUTH_MODE=token", "ray", "down", "-y", "cluster.yaml")
    if "head" in lab.raylets:
        raise Broken("the head's raylet outlived `ray down`")
    lab.say(f"the head is down; raylets left: {', '.join(lab.raylets) or 'none'}")
    lab.wait("the workers' end", lambda: not lab.raylets, 120)
    lab.say("no raylet is left on any host")


def lost(lab: Lab) -> None:
    """Up, a node that dies, a link that is cut, down."""
    up(lab)
    kill(lab)
    cut(lab)
    down(lab)


def idle(lab: Lab) -> None:
    """Workers come when work wants them, are given back at rest, and come again."""
    up(lab, IDLE)
    for time_ in ("first", "second"):
        rest(lab, time_)
    down(lab)


def done(lab: Lab) -> None:
    """The study takes the cluster down when it is done, but not under another program's feet."""
    up(lab)
    other = lab.start(lab.folder / "other.txt", "run", "head", "python", "-c", OTHER)
    with study(lab, "first", " --down-when-done"):
        pass
    text = (lab.folder / "first.txt").read_text()
    if "left up, 1 other programs work on the cluster" not in text or "head" not in lab.raylets:
        raise Broken(f"first: did not spare the other program: {text[-500:]}")
    lab.say("another program works on the cluster: it was left up")
    (lab.folder / "shared" / "over").touch()
    lab.wait("the other program's end", lambda: other.poll() is not None, 30)
    with study(lab, "second", " --down-when-done"):
        pass
    lab.wait("every raylet's end", lambda: not lab.raylets, 180)
    lab.say("the study took the cluster down; no raylet is left on any host")


OTHER = """
import os, ray, time
ray.init(address="auto", log_to_driver=False, logging_level=50)
while not os.path.exists("/mnt/shared/over"):
    time.sleep(1)
"""
PLANS = {
    "lost": (lost, 2),
    "idle": (idle, 2),
    "scaling": (scaling, 4),
    "spot": (spot, 4),
    "done": (done, 2),
}
"""What is done, and how many workers the lab has for it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a plan; 0 when all it promises held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plan", default="lost", choices=PLANS)
    parser.add_argument("--lab", type=Path, help="scratch folder; by default a temporary one")
    parser.add_argument("--keep", action="store_true", help="leave the lab and its logs")
    given = parser.parse_args(arguments)
    # A short path: sockets lie below it, and a socket's path holds at most 107 bytes.
    folder = given.lab or Path(tempfile.mkdtemp(prefix="rs-lab-"))
    plan, workers = PLANS[given.plan]
    lab = Lab(folder.resolve(), workers)
    good = False
    try:
        if why := lab.sh("can", check=False).strip():
            raise Broken(why)
        lab.sh("up")
        lab.say(f"plan {given.plan}; the lab is up: hosts cli, head, w1 to w{workers}")
        plan(lab)
        good = True
        lab.say("all promises held")
    except Broken as e:
        lab.say(f"BROKEN: {e}")
    finally:
        if not given.keep:
            lab.sh("down", check=False)
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
