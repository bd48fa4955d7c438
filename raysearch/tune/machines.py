"""The machines of the Ray cluster at hand, and those that its autoscaler would start."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysearch.errors import InputError
from raysearch.tune.placement import Node

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where Ray's launcher leaves the cluster's file on its head."""
LOCAL = "local"
"""Ray's launcher's name for machines of one's own."""
KIND = "accelerator_type:"
"""Begins Ray's resource of that name."""
MEMORY = {
    "T4": 15 * 2**30,
    "V100": 16 * 2**30,
    "A10G": 22 * 2**30,
    "L4": 22 * 2**30,
    "A100": 40 * 2**30,
    "L40S": 44 * 2**30,
    "A100-80G": 79 * 2**30,
    "H100": 79 * 2**30,
    "H200": 140 * 2**30,
}
"""Of one GPU by Ray's name of its kind, for nodes that are not there to be asked [bytes]."""
PATIENCE = 900.0
"""How long a GPU is waited for before anything is planned: a machine may have to start [s]."""
WAIT = 60.0
"""How long a node may take to say how large its GPUs are [s]."""


def machines() -> list[Node]:
    """The nodes of the cluster, the largest of what may still come included."""
    alive = [n for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
    asked = {n["NodeID"]: _ask(n["NodeID"]) for n in alive if n["Resources"].get("GPU", 0) > 0}
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=WAIT)
    found = []
    for n in alive:
        has = n["Resources"]
        here = n["NodeManagerHostname"] == platform.node()
        found.append(
            Node(
                n["NodeManagerHostname"],
                float(has.get("CPU", 0.0)),
                float(has.get("GPU", 0.0)),
                main_memory()
                if here
                else int(has.get("memory", 0) + has.get("object_store_memory", 0)),
                kind_of(has),
                _answer(asked.get(n["NodeID"])),
                n["NodeID"],
            )
        )
    return found + coming(found)


def device() -> str:
    """What trials that gain from a GPU run on: `cuda` where a node has one, or one may come."""
    alive = ray.cluster_resources().get("GPU", 0.0) > 0  # type: ignore[no-untyped-call]
    return "cuda" if alive or any(n.gpus for n in coming([])) else "cpu"


def drivers() -> int:
    """Programs that work on the Ray at hand, beside this one."""
    from ray._private.state import jobs

    me = ray.get_runtime_context().get_job_id()
    every = jobs()  # type: ignore[no-untyped-call]
    return sum(not j["IsDead"] and j["JobID"] != me for j in every)


def kinds() -> set[str]:
    """Ray's names of the accelerators that are there now."""
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return {name.removeprefix(KIND) for name in there if name.startswith(KIND)}


def coming(alive: list[Node]) -> list[Node]:
    """The nodes that may still be started for the Ray at hand; none where it is one of our own."""
    try:
        config = yaml.safe_load(BOOTSTRAP.expanduser().read_text(encoding="utf-8"))
        commands = " ".join(config["head_start_ray_commands"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return []
    port = ray.get_runtime_context().gcs_address.rpartition(":")[2]
    return to_come(alive) if f"--port={port}" in commands else []


def there(act: Callable[..., Any], *given: Any) -> Any:
    """Call a function on a node that has a GPU.

    Raises:
        InputError: no GPU was free in time, or the node cannot run it.
    """
    asked = ray.remote(act).options(num_cpus=0, num_gpus=0.01, max_retries=1).remote(*given)
    try:
        return ray.get(asked, timeout=PATIENCE)
    except GetTimeoutError as e:
        ray.cancel(asked, force=True)
        raise InputError(
            f"no GPU of the cluster was there within {PATIENCE / 60:.0f} min to measure what "
            "trials will take; try again, or give --gpus-per-trial 0"
        ) from e
    except RayError as e:
        first = (str(e).strip().splitlines() or [type(e).__name__])[-1]
        raise InputError(f"a node with a GPU cannot run raysearch: {first}") from e


def to_come(alive: list[Node]) -> list[Node]:
    """The nodes that the cluster's autoscaler may still start; none of a cluster without one."""
    try:
        config = yaml.safe_load(BOOTSTRAP.expanduser().read_text(encoding="utf-8"))
        if (config.get("provider") or {}).get(
            "type"
        ) == LOCAL:  # nobody has said what its machines have
            rest = int(config.get("max_workers", len(config["provider"]["worker_ips"])))
            like = max(alive, key=lambda n: (n.gpus, n.cpus), default=Node("", 1))
            rest -= len(alive) - 1
            return [replace(like, host="worker, not started", id="")] * rest
        head, room = config["head_node_type"], int(config.get("max_workers", 0))
        found = []
        for name, about in config["available_node_types"].items():
            has = about.get("resources") or {}
            cpus, gpus = float(has.get("CPU", 0)), float(has.get("GPU", 0))
            same = [n for n in alive if (n.cpus, n.gpus) == (cpus, gpus)]
            kind = kind_of(has)
            large = next((n.device_memory for n in same if n.device_memory), MEMORY.get(kind, 0))
            new = Node(f"{name}, not started", cpus, gpus, kind=kind, device_memory=large)
            many = min(int(about.get("max_workers", room)), room) - len(same)
            if name != head and (cpus or gpus):
                found += [new] * many
        return found[:room]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        return []  # no cluster of Ray's launcher


def away() -> bool:
    """Whether machines may come that share no disk with this one: a cloud's."""
    try:
        config = yaml.safe_load(BOOTSTRAP.expanduser().read_text(encoding="utf-8"))
        return config["provider"]["type"] != LOCAL and bool(coming([]))
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return False


def kind_of(resources: Mapping[str, Any]) -> str:
    """Ray's name of a node's accelerator; empty without.

    >>> kind_of({"CPU": 8.0, "accelerator_type:A10G": 1.0})
    'A10G'
    """
    return next((k.removeprefix(KIND) for k in resources if k.startswith(KIND)), "")


def main_memory() -> int:
    """This machine's [bytes]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def device_memory() -> int:
    """Of the first GPU that this process sees; 0 without one [bytes]."""
    import torch

    if not torch.cuda.is_available():
        return 0
    return int(torch.cuda.get_device_properties(0).total_memory)


def _ask(node: str) -> ray.ObjectRef[int]:
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(device_memory).options(
        num_cpus=0, num_gpus=0.01, max_retries=0, scheduling_strategy=there
    )
    asked: ray.ObjectRef[int] = task.remote()
    return asked


def _answer(future: ray.ObjectRef[int] | None) -> int:
    if future is None:
        return 0
    try:
        return int(ray.get(future, timeout=0.1))
    except Exception:  # busy or broken: a whole GPU then, which needs no knowledge
        ray.cancel(future, force=True)
        return 0
