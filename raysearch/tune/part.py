"""The part of a cluster that one study may take, where several run side by side.

Each would else share out the whole of it, and the second would wait for the first one's workers.
It travels in the environment, as OMP_NUM_THREADS does: it is the cluster's word, not the study's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from raysearch.tune.placement import Share

CPUS = "RAYSEARCH_CPUS"
"""CPUs that the trials of a study may hold together."""


def environment(cpus: int) -> dict[str, str]:
    """What a study's process is to find there."""
    return {CPUS: str(cpus)}


def part_of(share: Share, given: Mapping[str, str] = os.environ) -> Share:
    """The share of a study that may take only a part of the cluster; else as it is.

    >>> part_of(Share(2, 8.0), {"RAYSEARCH_CPUS": "3"}).cpus, part_of(Share(2, 8.0), {}).cpus
    (1.0, 8.0)
    >>> part_of(Share(4, 0.25), {"RAYSEARCH_CPUS": "3"}).cpus
    0.25
    """
    if CPUS not in given:
        return share
    most = float(given[CPUS]) / share.concurrency
    cpus = float(int(most)) if most >= 1 else int(100 * most) / 100
    return replace(share, cpus=min(share.cpus, max(0.01, cpus)))
