"""How fast a table of n-grams labels texts, and how fast it learns, whatever its size.

    python benchmarks/bench_tables.py speed --task imdb --data-dir DIR --models-dir DIR
    python benchmarks/bench_tables.py learn --task imdb --data-dir DIR

speed: text to label on a CPU, tokenising included on both sides, the same texts: an exported table
(numpy alone) against a transformer of RoBERTa-large's shape with random weights, which serve for
timing; its tokeniser is the WordPiece one of a small checkpoint. Batch 1 is the median over texts
of one text's time; throughput goes through all texts, the transformer's in one batch.

learn: training texts a second at tables of 10^5, 10^6 and 10^7 rows with hashed n-grams: only the
rows that a batch hits move, so that the rate should not fall with the size. With the memory by
which the process grew, beside the table's own and that of the touched rows' state.

    python benchmarks/bench_tables.py corpus --task sst2_sent --pool wikipedia_en --data-dir DIR

corpus: a pool's lines, several times over, each copy's first word changed, as one large text file:
how fast it becomes a pool, a vocabulary and bags, and what anonymous memory that takes.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch.config.catalog import find_task
from raysearch.data.corpora import open_corpus
from raysearch.data.task_data import load_task
from raysearch.export import table
from raysearch.export.manifest import Manifest, write_manifest
from raysearch.export.model import Model as Exported
from raysearch.ngrams.bag import BagBatch, Dan
from raysearch.ngrams.bags import HashedVocabulary
from raysearch.ngrams.dan_numpy import Model
from raysearch.ngrams.grams import frequent
from raysearch.ngrams.graphs import BagGraph
from raysearch.ngrams.tables import Table
from raysearch.storage.store import Store
from raysearch.training.loop import OptimiserConfig, OptimiserLoop

PASSES = 5


def median(work: Callable[[], object], passes: int = PASSES) -> float:
    """Return the median time, after one pass that warms up [s]."""
    work()
    took = []
    for _ in range(passes):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def exported(texts: Sequence[str], rows: int, width: int, ngrams: int, home: Path) -> Model:
    """Return a table over these texts' commonest n-grams.

    Its values do not matter for timing.
    """
    rng = np.random.default_rng(0)
    vocabulary = frequent(texts, rows, ngrams)
    dense = {
        "hidden.weight": rng.normal(size=(width, width)).astype(np.float32),
        "hidden.bias": np.zeros(width, np.float32),
        "head.weight": rng.normal(size=(2, width)).astype(np.float32),
        "head.bias": np.zeros(2, np.float32),
    }
    values = rng.normal(size=(rows, width)).astype(np.float32)
    graph = BagGraph(vocabulary, Table(values), dense, pair=False)
    facts = Manifest("table", "t", "accuracy", ("a", "b"), ngrams=ngrams, buckets=rows)
    home.mkdir()
    table.FORMAT.write(Exported(graph, facts), home)
    write_manifest(home, facts)
    start = time.perf_counter()
    model = Model(home)
    print(f"  opened in {time.perf_counter() - start:.2f} s")
    return model


def roberta(models: Path, longest: int) -> Callable[[list[str]], object]:
    """Return a function from texts to logits: 24 layers of 1,024 with random weights."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    from raysearch.encoders.tokens import fast_tokeniser

    tokeniser = fast_tokeniser(models / "all-MiniLM-L6-v2")
    config = RobertaConfig(
        vocab_size=50265,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
    )
    model = RobertaForSequenceClassification(config).eval()

    @torch.inference_mode()
    def label(texts: list[str]) -> object:
        made = tokeniser(
            texts, truncation=True, max_length=longest, padding=True, return_tensors="pt"
        )
        return model(input_ids=made["input_ids"], attention_mask=made["attention_mask"]).logits

    return label


def speed(given: argparse.Namespace) -> None:
    """Print both speeds and their ratios."""
    data = load_task(find_task(given.task), data_dir=given.data_dir)
    train, test = data.splits["train"].text, data.splits["test"].text
    order = np.random.default_rng(1).permutation(len(test))
    many = [test[i] for i in order[: given.texts]]
    few = many[: given.few]
    print(f"{given.task}: {torch.get_num_threads()} threads, {len(many)} and {len(few)} texts")
    with tempfile.TemporaryDirectory() as home:
        ours = exported(train, given.rows, given.width, given.ngrams, Path(home) / "m")
        fast = median(lambda: ours.probabilities(many)) / len(many)
        one = [median(lambda t=t: ours.probabilities([t])) for t in many[:100]]
    theirs = roberta(given.models_dir, min(512, data.task.max_length or 512))
    singles = [median(lambda t=t: theirs([t]), given.passes) for t in few]
    batches = median(lambda: theirs(few), given.passes) / len(few)
    same = statistics.median(one[: len(few)])
    print(
        f"  batch 1: {1000 * statistics.median(singles):.0f} ms against {1000 * same:.3f} ms, "
        f"{statistics.median(singles) / same:,.0f}x\n"
        f"  batches: {1 / batches:.2f} texts/s against {1 / fast:,.0f}, {batches / fast:,.0f}x",
        flush=True,
    )


