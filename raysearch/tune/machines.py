"""The machines of the Ray cluster at hand, and those that its autoscaler would start."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysearch.tune.placement import Node

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where Ray's launcher leaves the cluster's file on its head."""
KIND = "accelerator_type:"
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
    return found + to_come(found)


def device() -> str:
    """What trials that gain from a GPU run on: `cuda` where a node has one, or one may come."""
    alive = ray.cluster_resources().get("GPU", 0.0) > 0  # type: ignore[no-untyped-call]
    return "cuda" if alive or any(n.gpus for n in to_come([])) else "cpu"


def there(act: Callable[..., Any], *given: Any) -> Any:
    """Call a function on a node that has a GPU, with the whole of it."""
    return ray.get(ray.remote(act).options(num_cpus=1, num_gpus=1).remote(*given))


def to_come(alive: list[Node]) -> list[Node]:
    """The nodes that the cluster's autoscaler may still start; none of a cluster without one."""
    try:
        config = yaml.safe_load(BOOTSTRAP.expanduser().read_text(encoding="utf-8"))
        head, room = config["head_node_type"], int(config.get("max_workers", 0))
        found = []
        for name, about in config["available_node_types"].items():
            has = about.get("resources") or {}
            cpus, gpus = float(has.get("CPU", 0)), float(has.get("GPU", 0))
            there = sum((n.cpus, n.gpus) == (cpus, gpus) for n in alive)
            many = min(int(about.get("max_workers", room)), room) - there
            if name != head and (cpus or gpus):
                found += [Node(f"{name}, not started", cpus, gpus, kind=kind_of(has))] * many
        return found[:room]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        return []  # no cluster of Ray's launcher


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
