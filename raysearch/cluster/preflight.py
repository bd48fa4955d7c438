"""Check that every node reads and writes the study's storage, before its first trial.

Present nodes are checked before the study begins; one that joins later checks for the study's mark
when it opens its first trial.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ray
from tenacity import Retrying, retry_if_result, wait_fixed

from raysearch.cluster.autoscaler import away
from raysearch.cluster.nodes import last_line, on_node
from raysearch.errors import InputError, RaysearchError
from raysearch.storage import remote
from raysearch.storage.remote import Remote, StorageLost
from raysearch.version import __version__

PROBES, DRIVER = "probes", "driver"
"""Begins the name of a folder that goes again, and the driver's file in it."""
LATE = 60.0
"""How long a node that joins late may take to see the storage: its mount may still come [s]."""
WAIT = 120.0
"""How long a node may take to answer: its first process imports the package [s]."""
PATIENCE = 10.0
"""How long a probe waits for the storage before the first trial [s]."""
HINT = "; give --storage, a URI or a folder that all nodes mount"


class NodeMismatch(RaysearchError):
    """A node does not share the study's storage, or has another raysearch: the study must stop."""


@dataclass(frozen=True, slots=True)
class StorageProbe:
    """A file that the driver has written to the study's storage, for every node to find."""

    where: str
    token: str
    version: str
    hint: str = ""
    """What a person may do about a node that does not find it."""

    @property
    def folder(self) -> str:
        """Return the mark's own folder.

        An earlier driver of the run that ends removes only its own.
        """
        return f"{PROBES}-{self.token}"

    def fault(self, patience: float = PATIENCE) -> str:
        """Return why this machine cannot take part; empty where it can.

        Raises:
            RaysearchError: the storage cannot be used.
        """
        if self.version != __version__:
            return f"has raysearch {__version__}, the driver {self.version}"
        written = Remote(self.where, patience=patience).read(f"{self.folder}/{DRIVER}")
        if written != self.token.encode():
            return f"does not see what is written to '{self.where}'{self.hint}"
        return ""

    def check(
        self,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check once in a process that this machine can take part.

        Args:
            sleep: pauses between two looks at a mount that may still come [s].
            monotonic: the clock [s].

        Raises:
            NodeMismatch: it cannot.
            StorageLost: the storage has not answered for as long as trials wait for it.
        """
        if self.token in _CHECKED:
            return
        begun = monotonic()
        looks = Retrying(
            retry=retry_if_result(bool),
            wait=wait_fixed(1.0),
            stop=lambda state: monotonic() - begun >= LATE,
            sleep=sleep,
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        fault = looks(self._fault_now)
        if fault:
            raise NodeMismatch(f"node '{platform.node()}': {fault}")
        _CHECKED.add(self.token)

    def _fault_now(self) -> str:
        try:
            return self.fault(remote.PATIENCE)
        except StorageLost:
            raise
        except (RaysearchError, OSError) as e:
            return f"cannot use '{self.where}': {e}"


_CHECKED: set[str] = set()
"""Tokens of the marks that this process has found."""


@contextlib.contextmanager
def preflight(storage: str | None, out: Path) -> Iterator[StorageProbe]:
    """Check that all nodes share the study's storage; the mark stays while the study runs.

    The driver writes the mark. Where there are several nodes each reads it and writes a probe of
    its own, and the driver reads those: a folder that has one path and many disks is found out.

    Raises:
        InputError: names the first node that does not share it, or has another raysearch.
    """
    nodes = [n for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
    if storage is None and len(nodes) <= 1 and away():
        raise InputError(
            f"{out}: nodes that the cluster starts later do not see it; give --storage URI"
        )
    hint = HINT if storage is None else ""
    mark = StorageProbe(storage or str(out), uuid.uuid4().hex, __version__, hint)
    place = Remote(mark.where, patience=PATIENCE)
    if storage is None:  # there is one driver at a time: files of a killed one
        for old in out.glob(f"{PROBES}-*"):
            shutil.rmtree(old, ignore_errors=True)
    place.write(f"{mark.folder}/{DRIVER}", mark.token.encode())
    try:
        if storage is not None or len(nodes) > 1:
            _ask(nodes, mark, place)
        yield mark
    finally:
        with contextlib.suppress(RaysearchError):  # otherwise a few bytes are left on the storage
            place.drop(mark.folder, DRIVER)


def _ask(nodes: list[dict[str, str]], mark: StorageProbe, place: Remote) -> None:
    """Probe the nodes that are present."""
    futures = [on_node(n["NodeID"], probe, mark, n["NodeID"]) for n in nodes]
    ready, _ = ray.wait(futures, num_returns=len(futures), timeout=WAIT)
    for host, future in zip((n["NodeManagerHostname"] for n in nodes), futures, strict=True):
        if future not in ready:
            raise InputError(f"node '{host}': has not answered within {WAIT:g} s")
        if fault := _fault(future, place, mark):
            raise InputError(f"node '{host}': {fault}")


def _fault(future: ray.ObjectRef[Answer], place: Remote, mark: StorageProbe) -> str:
    """Return what is wrong with a probed node; empty where nothing is."""
    try:
        answer: Answer = ray.get(future)
    except Exception as e:  # the package is not there, or the process died
        return f"cannot run raysearch: {last_line(e)}"
    if answer.error:
        return answer.error
    if place.read(f"{mark.folder}/{answer.name}") != mark.token.encode():
        return f"what it writes to '{mark.where}' is not seen here{mark.hint}"
    return ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of a node's probe."""

    name: str
    """Of the file it wrote."""
    error: str = ""


def probe(mark: StorageProbe, name: str) -> Answer:
    """Look for the driver's mark and write this node's own; runs on a node."""
    try:
        if fault := mark.fault():
            return Answer(name, fault)
        Remote(mark.where, patience=PATIENCE).write(f"{mark.folder}/{name}", mark.token.encode())
    except (RaysearchError, OSError) as e:
        return Answer(name, f"cannot use '{mark.where}': {e}{mark.hint}")
    return Answer(name)
