"""The end of a study: its bill of nodes, how it kept to its time, the cluster taken down."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from raysearch.config.study import Prices, Study
from raysearch.errors import InputError
from raysearch.workflow.durations import span
from raysearch.workflow.listeners import Notify

OPTION = "--down-when-done"


def overshoot(study: Study, seconds: float) -> list[str]:
    """Return how a study kept to its hours; empty where it had no limit.

    >>> overshoot(Study(name="s", hours=1), 3900.0)
    ['took 65 min, 5 min over --hours 1: what runs when the time is up runs to its end']
    >>> overshoot(Study(name="s", hours=1), 1800.0)
    []
    """
    if study.hours is None or seconds <= 3600 * study.hours:
        return []
    over = span(seconds - 3600 * study.hours)
    return [
        f"took {span(seconds)}, {over} over --hours {study.hours:g}: "
        "what runs when the time is up runs to its end"
    ]


def node_bill(out: Path, prices: Prices) -> list[str]:
    """Return the bill of the nodes in lines; none for a run on one machine."""
    from raysearch.cluster.node_hours import read_hours, sentences

    return sentences(read_hours(out), prices)


def can_go_down(storage: str | None, address: str | None) -> Path:
    """Return the file of the cluster whose head this is.

    Raises:
        InputError: the study does not run on it, this is no head that `ray up` made, or the records
            would go with it.
    """
    from raysearch.cluster.autoscaler import BOOTSTRAP, LOCAL, cluster_file, provider

    if address is None:
        raise InputError(f"{OPTION}: is for a study on the cluster; give --address auto")
    kind = provider(cluster_file())
    if not kind:
        raise InputError(
            f"{OPTION}: is for the head of a cluster that `ray up` made (no {BOOTSTRAP} here)"
        )
    if kind != LOCAL and storage is None:
        raise InputError(f"{OPTION}: the records would go with the head; give --storage URI")
    return BOOTSTRAP.expanduser()


def go_down(path: Path, others: int, notify: Notify) -> None:
    """Take the cluster down, in a process that outlives this one; not while others work on it."""
    if others:
        notify(f"{OPTION}: left up, {others} other programs work on the cluster; later: ray down")
        return
    beside = Path(sys.executable).with_name("ray")
    ray = str(beside) if beside.exists() else shutil.which("ray") or "ray"
    notify(f"taking the cluster down: ray down -y {path}")
    subprocess.Popen(
        [ray, "down", "-y", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
