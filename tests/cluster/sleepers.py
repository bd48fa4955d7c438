"""A study of trials that only sleep, on a running cluster: sleepers.py OUT WORKERS TRIALS SECONDS.

Prints one JSON object: seconds between the first and the last end of a trial, and trials per host.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from raysearch.config.study import Study
from raysearch.record import TrialRecord
from raysearch.run.records import read_records
from raysearch.search.backend import TrialBackend
from raysearch.tune.runner import run_study
from tests.tune.fakes import FakePlace, FakeTrial, FakeWorld, failed, score, space


class Sleeper(FakeTrial):
    """Sleeps for `place.seconds`, a second a step, and says where."""

    def step(self, seconds: float = 1.0) -> bool:
        """Sleep on."""
        left = self.place.seconds - self.steps
        time.sleep(max(0.0, min(1.0, left)))
        self.steps += 1
        return left > 1.0

    def record(self) -> TrialRecord:
        """The fake's record with host and time."""
        made = {"device": "cpu", "host": platform.node(), "ended": time.time()}
        return replace(super().record(), made_by=made)


KIT = TrialBackend(Sleeper, failed, score)


def main() -> None:
    """Run the study and say what it came to."""
    out, workers, trials, seconds = sys.argv[1:]
    study = Study(name="sleep", task="fake", concurrency=int(workers), trials=int(trials))
    world = FakeWorld(space(), FakePlace(seconds=float(seconds)))
    begun = datetime.now().timestamp()
    outcome = run_study(
        study, world, Path(out), address="auto", kit=KIT, score_test=False, save_every=60.0
    )
    made = [r.made_by for r in read_records(Path(out) / "records.jsonl").trials]
    ends = sorted(float(m["ended"]) for m in made)
    result = {
        "by_status": dict(outcome.by_status),
        "first": ends[0] - begun,
        "between": ends[-1] - ends[0],
        "hosts": Counter(str(m["host"]) for m in made),
    }
    print("SLEPT", json.dumps(result), flush=True)
    os._exit(0)  # Ray's farewell takes seconds


if __name__ == "__main__":
    main()
