"""Throughput of `raysearch predict` against the transformers pipeline with its defaults.

One exported folder, opened by both; the same real sentences; models loaded before the clock starts.
Ours reads a CSV and writes one, as the verb does. With mean pooling, fine-tuning's default, the
pipeline computes the folder's averaging layer too; `--pooling cls` keeps the layers equal. Medians
of some runs in turn:

    python benchmarks/bench_predict.py --data-dir DATA --models-dir MODELS [--rung minilm-6]
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import pipeline
from transformers.utils import logging as hf_logging

from raysearch.config.catalog import find_task
from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.data.tables_in import Reader
from raysearch.data.tables_out import writing
from raysearch.data.task_data import load_task
from raysearch.export.opening import open_model
from raysearch.export.point import export_point
from raysearch.export.predictor import Predictor
from raysearch.planning.planner import Planner
from raysearch.trial.run import TrialRun
from raysearch.workflow.label_table import label_rows, text_columns

ROWS = 2048


def exported(args: argparse.Namespace, home: Path) -> tuple[dict[str, Path], list[str]]:
    """Return folders of one fine-tuned point by format, and real sentences."""
    data = load_task(find_task(args.task), data_dir=args.data_dir)
    study = Study(name="bench", precision="fp32", labels=(128,))
    world = Planner(
        study, data, out=home / "run", data_dir=args.data_dir, models_dir=args.models_dir
    )
    hyper = {"epochs": 1, "min_steps": 8, "pooling": args.pooling}
    run = TrialRun(world.configure(Proposal("finetune", args.rung, 128, hyper)), world.place)
    while run.step(60.0):
        pass
    record = run.record()
    for fmt in ("hf", "onnx"):
        export_point(run, record, record.points[0], fmt, home / fmt, command="bench")
    rows = data.splits["test"]
    return {fmt: home / fmt for fmt in ("hf", "onnx")}, list(rows.text)[: args.texts]


def ours(predictor: Predictor, table: Path, out: Path) -> tuple[float, list[str]]:
    """Return (seconds, labels) of the verb's work once the model is open."""
    start = time.perf_counter()
    reader = Reader(str(table), ROWS)
    columns = text_columns(predictor, reader, None, None)
    added = {"prediction": str, **{f"p_{label}": float for label in predictor.labels}}
    with writing(str(out), reader, added, force=True) as write:
        for rows in reader:
            label_rows(predictor, rows, columns, list(added), reader.where)
            write(rows)
    seconds = time.perf_counter() - start
    with out.open(newline="") as f:
        return seconds, [row["prediction"] for row in csv.DictReader(f)]


def main() -> None:
    """Run all in turn, several times, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--task", default="sst2_sent")
    parser.add_argument("--rung", default="minilm-6")
    parser.add_argument("--pooling", default="mean")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        folders, texts = exported(args, home)
        table = home / "in.csv"
        with table.open("w", newline="") as f:
            csv.writer(f).writerows([["text"], *([t] for t in texts)])
        peer = pipeline("text-classification", str(folders["hf"]))
        mine = {fmt: open_model(folder) for fmt, folder in folders.items()}
        times: dict[str, list[float]] = {"pipeline": [], **{f"raysearch, {f}": [] for f in mine}}
        for run in range(args.runs):
            start = time.perf_counter()
            theirs = [found["label"] for found in peer(texts)]
            times["pipeline"].append(time.perf_counter() - start)
            for fmt, predictor in mine.items():
                seconds, answers = ours(predictor, table, home / "out.csv")
                times[f"raysearch, {fmt}"].append(seconds)
                same = float(np.mean([a == b for a, b in zip(answers, theirs, strict=True)]))
                assert same > 0.99, f"only {same:.1%} of the answers agree"
            print(f"run {run + 1}: {[round(t[-1], 2) for t in times.values()]} s", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}, {args.threads} threads, {torch.__version__}")
    median = {name: statistics.median(t) for name, t in times.items()}
    for name, seconds in median.items():
        print(
            f"{name}: {len(texts) / seconds:.0f} texts a second, "
            f"{median['pipeline'] / seconds:.2f}x the pipeline"
        )


if __name__ == "__main__":
    main()
