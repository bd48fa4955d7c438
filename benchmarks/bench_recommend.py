"""How long a recommendation over many points takes, beside reading their records.

    python benchmarks/bench_recommend.py --points 10000 --runs 5

Every point is scored on validation and test; the candidates have three confirming draws with
logits on 872 test rows. Prints medians of: reading the records, the estimates with their paired
bootstrap, and the answer with all its sentences for a first and for a further setting.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from raysearch.analysis import read_run
from raysearch.analysis.confirmation import confirmation
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.sentences import details, footer, headline, why
from raysearch.record import TrialRecord
from tests.support.synthetic import records, write_run


def scored(points: int) -> list[TrialRecord]:
    """Return records of that many points, and confirming draws.

    Every point is scored on test.
    """
    rng = np.random.default_rng(0)
    out = []
    for record in records(int(points * 1.1) + 10, confirm=3):
        if record.phase == "confirm":
            out.append(record)
            continue
        if record.status != "DONE" or len(out) >= points:
            continue
        share = [rng.binomial(872, p.scores["validation"]["accuracy"]) / 872 for p in record.points]
        judged = tuple(
            replace(
                p,
                scores={**p.scores, "test": {"accuracy": float(s)}},
                rows={**p.rows, "test": 872},
            )
            for p, s in zip(record.points, share, strict=True)
        )
        out.append(replace(record, points=judged))
    return out


def main() -> None:
    """Run the benchmark and print its medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    times: dict[str, list[float]] = {}

    def took(what: str, start: float) -> float:
        now = time.perf_counter()
        times.setdefault(what, []).append(now - start)
        return now

    with tempfile.TemporaryDirectory() as name:
        write_run(Path(name), scored(args.points))
        for _ in range(args.runs):
            begun = at = time.perf_counter()
            run = read_run(Path(name))
            at = took("read the records", at)
            made = confirmation(run)
            at = took("estimates, paired bootstrap", at)
            points = collect(run, made=made)
            found = answer(points)
            for part in (headline, details, why, footer):
                part(points, found)
            at = took("first answer", at)
            found = answer(points, labels=700, max_ms=4.0)
            for part in (headline, details, why, footer):
                part(points, found)
            took("further answer", at)
            took("all", begun)
    print(f"{len(points):,} points, {len(made.estimates)} confirmed; medians of {args.runs}")
    for what, seconds in times.items():
        print(f"  {what}: {statistics.median(seconds):.3f} s")


if __name__ == "__main__":
    main()
