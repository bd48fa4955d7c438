"""A Ray of several nodes on this machine until standard input ends: nodes.py FOLDER CPUS[:GPUS] ...

Each node keeps its copies below FOLDER, in a folder of its own. Prints the address.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    from ray.cluster_utils import Cluster

    folder, *cpus = sys.argv[1:]
    cluster = Cluster()
    for number, count in enumerate(cpus):
        cluster.add_node(
            num_cpus=int(count.partition(":")[0]),
            num_gpus=int(count.partition(":")[2] or 0),
            include_dashboard=False,
            env_vars={"RAYSEARCH_CACHE_DIR": str(Path(folder) / f"node-{number}")},
        )
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
