"""Node-hours: how long each machine of a cluster was up for a study, and how long busy.

Reading imports no Ray, so that `status` is fast.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from raysearch.config.study import Prices
from raysearch.run.folder import RunFolder

EVERY = 10.0
"""Between two looks at the cluster [s]."""


@dataclass(frozen=True, slots=True)
class NodeHours:
    """One machine's time while the study ran."""

    host: str
    gpus: float = 0.0
    alive: float = 0.0
    """[s]"""
    busy: float = 0.0
    """Time in which a trial, or another program of the cluster, used some of it [s]."""
    used: float = 0.0
    """Alive times the larger of the used parts of its CPUs and GPUs [s]."""

    @property
    def idle(self) -> float:
        """Return the time alive without work [s]."""
        return self.alive - self.busy

    def dollars(self, prices: Prices, seconds: float) -> float | None:
        """Return what this many seconds of the machine cost; None without the price [$]."""
        if self.gpus:
            return None if prices.gpu_hour is None else self.gpus * prices.gpu_hour * seconds / 3600
        return None if prices.cpu_hour is None else prices.cpu_hour * seconds / 3600


@dataclass(frozen=True, slots=True)
class NodeSample:
    """One sample of a machine."""

    id: str
    host: str
    gpus: float
    occupied: float
    """Larger of the used parts of its CPUs and GPUs, 0 to 1."""


def after(
    known: Mapping[str, NodeHours], looks: list[NodeSample], seconds: float
) -> dict[str, NodeHours]:
    """Return the hours once this many more seconds have passed in the sampled state.

    >>> samples = [NodeSample("a", "w1", 0.0, 0.5), NodeSample("b", "w2", 0.0, 0.0)]
    >>> after({}, samples, 10.0)["b"].idle
    10.0
    """
    out = dict(known)
    for look in looks:
        had = out.get(look.id, NodeHours(look.host, look.gpus))
        out[look.id] = replace(
            had,
            alive=had.alive + seconds,
            busy=had.busy + (seconds if look.occupied > 0 else 0.0),
            used=had.used + seconds * look.occupied,
        )
    return out


def read_hours(out: Path) -> dict[str, NodeHours]:
    """Return the hours in a run's folder, by node.

    Empty where it ran on one machine or has no such file.
    """
    try:
        value = json.loads(RunFolder(out).nodes.read_text(encoding="utf-8"))
        return {id_: NodeHours(**hours) for id_, hours in value.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def sentences(nodes: Mapping[str, NodeHours], prices: Prices) -> list[str]:
    """Return the bill of the nodes as sentences; empty without any."""
    if not nodes:
        return []
    alive = sum(n.alive for n in nodes.values())
    used = sum(n.used for n in nodes.values())
    share = f" ({used / alive:.0%})" if alive else ""
    whole = _dollars(list(nodes.values()), prices, "alive")
    out = [
        f"nodes: {len(nodes)}, {alive / 3600:.2f} node-hours alive, {used / 3600:.2f} used{share}"
        + whole
    ]
    for gpu, noun in ((True, "GPU node"), (False, "CPU node")):
        idle = [n for n in nodes.values() if bool(n.gpus) == gpu and n.idle >= 60]
        if idle:
            count = f"{len(idle)} {noun}{'s' if len(idle) > 1 else ''}"
            minutes = sum(n.idle for n in idle) / 60
            out.append(f"{count} idle {minutes:.0f} min{_dollars(idle, prices, 'idle')}")
    return out


def _dollars(nodes: list[NodeHours], prices: Prices, what: str) -> str:
    costs = [n.dollars(prices, getattr(n, what)) for n in nodes]
    known = [c for c in costs if c is not None]
    return f", ${sum(known):.2f}" if known and len(known) == len(costs) else ""


@contextmanager
def watched(out: Path) -> Iterator[None]:
    """Sample the cluster's nodes into a file while a study runs.

    Only where there are several, or may be. What earlier runs left is added to. A sample that fails
    is skipped: no study stops for its bill.
    """
    from raysearch.cluster.autoscaler import coming

    if len(_looks()) <= 1 and not coming([]):
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(out, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(timeout=EVERY)


def _watch(out: Path, over: threading.Event) -> None:
    hours, last = read_hours(out), time.monotonic()
    while True:
        ended = over.wait(EVERY)
        looks, now = _looks(), time.monotonic()
        if looks:
            hours = after(hours, looks, now - last)
            _write(out, hours)
        last = now
        if ended:
            return


def _looks() -> list[NodeSample]:
    import ray
    from ray._private.state import available_resources_per_node

    try:
        free = available_resources_per_node()  # type: ignore[no-untyped-call]
        nodes = [n for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
    except Exception:  # the connection is gone, or going
        return []
    out = []
    for n in nodes:
        has, left = n["Resources"], free.get(n["NodeID"], {})
        parts = [
            1 - left.get(name, 0.0) / has[name] for name in ("CPU", "GPU") if has.get(name, 0.0)
        ]
        occupied = min(1.0, max([0.0, *parts]))
        out.append(
            NodeSample(n["NodeID"], n["NodeManagerHostname"], float(has.get("GPU", 0.0)), occupied)
        )
    return out


def _write(out: Path, hours: Mapping[str, NodeHours]) -> None:
    path = RunFolder(out).nodes
    draft = path.with_name(f".{path.name}")
    try:
        draft.write_text(json.dumps({k: asdict(h) for k, h in hours.items()}), encoding="utf-8")
        os.replace(draft, path)
    except OSError:
        pass  # the next look writes it again
