"""What tables of n-grams have learnt, and what that costs a text, on real data.

    python benchmarks/bench_tables_learnt.py linear --task imdb --labels 3200 --data-dir DIR
    python benchmarks/bench_tables_learnt.py taught --task sst2_sent --labels 1000 --transfer 5000
        --data-dir DIR --models-dir DIR [--pool NAME]

linear: tables from labels against fastText-like supervised training on n-grams of the same length
(scikit-learn's hashing and a linear model): accuracy on test, training seconds, and texts a second
from text to label of both as exported. A table's accuracy is that of all its points; the fastest
that is at least as good as the linear model stands in the ratio.

taught: a teacher, tables that it has taught and tables from the same labels: accuracy on test and
its ratio, FLOPs a text. One draw of data and seed each (`--draws K` for more): a look, not a study.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch.config.catalog import find_task, method_spaces
from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.data.task_data import TaskData, load_task
from raysearch.export.opening import open_model
from raysearch.export.point import export_point
from raysearch.planning.planner import Planner
from raysearch.record import OperatingPoint
from raysearch.trial.run import TrialRun

PASSES = 5


def median(work: Callable[[], object]) -> float:
    """Return the median time, after one pass that warms up [s]."""
    work()
    took = []
    for _ in range(PASSES):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def first(method: str, **over: Any) -> dict[str, Any]:
    """Return the method's first knobs, some changed."""
    return {**method_spaces()[method].default_config, **over}


def trained(world: Planner, proposal: Proposal, draw: int) -> TrialRun:
    """Return a finished trial, scored on test in every point."""
    run = TrialRun(
        world.configure(proposal, data_seed=draw, init_seed=draw), world.place, "confirm"
    )
    while run.step(60.0):
        pass
    return run


def score(run: TrialRun, point: OperatingPoint) -> float:
    """Return the task's main score on test."""
    return float(point.scores["test"][run.setup.data.task.score])


def rate(run: TrialRun, point: OperatingPoint, fmt: str, texts: list[str]) -> float:
    """Return texts a second, text to label, of the point as exported."""
    with tempfile.TemporaryDirectory() as home:
        export_point(run, run.record(), point, fmt, Path(home) / "m", command="bench")
        predictor = open_model(Path(home) / "m")
        took = median(lambda: predictor.infer(predictor.prepare(texts, None)))
    return len(texts) / took


def linear(world: Planner, data: TaskData, given: argparse.Namespace) -> None:
    """Print both accuracies and rates."""
    texts = list(data.splits["test"].text[: given.texts])
    knobs = {"c": 10.0, "weighting": "tfidf", "ngrams": given.ngrams}
    theirs = trained(world, Proposal("ngram_linear", given.hash, given.labels, knobs), 0)
    bar = score(theirs, theirs.record().points[0])
    pace = rate(theirs, theirs.record().points[0], "native", texts)
    print(f"linear, {given.hash}, n to {given.ngrams}: {bar:.4f}, {pace:,.0f} texts/s", flush=True)
    for rung in given.tables:
        hyper = first("dan", vocabulary=given.vocabulary, ngrams=given.ngrams, epochs=given.epochs)
        start = time.perf_counter()
        run = trained(world, Proposal("dan", rung, given.labels, hyper), 0)
        seconds = time.perf_counter() - start
        points = run.record().points
        enough = [p for p in points if score(run, p) >= bar]
        chosen = min(enough or points[:1], key=lambda p: p.infer_flops or 0.0)
        fast = rate(run, chosen, "table", texts)
        print(
            f"{rung}: whole {score(run, points[0]):.4f} ({seconds:.0f} s with scoring); "
            f"{dict(chosen.knobs)} {score(run, chosen):.4f}"
            f"{'' if enough else ' (none is as good)'}, {fast:,.0f} texts/s, {fast / pace:.2f}x",
            flush=True,
        )


def taught(world: Planner, data: TaskData, given: argparse.Namespace) -> None:
    """Print accuracies and their ratios to the teacher's."""
    recipe = first("finetune", learning_rate=2e-4, min_steps=100)
    above = Proposal("finetune", given.teacher, given.labels, recipe)
    asked = {"ngrams": given.ngrams, "vocabulary": given.vocabulary, "transfer": given.transfer}
    lines: dict[str, Proposal] = {f"teacher {given.teacher}": above}
    for rung in given.tables:
        scratch = first("dan", ngrams=given.ngrams, vocabulary=given.scratch)
        lines[f"{rung} from labels"] = Proposal("dan", rung, given.labels, scratch)
        for tuning in (0, 3):
            hyper = first("sparse_distill", **asked, tuning=tuning, epochs=given.epochs)
            name = f"{rung} taught" + (" and tuned" if tuning else "")
            lines[name] = Proposal("sparse_distill", rung, given.labels, hyper, {"teacher": above})
    found: dict[str, list[Mapping[str, float]]] = {}
    for draw in range(given.draws):
        for name, proposal in lines.items():
            run = trained(world, proposal, draw)
            point = run.record().points[0]
            made = {"score": score(run, point), "flops": point.infer_flops or 0.0}
            found.setdefault(name, []).append(made)
    top = found[f"teacher {given.teacher}"]
    for name, several in found.items():
        here, flops = (np.mean([x[k] for x in several]) for k in ("score", "flops"))
        ratio = np.mean([x["score"] / t["score"] for x, t in zip(several, top, strict=True)])
        less = np.mean([t["flops"] for t in top]) / flops
        print(f"{name}: {here:.4f}, {100 * ratio:.1f} % of the teacher's, {less:,.0f}x less FLOPs")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["linear", "taught"])
    parser.add_argument("--task", default="sst2_sent")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--ngrams", type=int, default=3)
    parser.add_argument("--tables", nargs="+", default=["dan-1m"])
    parser.add_argument("--vocabulary", default="frequent")
    parser.add_argument("--scratch", default="hashed", help="Vocabulary of tables from labels.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hash", default="hash-18")
    parser.add_argument("--teacher", default="minilm-4")
    parser.add_argument("--transfer", type=int, default=5000)
    parser.add_argument("--pool")
    parser.add_argument("--pool-lines", action="store_true")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--texts", type=int, default=2000)
    given = parser.parse_args()
    data = load_task(find_task(given.task), data_dir=given.data_dir)
    models = (given.hash, *given.tables, *([given.teacher] if given.part == "taught" else []))
    study = Study(
        name="bench",
        precision="fp32",
        labels=(given.labels,),
        models=models,
        pool=given.pool,
        pool_lines=given.pool_lines,
    )
    print(f"{given.task}, {given.labels} labels, {torch.get_num_threads()} threads", flush=True)
    with tempfile.TemporaryDirectory() as home:
        folders = {"data_dir": given.data_dir, "models_dir": given.models_dir}
        world = Planner(study, data, out=Path(home), **folders)
        (linear if given.part == "linear" else taught)(world, data, given)


if __name__ == "__main__":
    main()
