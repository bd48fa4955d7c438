"""Resources of a trial: CPUs, and a GPU or a part of one, by its predicted need.

Pure arithmetic over the nodes of a cluster; no Ray here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from raysearch.config.trial import TrialConfig
from raysearch.costs.memory import MemoryEstimate
from raysearch.errors import InputError

MEMORY_PER_TRIAL = 3 * 2**30
"""What one trial on the CPU is taken to need at most when concurrency is fitted [bytes]."""
MOST = 8
"""Trials at once on the CPUs of one node."""
PARTS = (0.25, 0.5, 1.0)
"""Of a GPU that trials may share."""
ROOM = 0.9
"""Of a GPU's memory that trials may fill together: the rest is fragments."""
GPU_CPUS = 2.0
"""CPUs of a trial on a GPU at most: it reads batches, no more."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, up now or one that its autoscaler would start."""

    host: str
    cpus: float
    gpus: float = 0.0
    memory: int = 2**62
    """[bytes]"""
    kind: str = ""
    """Ray's name of its accelerator, as A10G."""
    device_memory: int = 0
    """Of one GPU; 0: not known, so nothing shares it [bytes]."""


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """Resources of one running trial."""

    cpus: float
    gpus: float = 0.0
    kind: str = ""
    """Accelerator it must lie on; empty: any."""

    @property
    def threads(self) -> int:
        """Return the threads of the trial."""
        return max(1, int(self.cpus))

    @property
    def resources(self) -> dict[str, float]:
        """Return the resources under Ray's names."""
        named = {"CPU": self.cpus, "GPU": self.gpus}
        if self.kind:
            named[f"accelerator_type:{self.kind}"] = 0.001
        return {k: v for k, v in named.items() if v}


@dataclass(frozen=True, slots=True)
class ResourcePlan:
    """Layout of a study's trials on a cluster."""

    concurrency: int
    """Trials at once."""
    cpus: float
    """Of a trial without a GPU."""
    holds: Mapping[tuple[str, str], ResourceRequest] = field(default_factory=dict)
    """By method and model, where it is not just CPUs."""
    best: str = ""
    """Accelerator with most memory, where there are several kinds."""

    @property
    def threads(self) -> int:
        """Return the threads of a trial without a GPU.

        Threads times trials never exceeds the cores.
        """
        return max(1, int(self.cpus))

    @property
    def gpus(self) -> float:
        """Return the most GPUs that a trial holds."""
        return max((h.gpus for h in self.holds.values()), default=0.0)

    def of(self, config: TrialConfig, *, kind: str = "") -> ResourceRequest:
        """Return what a trial holds; `kind` is the accelerator it needs, where it needs one."""
        hold = self.holds.get((config.method, config.rung), ResourceRequest(self.cpus))
        return ResourceRequest(hold.cpus, hold.gpus, kind) if hold.gpus and kind else hold


def share(
    nodes: Sequence[Node],
    demands: Mapping[tuple[str, str], MemoryEstimate],
    wanted: int | None = None,
    gpus_per_trial: float | None = None,
) -> ResourcePlan:
    """Fit trials at once, and what each holds, to the nodes.

    Without GPUs every trial has the same CPUs. With them a trial that gains from one has the
    smallest part whose memory holds it, a whole one where none does or nothing is known (memory is
    predicted for the largest batch); the others run on CPUs.

    Args:
        nodes: of the cluster.
        demands: what trials need, by method and model.
        wanted: trials at once; None: as many as fit.
        gpus_per_trial: GPUs of a trial that gains from one, instead of a part that fits.

    Raises:
        InputError: no node can ever hold what is asked; it says what one can.
    """
    with_gpus = [n for n in nodes if n.gpus > 0]
    if gpus_per_trial is not None and gpus_per_trial > 0:
        largest = max((n.gpus for n in nodes), default=0.0)
        if gpus_per_trial > largest:
            has = f"the largest node has {largest:g}" if largest else "no node has a GPU"
            raise InputError(f"--gpus-per-trial: {gpus_per_trial:g} can never be held: {has}")
        with_gpus = [n for n in with_gpus if n.gpus >= gpus_per_trial]
    if gpus_per_trial == 0:
        with_gpus = []
    gain = {key: d for key, d in demands.items() if d.gpu} if with_gpus else {}
    if with_gpus and not demands:
        gain = {("", ""): MemoryEstimate(True, 0.0)}  # no memory estimate
    if not gain:
        count = wanted or sum(slots(n) for n in nodes) or 1
        return ResourcePlan(count, _even(nodes, count))
    holds = {key: _hold(d, with_gpus, gpus_per_trial) for key, d in gain.items()}
    least = min(h.gpus for h in holds.values())
    count = sum(int(n.gpus / least + 1e-9) for n in with_gpus)
    if len(gain) < len(demands):  # trials without a GPU run beside the others
        count += sum(min(MOST, max(0, int(n.cpus - n.gpus))) for n in nodes)
    kinds = {n.kind: n.device_memory for n in with_gpus if n.kind}
    best = max(kinds, key=lambda k: kinds[k]) if len(kinds) > 1 else ""
    return ResourcePlan(wanted or count, 1.0, holds, best)


def _hold(demand: MemoryEstimate, nodes: Sequence[Node], gpus: float | None) -> ResourceRequest:
    """Return what a trial that gains from a GPU holds on any of these nodes.

    Raises:
        InputError: not even its weights fit a GPU.
    """
    if gpus is None:
        known = [n.device_memory for n in nodes if n.device_memory]
        if len(known) == len(nodes) and demand.least > max(known):
            raise InputError(
                f"{demand.name or 'a trial'}: needs {demand.least / 2**30:.1f} GiB of a GPU or "
                f"more, the largest has {max(known) / 2**30:.1f}; leave it out (--models, "
                "--methods) or train without GPUs (--gpus-per-trial 0)"
            )
        fits = [m for m in known if demand.memory <= ROOM * m]
        whole = len(known) < len(nodes) or not fits
        gpus = 1.0 if whole else next(p for p in PARTS if demand.memory <= p * ROOM * min(fits))
    roomy = [n for n in nodes if not n.device_memory or demand.memory <= ROOM * n.device_memory]
    cpus = min(GPU_CPUS, min(n.cpus / n.gpus for n in roomy or nodes) * gpus)
    return ResourceRequest(_rounded(cpus), gpus)


def slots(node: Node) -> int:
    """Return how many trials the CPUs of a node run at once.

    >>> slots(Node("a", 2)), slots(Node("b", 64)), slots(Node("c", 4, memory=7 * 2**30))
    (2, 8, 2)
    """
    return max(1, int(min(node.cpus, node.memory // MEMORY_PER_TRIAL, MOST))) if node.cpus else 0


def _even(nodes: Iterable[Node], count: int) -> float:
    """Return the largest equal part of CPUs of which `many` fit.

    Raises:
        InputError: not so many fit.
    """
    cpus = [n.cpus for n in nodes if n.cpus] or [1.0]
    # the largest equal part fills some node exactly
    parts = {_rounded(c / k) for c in cpus for k in range(1, count + 1)}
    fitting = [p for p in parts if p > 0 and sum(int(c / p + 1e-9) for c in cpus) >= count]
    if not fitting:
        raise InputError(f"concurrency: {count} trials at once do not fit {sum(cpus):g} CPUs")
    return max(fitting)


def _rounded(cpus: float) -> float:
    """Round down to what Ray can assign: whole CPUs, or hundredths of one."""
    return float(int(cpus)) if cpus >= 1 else int(cpus * 100 + 1e-9) / 100
