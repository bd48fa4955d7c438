"""A running Ray cluster, connected before anything is planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cluster:
    """What planning has to know of the machines that trials run on."""

    device: str | None = None
    """What trials run on; None: what this machine has."""
    on_worker: Callable[..., Any] | None = None
    """Calls a function where trials run; None: in this process."""
    at_once: int | None = None
    """Trials that it has room for; None: fitted to this machine."""


@contextmanager
def connect_cluster(address: str | None) -> Iterator[Cluster | None]:
    """Connect to a cluster that is named; None without an address.

    Raises:
        InputError: no cluster answers there.
    """
    if address is None:
        yield None
        return
    from raysearch.cluster.nodes import call_on_gpu, device, machines
    from raysearch.cluster.resources import slots
    from raysearch.tune.session import ray_session

    with ray_session(None, address):
        runs_on, nodes = device(), machines()
        room = sum(int(n.gpus) if runs_on == "cuda" else slots(n) for n in nodes)
        yield Cluster(runs_on, call_on_gpu, room or None)


def other_drivers() -> int:
    """Count the programs that work on the connected cluster, beside this one."""
    from raysearch.cluster.nodes import drivers

    return drivers()
