"""Measuring a point: its graph alone in a fresh process, and nothing else at work.

The parent writes the graph and a sample of texts into a folder of its own and starts
`python -m raysearch.export.measured FOLDER`; the child prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from raysearch.costs.timing import Model, peak_memory
from raysearch.errors import RaysearchError
from raysearch.export import graph_files
from raysearch.record import OperatingPoint
from raysearch.training.graph import Graph
from raysearch.trial.context import lengths_sample
from raysearch.trial.trained import TrainedModel

GRAPH, TEXTS = "graph.json", "texts.json"


def measure_points(
    run: TrainedModel, points: Sequence[OperatingPoint], threads: int
) -> list[dict[str, float]]:
    """Time points of one trial on a sample of the evaluation's texts, in one fresh process.

    Args:
        run: their trial; restored, or trained again where its weights were not kept.
        points: which points, one after the other.
        threads: CPU threads the process may use.

    Returns:
        For each point what `timed` gives, with threads and peak_memory [bytes]; on a GPU
        peak_gpu_memory too.

    Raises:
        RaysearchError: the process broke; its last line says why.
    """
    sample = lengths_sample(run.data)
    # in no order of the source: what is timed may be the first part of it alone
    sample = sample.take(np.random.default_rng(0).permutation(len(sample)))
    with tempfile.TemporaryDirectory(prefix="rs-") as name:
        folder = Path(name)
        _write(run, _graphs(run, points), folder, threads)
        texts = {
            "text": list(sample.text),
            "pair": None if sample.pair is None else list(sample.pair),
        }
        (folder / TEXTS).write_text(json.dumps(texts), encoding="utf-8")
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
        done = subprocess.run(
            [sys.executable, "-m", "raysearch.export.measured", str(folder)],
            capture_output=True,
            text=True,
            env=env,
        )
    if done.returncode:
        last = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
        raise RaysearchError(f"point {points[0].point_id}: cannot be measured: {last}")
    timings: list[dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return timings


def _graphs(run: TrainedModel, points: Sequence[OperatingPoint]) -> list[Graph]:
    """Return what the points compute; where they share weights, those are held once."""
    first = run.graph(points[0])
    return [first, *(first.with_knobs(p.knobs) or run.graph(p) for p in points[1:])]


def _write(run: TrainedModel, graphs: Sequence[Graph], folder: Path, threads: int) -> None:
    """Write graphs of one trial as safetensors and JSON; an encoder's over its own checkpoint."""
    kind = graphs[0].kind
    facts = {"kind": kind, "threads": threads, "device": run.place.device}
    facts |= graph_files.get(kind).write(run, graphs, folder)
    (folder / GRAPH).write_text(json.dumps(facts), encoding="utf-8")


def _read(folder: Path) -> list[Model]:
    """Return the models of a folder that `_write` wrote."""
    facts = json.loads((folder / GRAPH).read_text(encoding="utf-8"))
    torch.set_num_threads(int(facts["threads"]))
    models: list[Model] = graph_files.get(facts["kind"]).read(folder, facts)
    return models


def main(folder: Path) -> None:
    """Read the folder, time its models and print the numbers, in a fresh process."""
    facts = json.loads((folder / GRAPH).read_text(encoding="utf-8"))
    texts = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
    torch.set_num_threads(int(facts["threads"]))
    out = graph_files.get(facts["kind"]).times(folder, facts, texts["text"], texts["pair"])
    whole = {"threads": float(torch.get_num_threads()), "peak_memory": peak_memory()}
    with contextlib.suppress(RuntimeError):
        if torch.cuda.is_available() and torch.cuda.max_memory_reserved():
            whole["peak_gpu_memory"] = float(torch.cuda.max_memory_reserved())
    sys.stdout.write(json.dumps([whole | timing for timing in out]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
