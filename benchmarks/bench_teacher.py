"""What a shared teacher saves: 16 students of one teacher against 16 students of one each.

Both are crossings of the toy task on real Ray with two trials at once: the same students, and the
same recipe for every teacher. The teachers of the second study differ in nothing but an id (their
weight decay, by 1e-9 each), so that each is trained and answers the texts for its one student.
Starting Ray is in neither figure; texts are tokenised once for both.

    python benchmarks/bench_teacher.py [--students 16] [--runs 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from raysearch.config.catalog import find_task
from raysearch.config.study import Study
from raysearch.data.task_data import load_task
from raysearch.planning.planner import Planner
from raysearch.tune.runner import run_study
from raysearch.tune.session import ray_session

LABELS = 1000
TEACHER = {"epochs": 5}
STUDENT = {"epochs": 1, "transfer": 1000}


def study(students: int, *, shared: bool) -> Study:
    """Return a study of students that differ by their rate; one teacher for all, or one each."""
    lines = []
    for i in range(students):
        decay = 0.01 if shared else 0.01 + i * 1e-9
        teacher = {"method": "finetune", "hyper": {**TEACHER, "weight_decay": decay}}
        student = {**STUDENT, "learning_rate": 1e-4 * (1 + i / students)}
        lines.append({"method": "distill", "hyper": student, "teacher": teacher})
    return Study(
        name="bench",
        task="toy",
        searcher="grid",
        models=("toy-tiny", "toy-small"),
        labels=(LABELS,),
        methods=("finetune", "distill"),
        procedures=tuple(lines),
        precision="fp32",
        concurrency=2,
        trials=10_000,
    )


def seconds(students: int, folder: Path, *, shared: bool) -> float:
    """Return the wall-clock time of the whole study [s], and how many trials it took."""
    plan = study(students, shared=shared)
    world = Planner(plan, load_task(find_task("toy")), out=folder)
    start = time.perf_counter()
    outcome = run_study(plan, world, folder, score_test=False)
    took = time.perf_counter() - start
    wanted = students + (1 if shared else students)
    assert outcome.by_status == {"DONE": wanted}, outcome
    return took


def main() -> None:
    """Print medians, ratios and what the ratio would be without any overhead."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    ratios, one, each = [], [], []
    with tempfile.TemporaryDirectory() as home, ray_session(2, None):
        seconds(2, Path(home) / "warm", shared=True)
        for run in range(given.runs):
            a = seconds(given.students, Path(home) / f"{run}-one", shared=True)
            b = seconds(given.students, Path(home) / f"{run}-each", shared=False)
            one.append(a)
            each.append(b)
            ratios.append(b / a)
            print(f"run {run}: one teacher {a:.1f} s, one each {b:.1f} s, {b / a:.2f}x", flush=True)
    print(
        f"{given.students} students: one teacher {statistics.median(one):.1f} s, one each "
        f"{statistics.median(each):.1f} s; {statistics.median(ratios):.2f}x (median of "
        f"{given.runs})"
    )


if __name__ == "__main__":
    main()
