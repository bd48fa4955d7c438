"""Read the file of a cluster that `ray up` made: machines that its autoscaler may start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from raysearch.cluster.resources import Node

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where Ray's launcher leaves the cluster's file on its head."""
LOCAL = "local"
"""Its name for machines of one's own."""
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
"""Of one GPU by Ray's name of its kind, for nodes that are not up yet [bytes]."""


def cluster_file() -> dict[str, Any]:
    """Return the cluster's file; empty where this is no head that `ray up` made."""
    try:
        config = yaml.safe_load(BOOTSTRAP.expanduser().read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}


def provider(config: Mapping[str, Any]) -> str:
    """Return the provider of a cluster's machines; empty where its file names none."""
    section = config.get("provider")
    return str(section.get("type") or "") if isinstance(section, dict) else ""


def coming(alive: list[Node]) -> list[Node]:
    """Return the nodes that may still be started for this Ray; none where it is a local one."""
    import ray

    commands = cluster_file().get("head_start_ray_commands")
    if not isinstance(commands, list):
        return []
    port = ray.get_runtime_context().gcs_address.rpartition(":")[2]
    return pending_nodes(alive) if f"--port={port}" in " ".join(map(str, commands)) else []


def away() -> bool:
    """Return True if machines may come that share no disk with this one: a cloud's."""
    return provider(cluster_file()) not in ("", LOCAL) and bool(coming([]))


def pending_nodes(alive: list[Node]) -> list[Node]:
    """Return the nodes that the cluster's autoscaler may still start; none without one."""
    config = cluster_file()
    try:
        return _own(config, alive) if provider(config) == LOCAL else _of_types(config, alive)
    except (KeyError, TypeError, ValueError, AttributeError):
        return []  # a file that Ray's launcher did not write


def _own(config: Mapping[str, Any], alive: list[Node]) -> list[Node]:
    """Return on-premise machines, of unknown size: each as large as the largest that is up."""
    most = int(config.get("max_workers", len(config["provider"]["worker_ips"])))
    like = max(alive, key=lambda n: (n.gpus, n.cpus), default=Node("", 1))
    return [replace(like, host="worker, not started")] * (most - len(alive) + 1)


def _of_types(config: Mapping[str, Any], alive: list[Node]) -> list[Node]:
    head, room = config["head_node_type"], int(config.get("max_workers", 0))
    nodes = []
    for name, about in config["available_node_types"].items():
        has = about.get("resources") or {}
        cpus, gpus = float(has.get("CPU", 0)), float(has.get("GPU", 0))
        same = [n for n in alive if (n.cpus, n.gpus) == (cpus, gpus)]
        kind = kind_of(has)
        large = next((n.device_memory for n in same if n.device_memory), MEMORY.get(kind, 0))
        new = Node(f"{name}, not started", cpus, gpus, kind=kind, device_memory=large)
        more = min(int(about.get("max_workers", room)), room) - len(same)
        if name != head and (cpus or gpus):
            nodes += [new] * more
    return nodes[:room]


def kind_of(resources: Mapping[str, Any]) -> str:
    """Return Ray's name of a node's accelerator; empty without.

    >>> kind_of({"CPU": 8.0, "accelerator_type:A10G": 1.0})
    'A10G'
    """
    return next((k.removeprefix(KIND) for k in resources if k.startswith(KIND)), "")
