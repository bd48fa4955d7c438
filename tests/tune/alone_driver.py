"""A run is timed on the machine of a cluster that has GPUs: alone_driver.py ADDRESS RUN.

Ray only believes in the GPUs, so the run must be one of n-gram models, that use none. Prints what
was said and what the cluster had left meanwhile, and after.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import ray

from raysearch.analysis import RunReader
from raysearch.cluster.nodes import machines
from raysearch.errors import InputError, RaysearchError
from raysearch.tune.dedicated_node import DedicatedNode, largest
from raysearch.tune.session import ray_session
from raysearch.workflow.measure import bench, measure_run
from raysearch.workflow.options import DEFAULT_OPTIONS
from raysearch.workflow.prepare import prepare


def gpus() -> float:
    return float(ray.available_resources().get("GPU", 0.0))


def broken() -> None:
    raise RaysearchError("why it broke")


def main() -> None:
    address, run = sys.argv[1], Path(sys.argv[2])
    prepared = prepare({**DEFAULT_OPTIONS, "out": run})
    prepared.world.place = replace(prepared.world.place, device="cuda")
    said: list[str] = []
    with ray_session(None, address):
        with bench(prepared, run, None, None) as machine:
            done = measure_run(RunReader(run), said.append, nullcontext(machine), again=True)
            time.sleep(1.0)  # Ray's count comes by the heartbeat
            during = gpus()
        end = time.monotonic() + 30
        while gpus() < 2 and time.monotonic() < end:
            time.sleep(0.2)
        after = gpus()
        hold = largest(machines())
        assert hold is not None
        with DedicatedNode(hold) as one:
            try:
                one.call(broken)
            except RaysearchError as e:
                said.append(str(e))
            try:
                with DedicatedNode(hold, patience=2.0):
                    said.append("held twice")
            except InputError as e:
                said.append(str(e))
    print(
        json.dumps({"said": said, "during": during, "after": after, "host": machine.host, **done})
    )


if __name__ == "__main__":
    main()
