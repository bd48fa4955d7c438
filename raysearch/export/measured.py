"""Measuring a point: its graph alone in a fresh process, and nothing else at work.

The parent writes the graph and a sample of texts into a folder of its own and starts
`python -m raysearch.export.measured FOLDER`; the child prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from raysearch.config.catalog import find_rung
from raysearch.costs.timing import Model, peak_memory, timed
from raysearch.data.rows import Rows
from raysearch.encoders.cloze import Pattern, open_head
from raysearch.encoders.exits import ExitGraph, ExitHeads, Rule
from raysearch.encoders.models import open_encoder
from raysearch.encoders.tokens import Tokeniser
from raysearch.errors import RaysearchError
from raysearch.ngrams import dan_numpy, hashed
from raysearch.record import OperatingPoint
from raysearch.storage.store import Store
from raysearch.training.graph import BagGraph, ClozeGraph, EncoderGraph, Graph, NgramGraph
from raysearch.trial.context import lengths_sample
from raysearch.trial.trained import TrainedModel

GRAPH, WEIGHTS, TEXTS, TABLE = "graph.json", "graph.safetensors", "texts.json", "table"


def measure_points(
    run: TrainedModel, points: Sequence[OperatingPoint], threads: int
) -> list[dict[str, float]]:
    """Time points of one trial on a sample of the evaluation's texts, in one fresh process.

    Args:
        run: their trial; restored, or trained again where its weights were not kept.
        points: which points: one, or several of a model with exits or of a table of n-grams, one
            after the other.
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
    found: list[dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _graphs(run: TrainedModel, points: Sequence[OperatingPoint]) -> list[Graph]:
    """What the points compute; rules of one model share its weights."""
    first = run.graph(points[0])
    if isinstance(first, ExitGraph):
        return [first.ruled(point.knobs) for point in points]
    return [first, *(run.graph(point) for point in points[1:])]


def _write(run: TrainedModel, graphs: Sequence[Graph], folder: Path, threads: int) -> None:
    """The graph as safetensors and JSON; an encoder's over its rung's own checkpoint.

    Several are one model with exits, under several rules, or tables, each in a folder of its own.
    """
    graph = graphs[0]
    facts: dict[str, Any] = {"kind": graph.kind, "threads": threads, "device": run.place.device}
    tensors: dict[str, Tensor] = {}
    if isinstance(graph, NgramGraph):
        facts |= {"ngrams": graph.ngrams, "buckets": graph.buckets, "weighting": graph.weighting}
        tensors = {"weight": torch.from_numpy(graph.weight), "bias": torch.from_numpy(graph.bias)}
        if graph.idf is not None:
            tensors["idf"] = torch.from_numpy(graph.idf)
    elif isinstance(graph, BagGraph):
        facts["tables"] = [f"{TABLE}{k}" for k in range(len(graphs))]
        for name, one in zip(facts["tables"], graphs, strict=True):
            assert isinstance(one, BagGraph)
            _write_table(one, folder / name)
    else:
        rung = find_rung(run.config.rung)
        tokeniser = run.tokeniser()
        assert tokeniser is not None
        facts |= {
            "rung": rung.name,
            "folder": str(run.place.folder(rung)),
            "limit": tokeniser.limit,
            "bf16": run.config.precision == "bf16",
        }
        parts: dict[str, torch.nn.Module] = {"encoder": graph.encoder}
        if isinstance(graph, ClozeGraph):
            facts |= {"template": graph.template, "mask": graph.mask}
            parts["transform"] = graph.transform
        elif isinstance(graph, ExitGraph):
            facts |= {"pooling": graph.pooling, "layers": graph.exits.layers}
            facts |= {"classes": graph.classes, "temperature": graph.rule.temperature.tolist()}
            rules = [g.rule for g in graphs if isinstance(g, ExitGraph)]
            facts["rules"] = [[r.criterion, r.threshold] for r in rules]
            parts["exits"] = graph.exits
        else:
            facts |= {"pooling": graph.pooling, "normalise": graph.normalise}
        tensors = {f"{n}.{k}": v.cpu() for n, m in parts.items() for k, v in m.state_dict().items()}
        if not isinstance(graph, ExitGraph):
            tensors |= {"weight": graph.weight, "bias": graph.bias}
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, folder / WEIGHTS)
    (folder / GRAPH).write_text(json.dumps(facts), encoding="utf-8")


def _write_table(graph: BagGraph, folder: Path) -> None:
    """As it is exported: the model that is timed is the one that people get."""
    from raysearch.export import table
    from raysearch.export.manifest import Manifest, write_manifest
    from raysearch.export.model import Model as Exported

    names = tuple(map(str, range(max(2, graph.classes))))
    facts = Manifest("table", "", "", names, graph.classes == 1, graph.pair)
    known = replace(facts, ngrams=graph.vocabulary.ngrams, buckets=graph.vocabulary.rows)
    folder.mkdir()
    table.FORMAT.write(Exported(graph, known), folder)
    write_manifest(folder, known)


