"""Measuring points: each trial's graphs alone in a fresh process, and nothing else at work.

The parent writes graphs and a sample of texts into a folder. A `TimingProcess` has the libraries
loaded and forks for each folder, so that memory is each fork's own and imports are paid once.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from raysearch.costs.timing import Model, peak_memory
from raysearch.errors import RaysearchError
from raysearch.export import graph_files
from raysearch.export.graph_parts import load_libraries
from raysearch.record import OperatingPoint
from raysearch.training.graph import Graph
from raysearch.trial.context import lengths_sample
from raysearch.trial.trained import TrainedModel

GRAPH, TEXTS, TIMES, ERRORS = "graph.json", "texts.json", "times.json", "errors.txt"


class TimingProcess:
    """A process that times folders of graphs, one after the other, each in a fork of its own."""

    def __init__(self, threads: int) -> None:
        """Start nothing yet: the first folder of each kind does.

        Args:
            threads: CPU threads that a model may use.
        """
        self.threads = threads
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> TimingProcess:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.communicate()
        self._processes.clear()

    def time(self, folder: Path, kind: str) -> list[dict[str, float]]:
        """Return the numbers of each graph of a folder.

        Args:
            folder: as `_write` wrote it.
            kind: of its graphs: what each kind loads is in no other kind's memory.

        Raises:
            RaysearchError: the fork broke; its last line says why.
        """
        process = self._processes.get(kind)
        if process is None:
            env = {"OMP_NUM_THREADS": str(self.threads), "TOKENIZERS_PARALLELISM": "true"}
            process = self._processes[kind] = subprocess.Popen(
                [sys.executable, "-m", "raysearch.export.measured", kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **env},
                text=True,
            )
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
        status = process.stdout.readline().strip()
        if status != "0":
            if not status:
                status = str(process.wait())
                del self._processes[kind]
            errors = folder / ERRORS
            output = errors.read_text(encoding="utf-8", errors="replace") if errors.exists() else ""
            raise RaysearchError((output.strip() or f"exit {status}").splitlines()[-1])
        timings: list[dict[str, float]] = json.loads((folder / TIMES).read_text(encoding="utf-8"))
        return timings


def measure_points(
    run: TrainedModel, points: Sequence[OperatingPoint], process: TimingProcess
) -> list[dict[str, float]]:
    """Time points of one trial on a sample of the evaluation's texts, in one fork.

    Args:
        run: their trial; restored, or trained again where its weights were not kept.
        points: which points, one after the other.
        process: what times them.

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
        graphs = _graphs(run, points)
        _write(run, graphs, folder, process.threads)
        texts = {
            "text": list(sample.text),
            "pair": None if sample.pair is None else list(sample.pair),
        }
        (folder / TEXTS).write_text(json.dumps(texts), encoding="utf-8")
        try:
            return process.time(folder, graphs[0].kind)
        except RaysearchError as e:
            raise RaysearchError(f"point {points[0].point_id}: cannot be measured: {e}") from e


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


def time_folder(folder: Path) -> None:
    """Time the models of a folder and write the numbers, in a fork that does nothing else."""
    facts = json.loads((folder / GRAPH).read_text(encoding="utf-8"))
    texts = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
    torch.set_num_threads(int(facts["threads"]))
    out = graph_files.get(facts["kind"]).times(folder, facts, texts["text"], texts["pair"])
    whole = {"threads": float(torch.get_num_threads()), "peak_memory": peak_memory()}
    with contextlib.suppress(RuntimeError):
        if torch.cuda.is_available() and torch.cuda.max_memory_reserved():
            whole["peak_gpu_memory"] = float(torch.cuda.max_memory_reserved())
    (folder / TIMES).write_text(json.dumps([whole | timing for timing in out]), encoding="utf-8")


def serve(kind: str) -> None:
    """Fork for each folder named on standard input; print its exit status on a line.

    NOTE: nothing is computed here, so that no thread of OpenMP and no CUDA context is forked.
    """
    graph_files.get(kind)
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        facts = json.loads((folder / GRAPH).read_text(encoding="utf-8"))
        if "folder" in facts:
            with contextlib.suppress(OSError, ValueError):  # the fork says what is wrong with it
                load_libraries(Path(facts["folder"]))
        child = os.fork()
        if not child:
            status = 1
            try:
                errors = os.open(folder / ERRORS, os.O_WRONLY | os.O_CREAT)
                os.dup2(errors, 1)  # what a library prints is no exit status
                os.dup2(errors, 2)
                time_folder(folder)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
