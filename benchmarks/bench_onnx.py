"""Latency of one text: the ONNX export (float32 and int8) against torch eager, same trained point.

A minilm point is fine-tuned for a few steps, exported, and asked one real sentence at a time, in
turn in one process; tokenisation is timed apart. Medians. Needs real data and a checkpoint:

    python benchmarks/bench_onnx.py --data-dir DATA --models-dir MODELS [--rung minilm-6]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from raysearch.config.catalog import find_task
from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.data.task_data import load_task
from raysearch.export.opening import open_model
from raysearch.export.point import export_point
from raysearch.export.predictor import Predictor
from raysearch.planning.planner import Planner
from raysearch.trial.run import TrialRun

WARM = 20


def exports(args: argparse.Namespace, home: Path) -> tuple[dict[str, Predictor], list[str]]:
    """Return the same point in torch and in onnxruntime, and real sentences."""
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
    out = {}
    for name, fmt, int8 in (
        ("torch eager", "hf", False),
        ("onnx", "onnx", False),
        ("onnx int8", "onnx", True),
    ):
        folder = home / name.replace(" ", "-")
        export_point(run, record, record.points[0], fmt, folder, command="bench", int8=int8)
        out[name] = open_model(folder)
    rng = np.random.default_rng(0)
    rows = data.splits["test"]
    return out, [rows.text[i] for i in rng.permutation(len(rows))[: args.texts]]


def main() -> None:
    """Run each text in each runtime in turn, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--task", default="sst2_sent")
    parser.add_argument("--rung", default="minilm-6")
    parser.add_argument("--pooling", default="mean")
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    with tempfile.TemporaryDirectory() as home:
        runtimes, texts = exports(args, Path(home))
    times: dict[str, list[float]] = {f"{n}{s}": [] for n in runtimes for s in ("", ", tokenising")}
    for i, text in enumerate(texts[:WARM] + texts):
        for name, predictor in runtimes.items():
            start = time.perf_counter()
            ready = predictor.prepare([text])
            middle = time.perf_counter()
            predictor.infer(ready)
            end = time.perf_counter()
            if i >= WARM:
                times[name].append(end - middle)
                times[f"{name}, tokenising"].append(middle - start)
    print(f"load {os.getloadavg()[0]:.1f}, {args.threads} threads, {torch.__version__}")
    median = {name: statistics.median(t) for name, t in times.items()}
    for name, seconds in median.items():
        print(f"{name}: {1000 * seconds:.2f} ms")
    eager = median["torch eager"]
    print(
        f"ratios: onnx {eager / median['onnx']:.2f}x, int8 {eager / median['onnx int8']:.2f}x "
        "as fast as torch eager"
    )


if __name__ == "__main__":
    main()
