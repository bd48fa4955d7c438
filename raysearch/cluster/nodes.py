"""The machines of the running Ray cluster."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysearch.cluster.autoscaler import KIND, coming, kind_of
from raysearch.cluster.resources import Node
from raysearch.errors import InputError

A_GPU = 0.01
"""Part of a GPU for a call that only inspects it."""
PATIENCE = 900.0
"""How long a GPU is waited for before anything is planned: a machine may have to start [s]."""
WAIT = 60.0
"""How long a node may take to report the size of its GPUs [s]."""


def machines() -> list[Node]:
    """Return the nodes of the cluster, those that may still be started included."""
    alive = [n for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
    answers = {
        n["NodeID"]: on_node(n["NodeID"], device_memory, gpus=A_GPU)
        for n in alive
        if n["Resources"].get("GPU", 0) > 0
    }
    if answers:
        ray.wait(list(answers.values()), num_returns=len(answers), timeout=WAIT)
    nodes = []
    for n in alive:
        has = n["Resources"]
        host, memory = n["NodeManagerHostname"], main_memory()
        if host != platform.node():
            memory = int(has.get("memory", 0) + has.get("object_store_memory", 0))
        cpus, gpus = float(has.get("CPU", 0.0)), float(has.get("GPU", 0.0))
        large = _answer(answers.get(n["NodeID"]))
        nodes.append(Node(host, cpus, gpus, memory, kind_of(has), large))
    return nodes + coming(nodes)


def device() -> str:
    """Return the device of trials that gain from a GPU.

    `cuda` where a node has one, or one may come.
    """
    alive = ray.cluster_resources().get("GPU", 0.0) > 0  # type: ignore[no-untyped-call]
    return "cuda" if alive or any(n.gpus for n in coming([])) else "cpu"


def drivers() -> int:
    """Return the number of other programs connected to this Ray."""
    from ray._private.state import jobs

    me = ray.get_runtime_context().get_job_id()
    listed = jobs()  # type: ignore[no-untyped-call]
    return sum(not j["IsDead"] and j["JobID"] != me for j in listed)


def kinds() -> set[str]:
    """Return Ray's names of the accelerators that are present now."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return {name.removeprefix(KIND) for name in resources if name.startswith(KIND)}


def call_on_gpu(act: Callable[..., Any], *given: Any) -> Any:
    """Call a function on a node that has a GPU.

    Raises:
        InputError: no GPU was free in time, or the node cannot run it.
    """
    future = ray.remote(act).options(num_cpus=0, num_gpus=A_GPU, max_retries=1).remote(*given)
    try:
        return ray.get(future, timeout=PATIENCE)
    except GetTimeoutError as e:
        ray.cancel(future, force=True)
        raise InputError(
            f"no GPU of the cluster was there within {PATIENCE / 60:.0f} min to measure what "
            "trials will take; try again, or give --gpus-per-trial 0"
        ) from e
    except RayError as e:
        raise InputError(f"a node with a GPU cannot run raysearch: {last_line(e)}") from e


def main_memory() -> int:
    """Return this machine's memory [bytes]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def device_memory() -> int:
    """Return the first visible GPU's memory; 0 without one [bytes]."""
    import torch

    if not torch.cuda.is_available():
        return 0
    return int(torch.cuda.get_device_properties(0).total_memory)


def on_node(node: str, act: Callable[..., Any], *given: Any, gpus: float = 0.0) -> Any:
    """Return the future of a call on the node of that id, which need not have room for it."""
    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(act).options(
        num_cpus=0, num_gpus=gpus, max_retries=1, scheduling_strategy=strategy
    )
    return task.remote(*given)


def last_line(error: BaseException) -> str:
    r"""Return the telling last line of one of Ray's long errors.

    >>> last_line(ValueError("a traceback\nKeyError: 'x'")), last_line(ValueError())
    ("KeyError: 'x'", 'ValueError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _answer(future: ray.ObjectRef[int] | None) -> int:
    if future is None:
        return 0
    try:
        return int(ray.get(future, timeout=0.1))
    except Exception:  # busy or broken: then a trial gets a whole GPU
        ray.cancel(future, force=True)
        return 0
