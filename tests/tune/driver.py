"""Runs a fake study in a process of its own, to be killed: driver.py OUT DIARY TRIALS SECONDS."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from raysearch.config.study import Study
from raysearch.tune.runner import run_study
from tests.tune.fakes import KIT, FakePlace, FakeWorld, space


def main() -> None:
    out, diary, trials, seconds = sys.argv[1:]
    place = FakePlace(diary=diary, seconds=float(seconds))
    study = Study(name="fake", task="fake", concurrency=2, trials=int(trials))
    outcome = run_study(
        study, FakeWorld(space(), place), Path(out), cpus=2, kit=KIT, save_every=0.3
    )
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
