"""A fake study on a Ray of several nodes: gpu_driver.py ADDRESS OUT DIARY TRIALS GPUS.

`finetune` gains from a GPU, `lookup` does not; GPUS is `auto` or --gpus-per-trial. Prints the
outcome, and the hours of the nodes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from raysearch.cluster.node_hours import read_hours
from raysearch.config.study import Study
from raysearch.costs.memory import MemoryEstimate
from raysearch.tune.runner import run_study
from tests.tune.fakes import KIT, SIZES, FakePlace, FakeWorld, space


def main() -> None:
    address, out, diary, trials, gpus = sys.argv[1:]
    needs = {
        (m, r): MemoryEstimate(m == "finetune", 2.0**30)
        for m in ("finetune", "lookup")
        for r in SIZES
    }
    world = FakeWorld(space(), FakePlace(diary=diary, seconds=2.0, device="cuda"), needs=needs)
    outcome = run_study(
        Study(name="fake", task="fake", trials=int(trials)),
        world,
        Path(out),
        kit=KIT,
        address=address,
        gpus_per_trial=None if gpus == "auto" else float(gpus),
        score_test=False,
    )
    hours = {id_: asdict(h) for id_, h in read_hours(Path(out)).items()}
    print(json.dumps({**asdict(outcome), "hours": hours}))


if __name__ == "__main__":
    main()