def learn(given: argparse.Namespace) -> None:
    """Print texts a second by rows, each size in a process of its own."""
    for rows in given.sizes:
        args = [*sys.argv[2:], "--one", str(rows)]
        subprocess.run([sys.executable, __file__, "learn", *args], check=True)


def learn_one(given: argparse.Namespace) -> None:
    """Time a hundred updates of one size, in tens."""
    data = load_task(find_task(given.task), data_dir=given.data_dir)
    texts = data.splits["train"].text[: given.texts]
    bags = HashedVocabulary(given.one, given.ngrams).bags(texts)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    generator = torch.Generator().manual_seed(0)
    module = Dan(
        given.one, given.width, 2, pair=False, skipped=0.0, dropout=0.0, generator=generator
    )
    recipe = OptimiserConfig(1e-3, "constant")
    loop = OptimiserLoop(
        module, recipe, 10**6, seed=0, precision="fp32", device=torch.device("cpu")
    )
    rng = np.random.default_rng(0)
    took = []
    touched: set[int] = set()
    for _ in range(given.updates):
        index = rng.integers(0, len(texts), given.batch)
        taken = bags.take(index)
        label = torch.from_numpy(rng.integers(0, 2, given.batch))
        batch = BagBatch.of(taken, torch.device("cpu"))
        start = time.perf_counter()
        loop.update([lambda b=batch, y=label: torch.nn.functional.cross_entropy(module(b), y)])
        took.append(time.perf_counter() - start)
        touched.update(taken.ids.tolist())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole, state = 4 * given.one * given.width, 8 * len(touched) * given.width
    print(
        f"{given.one:,} rows of {given.width}: "
        f"{given.batch / statistics.median(took[len(took) // 5 :]):,.0f} texts/s; "
        f"{len(touched):,} rows touched; table {whole / 2**30:.2f} GiB, their state "
        f"{state / 2**30:.2f} GiB, memory grew by {(peak - before) / 2**20:.2f} GiB",
        flush=True,
    )


def anonymous() -> float:
    """Return the memory of this process that no file backs [GiB]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("RssAnon")) / 2**20


class Peak:
    """The most anonymous memory since it was asked last."""

    def __init__(self) -> None:
        self._most = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._most = max(self._most, anonymous())
            time.sleep(0.02)

    def asked(self) -> float:
        """Return the peak since the last call, and begin anew [GiB]."""
        most, self._most = self._most, 0.0
        return most


def corpus(given: argparse.Namespace) -> None:
    """Print seconds and memory of each step."""
    data = load_task(find_task(given.task), data_dir=given.data_dir)
    with tempfile.TemporaryDirectory() as home:
        store, path = Store(Path(home) / "store"), Path(home) / "large.txt"
        once = open_corpus(given.pool, data, given.data_dir, store, lines=True)
        with path.open("w", encoding="utf-8") as f:
            for k in range(given.copies):
                f.writelines(f"copy{k} {text}\n" for text in once.text)
        print(f"{path.stat().st_size / 2**30:.2f} GiB of text; process {anonymous():.2f} GiB")
        peak, start = Peak(), time.perf_counter()

        def said(what: str) -> None:
            nonlocal start
            took, most = time.perf_counter() - start, peak.asked()
            print(f"  {what}: {took:.0f} s, at most {most:.2f} GiB", flush=True)
            start = time.perf_counter()

        large = open_corpus(str(path), data, None, store)
        rows = large.take(len(large), 0)
        said(f"pool of {len(rows):,} texts")
        vocabulary = frequent(rows.text, given.rows, given.ngrams)
        said(f"vocabulary of {given.rows:,}, n to {given.ngrams}")
        bags = vocabulary.bags(rows.text)
        said(f"bags of {len(bags.ids):,} n-grams")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["speed", "learn", "corpus"])
    parser.add_argument("--task", default="imdb")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--ngrams", type=int, default=3)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--few", type=int, default=16)
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--pool", default="wikipedia_en")
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--one", type=int, default=0)
    given: Any = parser.parse_args()
    if given.part == "speed":
        speed(given)
    elif given.part == "corpus":
        corpus(given)
    elif given.one:
        learn_one(given)
    else:
        learn(given)


if __name__ == "__main__":
    main()
