"""Shared by the checks of a cluster file: its texts, its kinds of nodes, how a value is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raysearch.errors import nearest

Config = Mapping[str, Any]

_STORAGE = re.compile(r"\bRAYSEARCH_STORAGE=['\"]?([^\s;'\"&|]*)")


def workers(config: Config) -> int:
    """Return the most workers that the cluster may have."""
    given = config.get("max_workers")
    if config["provider"]["type"] == "local":
        addresses = len(config["provider"].get("worker_ips") or ())
        return addresses if given is None else min(int(given), addresses)
    return 2 if given is None else int(given)  # 2: Ray's default


def storages(config: Config) -> list[tuple[str, str]]:
    """Return where RAYSEARCH_STORAGE is set, and to what."""
    return [(w, m[1]) for w, t in texts(config) for m in _STORAGE.finditer(t)]


def kinds(config: Config) -> Mapping[str, Config]:
    """Return the kinds of nodes by name; none for on-premise machines."""
    return config.get("available_node_types") or {}


def instance(node: Config) -> str:
    """Return the instance type of a kind of node; empty where none is named."""
    return str((node.get("node_config") or {}).get("InstanceType") or "")


def texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in the file with the keys that lead to it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from texts(inner, f"{where}[{i}]")
    elif isinstance(value, str):
        yield where, value


def guess(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Return a hint at the nearest known name, with a space before it.

    Empty when nothing is near.
    """
    hint = nearest(name, known)
    return f" Did you mean '{hint}'?" if hint else ""


def short(value: Any) -> str:
    """Return a value for a sentence: one line, not long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
