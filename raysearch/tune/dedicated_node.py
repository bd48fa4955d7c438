"""Reserve a whole machine of the cluster, to time models on it with no trial beside them."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from raysearch.cluster.nodes import PATIENCE, last_line
from raysearch.cluster.quota import CPUS, GPUS
from raysearch.cluster.resources import Node, ResourceRequest
from raysearch.errors import InputError, RaysearchError


def largest(nodes: Sequence[Node], given: Mapping[str, str] = os.environ) -> ResourceRequest | None:
    """Return all GPUs and CPUs of the machine whose GPU has most memory; None without any GPU.

    A study that may take only a part of the cluster takes no more of it, but a whole GPU.

    >>> largest([Node("a", 8.0), Node("b", 4.0, gpus=2.0, kind="T4")], {})
    ResourceRequest(cpus=4.0, gpus=2.0, kind='T4')
    >>> largest([Node("b", 4.0, gpus=2.0)], {"RAYSEARCH_CPUS": "1", "RAYSEARCH_GPUS": "1"})
    ResourceRequest(cpus=1.0, gpus=1.0, kind='')
    """
    with_gpus = [n for n in nodes if n.gpus]
    best = max(with_gpus, key=lambda n: (n.device_memory, n.gpus), default=None)
    if best is None:
        return None
    most = {name: max(1.0, float(given.get(name, "inf"))) for name in (CPUS, GPUS)}
    return ResourceRequest(min(best.cpus, most[CPUS]), min(best.gpus, most[GPUS]), best.kind)


class DedicatedNode:
    """The machine that `largest` chooses, reserved from `with` to its end.

    Raises:
        InputError: it was not free in time, or cannot run raysearch.
    """

    def __init__(self, hold: ResourceRequest, *, patience: float = PATIENCE) -> None:
        self.hold = hold
        self._patience = patience
        self.host = ""
        """Its name, once it is held."""

    def __enter__(self) -> DedicatedNode:
        wanted = dict(self.hold.resources)
        cpus, gpus = wanted.pop("CPU", 0.0), wanted.pop("GPU", 0.0)
        made: Any = ray.remote(_Worker).options(num_cpus=cpus, num_gpus=gpus, resources=wanted)
        self._worker = made.remote()
        try:
            self.host = ray.get(self._worker.call.remote(platform.node), timeout=self._patience)
        except BaseException as e:
            self.__exit__()
            if not isinstance(e, RayError):  # Ctrl-C
                raise
            if not isinstance(e, GetTimeoutError):
                raise InputError(f"the machine cannot run raysearch: {last_line(e)}") from e
            raise InputError(
                f"no machine with {gpus:g} GPUs and {cpus:g} CPUs of the cluster was all free "
                f"within {self._patience / 60:.0f} min"
            ) from e
        return self

    def __exit__(self, *error: object) -> None:
        ray.kill(self._worker)

    def call(self, act: Callable[..., Any], *given: Any) -> Any:
        """Call a function on the machine and return its result.

        Raises:
            RaysearchError: the function's own, or the machine was lost.
        """
        try:
            return ray.get(self._worker.call.remote(act, *given))
        except ray.exceptions.RayTaskError as e:
            if isinstance(e.cause, RaysearchError):
                raise e.cause from e
            raise RaysearchError(f"'{self.host}': {last_line(e)}") from e
        except RayError as e:
            raise RaysearchError(f"'{self.host}' was lost: {last_line(e)}") from e


class _Worker:
    def call(self, act: Callable[..., Any], *given: Any) -> Any:
        return act(*given)
