"""What early exit saves in wall-clock time, against the whole model and against smaller models.

First part, real data: an encoder with exits and fine-tuned models of its first k layers, each on
some draws of the same labels. The threshold is the cheapest point that loses at most one point on
validation; its loss is reported on test. Two pictures of the saving are compared on the same texts:
FLOPs that a pass executes, and seconds, both against the fine-tuned model of all layers, at batch 1
and 32. Also: over which part of the range of FLOPs the curve lies above the smaller models, by
validation-chosen points and test scores.

Second part (--random 12,24): encoders of base and large size with random weights, whose exits are
forced: each exit's temperature is set so that a given share of the remaining texts leaves there.

    python benchmarks/bench_early_exit.py --task sst2_sent --data-dir DIR --models-dir DIR
        [--labels 1000] [--draws 3] [--time-on cpu,cuda] [--threads 2] [--random 12,24]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch.config.catalog import find_task, method_spaces
from raysearch.config.ladder import ModelSize
from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.costs.flops import encoder_forward
from raysearch.data.task_data import load_task
from raysearch.encoders.exit_graph import ExitGraph, ExitRule
from raysearch.encoders.exits import ExitHeads
from raysearch.encoders.graphs import EncoderGraph
from raysearch.encoders.models import Encoder
from raysearch.encoders.tokens import Encoded
from raysearch.outputs import exit_rules
from raysearch.planning.planner import Planner
from raysearch.trial.run import TrialRun
from raysearch.trial.trained import TrainedModel

RECIPE = {"learning_rate": 2e-4, "min_steps": 100}
LOSS = 0.01
"""The loss on validation that a threshold may cost: one point."""
PASSES = 5


def trained(world: Planner, method: str, rung: str, labels: int, draw: int) -> TrialRun:
    """Return a finished trial of a draw, scored on test in every point."""
    hyper = {**method_spaces()[method].default_config, **RECIPE}
    if method == "early_exit":
        hyper["self_distil"] = True
    config = world.configure(Proposal(method, rung, labels, hyper)).with_seed(draw)
    trial = TrialRun(config, world.place, "confirm")
    while trial.step(60.0):
        pass
    return trial


def mean(trials: Sequence[TrialRun], knobs: dict[str, Any], split: str) -> float:
    """Return the mean accuracy of the points with these knobs."""
    points = [next(p for p in t.record().points if dict(p.knobs) == knobs) for t in trials]
    return statistics.mean(p.scores[split]["accuracy"] for p in points)


def flops(trials: Sequence[TrialRun], knobs: dict[str, Any]) -> float:
    """Return the mean expected inference FLOPs of the points with these knobs."""
    points = [next(p for p in t.record().points if dict(p.knobs) == knobs) for t in trials]
    return statistics.mean(float(p.infer_flops or 0) for p in points)


def passes(works: dict[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Return the median time of each work, run in turns on the same machine [s]."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(PASSES + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first warms up
                took[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in took.items()}


def batched(encoded: Encoded, size: int) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """Return batches in the order of the texts, as they would arrive."""
    n = len(encoded.rows)
    return [np.arange(i, min(i + size, n)) for i in range(0, n, size)]


def compare(
    whole: EncoderGraph | ExitGraph,
    early: ExitGraph,
    encoded: Encoded,
    rung: ModelSize,
    size: int,
    device: torch.device,
) -> None:
    """Print both gains at one batch size."""
    index = batched(encoded, size)
    ready = [encoded.batch(i, device) for i in index]
    spent = [0, 0]

    @torch.no_grad()
    def full() -> None:
        spent[0] = 0
        for batch in ready:
            if isinstance(whole, ExitGraph):
                spent[0] += whole.run(batch).flops
            else:
                whole.head(whole.encoder(batch), batch).float().cpu()
                n, width = batch.ids.shape
                spent[0] += n * int(encoder_forward(rung, width))

    @torch.no_grad()
    def some() -> None:
        spent[1] = 0
        for batch in ready:
            spent[1] += early.run(batch).flops

    took = passes({"whole": full, "early": some}, device)
    wall, gain = took["whole"] / took["early"], spent[0] / spent[1]
    texts = len(encoded.rows)
    print(
        f"  batch {size}: {1000 * took['whole'] / texts:.2f} -> "
        f"{1000 * took['early'] / texts:.2f} ms a text, {wall:.2f}x of {gain:.2f}x in FLOPs: "
        f"{wall / gain:.2f} of it",
        flush=True,
    )


def above(curve: list[tuple[float, float]], plain: list[tuple[float, float]]) -> float:
    """Share of the smaller models' range of FLOPs (log) over which the curve is higher.

    Both are step lines of (FLOPs, test score) of the points that are best so far on validation:
    what is had for at most so many FLOPs is the test score of the last of them.
    """
    low, high = plain[0][0], plain[-1][0]
    at = np.exp(np.linspace(np.log(low), np.log(high), 401))

    def reached(points: list[tuple[float, float]], cost: float) -> float:
        return next((s for c, s in reversed(points) if c <= cost * 1.0001), 0.0)

    return float(np.mean([reached(curve, c) > reached(plain, c) for c in at]))


def steps(points: list[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """Return (FLOPs, test score) of points (FLOPs, validation, test) that are best so far."""
    out: list[tuple[float, float]] = []
    best = -1.0
    for cost, seen, test in sorted(points):
        if seen > best:
            best = seen
            out.append((cost, test))
    return out


def real(given: argparse.Namespace, device: torch.device) -> None:
    """Train, choose, compare."""
    task = find_task(given.task)
    if given.max_length:
        task = replace(task, max_length=given.max_length)
    data = load_task(task, data_dir=given.data_dir)
    names = [f"{given.family}-{k}" for k in given.depths]
    with tempfile.TemporaryDirectory() as home:
        world = Planner(
            Study(name="bench", labels=(given.labels,), models=tuple(names)),
            data,
            out=Path(home),
            data_dir=given.data_dir,
            models_dir=given.models_dir,
        )
        world.place = replace(world.place, device=device.type)
        plain: list[tuple[float, float, float]] = []
        top: list[TrialRun] = []
        for name in names:
            top = []
            for d in range(1, given.draws + 1):
                top.append(trained(world, "finetune", name, given.labels, d))
                if d < given.draws or name != names[-1]:
                    top[-1].close()
            plain.append((flops(top, {}), mean(top, {}, "validation"), mean(top, {}, "test")))
            print(
                f"  finetune {name}: {plain[-1][0]:.3g} FLOPs, test {plain[-1][2]:.3f}", flush=True
            )
        early = [
            trained(world, "early_exit", names[-1], given.labels, d)
            for d in range(1, given.draws + 1)
        ]
        tried = [dict(p.knobs) for p in early[0].record().points]
        rows = [
            (flops(early, k), mean(early, k, "validation"), mean(early, k, "test"), k)
            for k in tried
        ]
        whole = rows[0]
        for cost, seen, test, knobs in sorted(rows, key=lambda r: r[0])[::4]:
            print(f"  {knobs}: {cost:.3g} FLOPs, validation {seen:.3f}, test {test:.3f}")
        for criterion in exit_rules.CRITERIA:
            of = [r[:3] for r in rows if r[3]["criterion"] == criterion or r is whole]
            share = above(steps(of), steps(plain))
            print(f"  {criterion}: above the smaller models over {share:.0%} of the range")
        fit = [r for r in rows if r[1] >= whole[1] - LOSS]
        cost, seen, test, knobs = min(fit, key=lambda r: r[0])
        against = plain[-1]
        print(
            f"  chosen {knobs}: {whole[0] / cost:.2f}x fewer FLOPs than never; validation "
            f"{seen - whole[1]:+.3f}, test {test - whole[2]:+.3f} against never, "
            f"{test - against[2]:+.3f} against fine-tuning of all layers",
            flush=True,
        )
        last = early[-1]
        point = last.record().points[0]
        graph = TrainedModel(last).graph(replace(point, knobs=knobs))
        other = top[-1].graph(top[-1].record().points[0])
        assert isinstance(graph, ExitGraph) and isinstance(other, EncoderGraph)
        tokeniser = TrainedModel(last).tokeniser()
        assert tokeniser is not None
        test_rows = data.splits["test"]
        sample = np.random.default_rng(0).permutation(len(test_rows))[: given.texts]
        encoded = tokeniser.encode(test_rows.take(np.sort(sample)))
        for where in given.time_on.split(","):
            at = torch.device(where)
            for module in (other.encoder, graph.encoder, graph.exits):
                module.to(at)
            print(f"  on {where}, {torch.get_num_threads()} threads, {len(encoded.rows)} texts")
            for size in (1, 32):
                compare(other, graph, encoded, graph.rung, size, at)


SHAPES = {12: (768, 12, 3072), 24: (1024, 16, 4096)}
FORCED = {
    "evenly over all exits": lambda n: [1 / (n - k) for k in range(n)],
    "half by the first quarter": lambda n: [
        (2 / n) / (1 - 2 * k / n) if k < n // 4 else (2 / 3 / n) / (0.5 - 2 / 3 * (k - n // 4) / n)
        for k in range(n)
    ],
}
"""Shares of the remaining texts that leave at each exit."""


def forced(layers: int, length: int, texts: int, device: torch.device) -> None:
    """Time random weights; the exit of each text is fixed beforehand."""
    from transformers import BertConfig, BertModel

    hidden, heads, inner = SHAPES[layers]
    rung = ModelSize(
        f"random-{layers}", "encoder", layers=layers, hidden=hidden, intermediate=inner
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=3000,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
    )
    config._attn_implementation = "sdpa" if device.type == "cuda" else "eager"
    encoder = Encoder(BertModel(config, add_pooling_layer=False), hidden).to(device).eval()
    generator = torch.Generator().manual_seed(1)
    exits = ExitHeads(range(1, layers + 1), hidden, 2, dropout=0.0, generator=generator)
    exits = exits.to(device).eval()
    rng = np.random.default_rng(2)
    lengths = np.clip(rng.lognormal(np.log(length), 0.4, texts).astype(np.int64), 8, 2 * length)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = rng.integers(1, 3000, int(offsets[-1])).astype(np.int32)
    encoded = Encoded(flat, offsets, None, np.arange(texts), 0)
    never = ExitGraph(
        encoder, exits, "mean", ExitRule("confidence", "never", np.ones(layers)), rung
    )
    gaps = np.empty((texts, layers))
    with torch.no_grad():
        for i in range(texts):
            batch = encoded.batch(np.array([i]), device)
            state, mask = encoder.embed(batch)
            vectors = []
            for k in range(layers):
                state = encoder.layer(k, state, mask)
                vectors.append(state.mean(dim=1))
                z = exits(vectors, k)[0]
                gaps[i, k] = abs(float(z[0] - z[1]))
    goal = float(np.log(9.0))  # the gap of two logits at a confidence of 0.9
    for name, of in FORCED.items():
        cold, inside = np.ones(layers), np.ones(texts, bool)
        for k, share in enumerate(of(layers)[:-1]):
            limit = np.quantile(gaps[inside, k], 1 - min(1.0, share)) if inside.any() else 1.0
            cold[k] = limit / goal
            inside &= gaps[:, k] < limit
        early = replace(never, rule=ExitRule("confidence", 0.9, cold))
        print(f"random weights, {layers} layers, about {length} tokens, leaving {name}")
        for size in (1, 32):
            compare(never, early, encoded, rung, size, device)


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="")
    parser.add_argument("--family", default="minilm")
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--texts", type=int, default=320)
    parser.add_argument("--max-length", type=int, default=0)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--time-on", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--random", default="")
    parser.add_argument("--random-length", type=int, default=64)
    parser.add_argument("--random-texts", type=int, default=64)
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.set_num_threads(given.threads)
    if given.task:
        print(f"{given.task}, {given.labels} labels, {given.draws} draws, {given.device}")
        real(given, device)
    for layers in filter(None, given.random.split(",")):
        for where in given.time_on.split(","):
            print(f"on {where}, {torch.get_num_threads()} threads")
            forced(int(layers), given.random_length, given.random_texts, torch.device(where))


if __name__ == "__main__":
    main()
