"""How long a frontier and its hypervolume take for 100,000 points, from parquet.

Goal: at most 0.5 s of wall clock (median of 7, warm page cache, imports not counted) for reading
the table, the frontier over three objectives and the hypervolume, for points at random (small
frontier) and on a simplex (every point a member). The peer is the plain numpy loop that compares
each point with all, timed on a subset in the same run and scaled by n squared; it finds the
frontier only. The machine's load and our CPU seconds stand beside, as a shared machine slows both.

Run: python benchmarks/bench_frontier.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from raysearch.analysis.frontier import frontier
from raysearch.analysis.pareto import hypervolume, nondominated
from raysearch.analysis.table import columns, read_parquet, to_table, write_parquet

NAMES = ("score", "train_flops_full", "infer_flops")
GOAL_S = 0.5


def table_of(points: np.ndarray) -> pd.DataFrame:
    """Lay (n, 3) values in [0, 1] out as a table of DONE points, larger values better."""
    n = len(points)
    empty = to_table([])
    costs = 10 ** (16 - 6 * points[:, 1:])
    values = {
        "id": [f"{i:016x}" for i in range(n)],
        "point_id": [f"{i * 2654435761 % 2**64:016x}" for i in range(n)],
        "task": "sst2",
        "method": "finetune",
        "model": "bert_tiny",
        "phase": "search",
        "status": "DONE",
        "point": "{}",
        "hyper": '{"batch":16,"epochs":3,"lr":0.0001}',
        "labels_train": 1000,
        "validation_rows": 256,
        "score_validation": points[:, 0],
        "score": points[:, 0],
        "train_flops": costs[:, 0],
        "train_flops_full": costs[:, 0],
        "infer_flops": costs[:, 1],
        "inherited": "{}",
    }
    return pd.DataFrame(values, index=range(n)).reindex(columns=columns()).astype(empty.dtypes)


def analyse(path: Path) -> tuple[int, float]:
    """Read a table from disk; return its frontier and the frontier's hypervolume. This is timed."""
    front = frontier(read_parquet(path), NAMES)
    members = front.members[list(NAMES)].to_numpy(dtype=np.float64)
    larger = np.column_stack([members[:, 0], -np.log10(members[:, 1:])])
    return len(members), hypervolume(larger, [0.0, -16.0, -16.0])


def naive(points: np.ndarray) -> np.ndarray:
    """Compare each point with all, O(d n^2): the baseline."""
    out = np.ones(len(points), dtype=bool)
    for i, p in enumerate(points):
        out[i] = not ((points >= p).all(axis=1) & (points > p).any(axis=1)).any()
    return out


def timed(run: Callable[[], object], times: int) -> tuple[float, float]:
    """Return median wall-clock and CPU seconds of `times` runs after one warm-up."""
    run()
    took, busy = [], []
    for _ in range(times):
        start, cpu = time.perf_counter(), time.process_time()
        run()
        took.append(time.perf_counter() - start)
        busy.append(time.process_time() - cpu)
    return statistics.median(took), statistics.median(busy)


def main() -> None:
    """Time both shapes of cloud and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--subset", type=int, default=4_000, help="points the naive peer gets")
    parser.add_argument("--times", type=int, default=7)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    clouds = {
        "random": rng.random((args.points, 3)),
        "simplex": rng.dirichlet((1.0, 1.0, 1.0), args.points),
    }
    for name, points in clouds.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "points.parquet"
            write_parquet(table_of(points), path)
            members, volume = analyse(path)
            whole, cpu = timed(lambda p=path: analyse(p), args.times)  # type: ignore[misc]
        part = points[: args.subset]
        assert (naive(part) == nondominated(part)).all()
        peer = timed(lambda x=part: naive(x), 1)[0] * (args.points / args.subset) ** 2  # type: ignore[misc]
        print(
            json.dumps(
                {
                    "cloud": name,
                    "points": args.points,
                    "members": members,
                    "hypervolume": round(volume, 6),
                    "seconds": round(whole, 3),
                    "cpu_seconds": round(cpu, 3),
                    "load": round(os.getloadavg()[0], 1),
                    "goal_s": GOAL_S,
                    "met": whole <= GOAL_S,
                    "naive_seconds_scaled": round(peer, 1),
                    "times_faster_than_naive": round(peer / whole),
                }
            )
        )


if __name__ == "__main__":
    main()
