"""Limit a study to a part of the cluster, where several run side by side.

Without a limit each would share out the whole of it, and the second would wait for the first one's
workers. The limit is in the environment, as OMP_NUM_THREADS is: it is set by the cluster, not by
the study.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from raysearch.cluster.resources import ResourcePlan

CPUS = "RAYSEARCH_CPUS"
"""CPUs that the trials of a study may use together."""
GPUS = "RAYSEARCH_GPUS"
"""Likewise GPUs; 0: the study has none."""


def environment(cpus: int, gpus: int = 0) -> dict[str, str]:
    """Return the environment variables that limit a study's process."""
    return {CPUS: str(cpus), GPUS: str(gpus)}


def limit_share(share: ResourcePlan, given: Mapping[str, str] = os.environ) -> ResourcePlan:
    """Return a study's share cut to its part of the cluster; without a limit as it is.

    Trials at once are as many as the GPUs allow of those that hold most.

    >>> plan = ResourcePlan(2, 8.0)
    >>> limit_share(plan, {"RAYSEARCH_CPUS": "3"}).cpus, limit_share(plan, {}).cpus
    (1.0, 8.0)
    >>> limit_share(ResourcePlan(4, 0.25), {"RAYSEARCH_CPUS": "3"}).cpus
    0.25
    >>> from raysearch.cluster.resources import ResourceRequest
    >>> whole = {("finetune", "bert"): ResourceRequest(2.0, 1.0)}
    >>> given = {"RAYSEARCH_CPUS": "2", "RAYSEARCH_GPUS": "2"}
    >>> own = limit_share(ResourcePlan(8, 1.0, whole), given)
    >>> own.concurrency, own.holds["finetune", "bert"]
    (2, ResourceRequest(cpus=1.0, gpus=1.0, kind=''))
    """
    if CPUS not in given:
        return share
    count = share.concurrency
    if share.gpus and GPUS in given:
        count = max(1, min(count, int(float(given[GPUS]) / share.gpus + 1e-9)))
    most = float(given[CPUS]) / count
    cpus = max(0.01, float(int(most)) if most >= 1 else int(100 * most) / 100)
    holds = {k: replace(h, cpus=min(h.cpus, cpus)) for k, h in share.holds.items()}
    return replace(share, concurrency=count, cpus=min(share.cpus, cpus), holds=holds)