def _read(folder: Path) -> list[Model]:
    """The models of a folder that `_write` wrote: one, or one a rule; tables are read in turn."""
    facts = json.loads((folder / GRAPH).read_text(encoding="utf-8"))
    torch.set_num_threads(int(facts["threads"]))
    tensors = load_file(folder / WEIGHTS)
    if facts["kind"] == NgramGraph.kind:
        arrays = {k: v.numpy() for k, v in tensors.items()}
        plain = NgramGraph(
            facts["ngrams"],
            facts["buckets"],
            facts["weighting"],
            arrays.get("idf"),
            arrays["weight"],
            arrays["bias"],
        )
        hashing = hashed.hashing(plain.buckets, plain.ngrams, plain.weighting)

        def count(texts: Sequence[str], pairs: Sequence[str] | None) -> Any:
            return hashed.weighted(hashing.transform(hashed.joined(_rows(texts, pairs))), plain.idf)

        return [Model(count, lambda x: np.asarray(x @ plain.weight + plain.bias))]
    device = torch.device(facts["device"])
    place = Path(facts["folder"])
    graph = _graph(facts, tensors, place, device)
    pattern = Pattern(graph.template) if isinstance(graph, ClozeGraph) else None
    tokeniser = Tokeniser(place, Store(folder / "store"), {}, "", int(facts["limit"]))
    cast = device.type == "cuda" and bool(facts["bf16"])

    def prepare(texts: Sequence[str], pairs: Sequence[str] | None) -> Any:
        return tokeniser.encode(_rows(texts, pairs), pattern)

    def model(graph: EncoderGraph | ClozeGraph | ExitGraph) -> Model:
        def infer(encoded: Any) -> Any:
            with torch.autocast("cuda", torch.bfloat16, enabled=cast):
                return graph.logits(encoded)  # copied to the CPU: the GPU has been waited for

        return Model(prepare, infer)

    if not isinstance(graph, ExitGraph):
        return [model(graph)]
    names = ("criterion", "threshold")
    return [model(graph.ruled(dict(zip(names, rule, strict=True)))) for rule in facts["rules"]]


def _table(folder: Path) -> Model:
    made = dan_numpy.Model(folder)

    def bags(texts: Sequence[str], pairs: Sequence[str] | None) -> Any:
        return made.features(list(texts), None if pairs is None else list(pairs))

    return Model(bags, made.logits)


def _tables_timed(
    folders: Sequence[Path], texts: Sequence[str], pairs: Sequence[str] | None
) -> list[dict[str, float]]:
    """Each table alone: the one before has been dropped, and small ones come before large ones.

    So the most memory that was held until then is that of the table just timed.
    """
    order = sorted(folders, key=lambda f: sum(p.stat().st_size for p in f.iterdir()))
    found = {}
    for folder in order:
        found[folder] = timed(_table(folder), texts, pairs) | {"peak_memory": peak_memory()}
        gc.collect()
    return [found[folder] for folder in folders]


def _graph(
    facts: Mapping[str, Any], tensors: Mapping[str, Tensor], place: Path, device: torch.device
) -> EncoderGraph | ClozeGraph | ExitGraph:
    """An encoder's graph: the checkpoint's modules with the trained weights."""

    def part(name: str) -> dict[str, Tensor]:
        return {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}

    encoder = open_encoder(find_rung(facts["rung"]), place, device)
    encoder.load_state_dict(part("encoder."))
    if facts["kind"] == ExitGraph.kind:
        exits = ExitHeads(
            facts["layers"],
            encoder.hidden,
            facts["classes"],
            dropout=0.0,
            generator=torch.Generator(),
        )
        exits.load_state_dict(part("exits."))
        criterion, threshold = facts["rules"][0]
        rule = Rule(criterion, threshold, np.array(facts["temperature"]))
        rung = find_rung(facts["rung"])
        return ExitGraph(encoder, exits.to(device).eval(), facts["pooling"], rule, rung)
    weight, bias = tensors["weight"], tensors["bias"]
    if facts["kind"] == EncoderGraph.kind:
        return EncoderGraph(encoder, facts["pooling"], facts["normalise"], weight, bias)
    head = open_head(place, [[0]] * len(bias), device)  # any words: what they say is read next
    head.load_state_dict(part("transform."))
    return ClozeGraph(encoder, head.eval(), facts["template"], facts["mask"], weight, bias)


def _rows(texts: Sequence[str], pairs: Sequence[str] | None) -> Rows:
    return Rows("loose", np.arange(len(texts)), list(texts), None if pairs is None else list(pairs))


def main(folder: Path) -> None:
    """The fresh process: read, time, print."""
    facts = json.loads((folder / GRAPH).read_text(encoding="utf-8"))
    kind = facts["kind"]
    texts = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
    sample = texts["text"], texts["pair"]
    if kind == BagGraph.kind:
        torch.set_num_threads(int(facts["threads"]))
        out = _tables_timed([folder / name for name in facts["tables"]], *sample)
    else:
        out = [timed(m, *sample, uneven=kind == ExitGraph.kind) for m in _read(folder)]
    whole = {"threads": float(torch.get_num_threads()), "peak_memory": peak_memory()}
    with contextlib.suppress(RuntimeError):
        if torch.cuda.is_available() and torch.cuda.max_memory_reserved():
            whole["peak_gpu_memory"] = float(torch.cuda.max_memory_reserved())
    sys.stdout.write(json.dumps([whole | found for found in out]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
