"""Before the first trial: every node writes to the study's storage and reads what others wrote."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from pathlib import Path

import ray

from raysearch import __version__
from raysearch.engine.remote import Remote
from raysearch.errors import InputError, RaysearchError
from raysearch.tune.launched import away
from raysearch.tune.machines import on_node

PROBES = "probes"
"""Begins the name of a folder that goes again."""
WAIT = 120.0
"""How long a node may take to answer: its first process imports the package [s]."""
PATIENCE = 10.0
"""How long a probe waits for the storage [s]."""


def preflight(storage: str | None, out: Path) -> None:
    """See that all nodes share the study's storage; nothing is asked where one node is all.

    The driver writes a probe, each node reads it and writes its own, the driver reads those: a
    folder that has one path and many disks is found out.

    Raises:
        InputError: names the first node that does not share it, or has another raysearch.
    """
    nodes = [n for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
    if storage is None and len(nodes) <= 1:
        if away():
            raise InputError(
                f"{out}: nodes that the cluster starts later do not see it; give --storage URI"
            )
        return
    where = str(out) if storage is None else storage
    hint = "; give --storage, a URI or a folder that all nodes mount" if storage is None else ""
    token, place = uuid.uuid4().hex, Remote(where, patience=PATIENCE)
    place.write(f"{PROBES}-{token}/driver", token.encode())
    try:
        asked = [on_node(n["NodeID"], probe, where, token, n["NodeID"]) for n in nodes]
        ready, _ = ray.wait(asked, num_returns=len(asked), timeout=WAIT)
        for host, future in zip((n["NodeManagerHostname"] for n in nodes), asked, strict=True):
            if future not in ready:
                raise InputError(f"node '{host}': has not answered within {WAIT:g} s")
            if fault := _fault(future, place, token):
                raise InputError(f"node '{host}': {fault}{hint}")
    finally:
        with contextlib.suppress(RaysearchError):  # else a few bytes stay behind
            place.drop(f"{PROBES}-{token}", "driver")


def _fault(future: ray.ObjectRef[Answer], place: Remote, token: str) -> str:
    """What is wrong with a node that has answered; empty where nothing is."""
    try:
        found: Answer = ray.get(future)
    except Exception as e:  # the package is not there, or the process died
        return f"cannot run raysearch: {(str(e).strip().splitlines() or [type(e).__name__])[-1]}"
    if found.error:
        return found.error
    if found.version != __version__:
        return f"has raysearch {found.version}, the driver {__version__}"
    if place.read(f"{PROBES}-{token}/{found.name}") != token.encode():
        return f"what it writes to '{place.where}' is not seen here"
    return ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node says."""

    name: str
    """Of the file it wrote."""
    version: str
    error: str = ""


def probe(where: str, token: str, name: str) -> Answer:
    """Read the driver's probe and write one's own; runs on a node."""
    place = Remote(where, patience=PATIENCE)
    try:
        if place.read(f"{PROBES}-{token}/driver") != token.encode():
            return Answer(name, __version__, f"does not see what is written to '{where}'")
        place.write(f"{PROBES}-{token}/{name}", token.encode())
    except (RaysearchError, OSError) as e:
        return Answer(name, __version__, f"cannot use '{where}': {e}")
    return Answer(name, __version__)
