"""What a busy program beside costs training and prediction, by how OpenMP's threads wait.

A fine-tuning step (16 x 64 tokens) and one text's prediction (24 tokens) of a small encoder with
random weights on all cores, alone and beside programs that each keep a core busy; with libgomp's
own spin count and with the one that importing raysearch sets. Each figure is the median of
processes, each of which times the median of its steps; the two ways take turns.

    python benchmarks/bench_waiting.py [--busy 1] [--rounds 3] [--steps 10]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

WAYS = {"libgomp's own": "GOMP_SPINCOUNT", "raysearch's": ""}
"""What each way takes out of the environment that importing raysearch makes."""
CHILD = """
import os, sys, time
import raysearch
os.environ.pop(sys.argv[1], None)
import torch
from transformers import BertConfig, BertModel
from statistics import median
torch.manual_seed(0); torch.set_num_threads(os.cpu_count())
net = BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                           intermediate_size=1536))
step_ = torch.optim.AdamW(net.parameters(), 1e-4)
batch, text = torch.randint(0, 30000, (16, 64)), torch.randint(0, 30000, (1, 24))
def train():
    step_.zero_grad(); net(batch).last_hidden_state.pow(2).mean().backward(); step_.step()
def predict():
    with torch.inference_mode(): net(text)
def timed(act, times):
    act(); act()
    taken = []
    for _ in range(times):
        start = time.perf_counter(); act(); taken.append(time.perf_counter() - start)
    return 1000 * median(taken)
steps = int(sys.argv[2])
train_ms = timed(train, steps); net.eval()
print(train_ms, timed(predict, 3 * steps))
"""


def one(way: str, steps: int) -> tuple[float, float]:
    """Return milliseconds of a training step and of a prediction, in a fresh process."""
    plain = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, WAYS[way], str(steps)],
        env=plain,
        capture_output=True,
        text=True,
        check=True,
    )
    train, predict = map(float, done.stdout.split())
    return train, predict


@contextmanager
def beside(busy: int) -> Iterator[None]:
    """Run programs that keep this many cores busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--busy", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {given.rounds} processes each, medians")
    for busy in (0, given.busy):
        with beside(busy):
            found = [{way: one(way, given.steps) for way in WAYS} for _ in range(given.rounds)]
        for at, what in enumerate(("training step", "one text")):
            plain, ours = (statistics.median(f[way][at] for f in found) for way in WAYS)
            print(
                f"{busy} busy programs beside, {what}: {plain:.1f} ms with libgomp's own spin "
                f"count, {ours:.1f} ms with raysearch's: {plain / ours:.2f}x"
            )


if __name__ == "__main__":
    main()
