"""What one trial costs beyond its own work: no-op trials through the whole study runner.

Two trials at once, records fsynced, Optuna's TPE over three objectives; beside it, in the same
run and on the same Ray, what stock Ray Tune takes for a class trainable with reused actors, its
OptunaSearch and its default loggers. Starting Ray itself is in neither figure.

    python benchmarks/bench_overhead.py [--trials 200] [--runs 3]
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FAKES = ROOT / "tests" / "tune"
sys.path[:0] = [str(ROOT), str(FAKES)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(FAKES)])  # for Ray's workers
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray  # noqa: E402 - workers inherit the environment set above
from fakes import KIT, FakeWorld, space  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.search.optuna import OptunaSearch  # noqa: E402

from raysearch.config.space import Domain  # noqa: E402
from raysearch.config.study import Study  # noqa: E402
from raysearch.tune.runner import run_study  # noqa: E402

SPACE = space(
    (32, 100, 320, 1000),
    lookup={"k": Domain("lograndint", low=1, high=5000)},
    finetune={
        "learning_rate": Domain("loguniform", low=1e-5, high=1e-2),
        "dropout": Domain("uniform", low=0.0, high=0.5),
    },
)
"""Two methods, three models, four label budgets, three knobs."""


def ours(trials: int, folder: Path) -> float:
    """Return the time of a study of no-op trials [s]."""
    study = Study(name="bench", task="fake", concurrency=2, trials=trials)
    start = time.perf_counter()
    outcome = run_study(study, FakeWorld(SPACE), folder, kit=KIT, score_test=False)
    seconds = time.perf_counter() - start
    assert outcome.by_status == {"DONE": trials}, outcome
    return seconds


class Noop(tune.Trainable):
    """The stock counterpart."""

    def setup(self, config: dict) -> None: ...  # noqa: D102

    def reset_config(self, new_config: dict) -> bool:  # noqa: D102
        return True

    def step(self) -> dict:  # noqa: D102
        return {"score": 0.5, "train_flops_full": 1.0, "infer_flops": 1.0, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None: ...  # noqa: D102

    def load_checkpoint(self, checkpoint: dict) -> None: ...  # noqa: D102


def stock(trials: int, folder: Path) -> float:
    """Return the time of the same number of trials in stock Ray Tune [s]."""
    names = ["score", "train_flops_full", "infer_flops"]
    tuner = tune.Tuner(
        Noop,
        param_space={"rate": tune.loguniform(1e-5, 1e-2), "k": tune.randint(1, 50)},
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(metric=names, mode=["max", "min", "min"]),
            num_samples=trials,
            max_concurrent_trials=2,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    start = time.perf_counter()
    tuner.fit()
    return time.perf_counter() - start


def main() -> None:
    """Run both in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    mine, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(args.runs):
            mine.append(1e3 * ours(args.trials, Path(folder) / f"ours{run}") / args.trials)
            theirs.append(1e3 * stock(args.trials, Path(folder) / f"stock{run}") / args.trials)
            print(f"run {run + 1}: raysearch {mine[-1]:.1f} ms/trial, stock {theirs[-1]:.1f}")
    ray.shutdown()
    a, b = statistics.median(mine), statistics.median(theirs)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"raysearch: {a:.1f} ms per no-op trial (median of {args.runs} runs, {args.trials} each)")
    print(f"stock Ray Tune: {b:.1f} ms per no-op trial; ratio {a / b:.2f}")


if __name__ == "__main__":
    main()
