"""Fine-tuning speed of our loop against `transformers.Trainer`, at its defaults and at its best.

Same checkpoint, same real sentences, same number of examples, batch size, learning rate, schedule
and clipping; all loops in one process, in turn, and medians over repetitions. Trainer's best
settings are grouping by length, and bfloat16 where this machine multiplies faster in it. Needs
real data and a checkpoint:

    python benchmarks/bench_training.py --data-dir DATA --models-dir MODELS [--rung minilm-6]
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from transformers.utils import logging as hf_logging

from raysearch.config.catalog import find_rung, find_task
from raysearch.config.ladder import ModelSize
from raysearch.data.rows import Rows
from raysearch.data.task_data import TaskData, load_task
from raysearch.encoders.batches import epoch_batches, steps_per_epoch
from raysearch.encoders.classifier import Classifier, task_loss
from raysearch.encoders.models import open_encoder
from raysearch.encoders.tokens import Tokeniser
from raysearch.storage.checkpoints import weights_folder
from raysearch.storage.store import Store
from raysearch.training import precision
from raysearch.training.loop import OptimiserConfig, OptimiserLoop

BATCH = 16
RATE = 1e-4
WARMUP = 0.1
CPU = torch.device("cpu")


def ours(
    rung: ModelSize, folder: Path, data: TaskData, rows: Rows, bf16: bool, seed: int, cache: Path
) -> tuple[float, float]:
    """Return (seconds, test accuracy) of one epoch of our loop."""
    tokens = Tokeniser(folder, Store(cache), data.splits, data.digest, data.task.max_length)
    train, test = tokens.encode(rows), tokens.encode(data.splits["test"])
    label = torch.from_numpy(np.ascontiguousarray(rows.label))
    module = Classifier(
        open_encoder(rung, folder, CPU),
        len(data.task.label_names),
        pooling="cls",
        dropout=0.1,
        generator=torch.Generator().manual_seed(seed),
    )
    steps = steps_per_epoch(len(rows), BATCH)
    start = time.perf_counter()
    loop = OptimiserLoop(
        module,
        OptimiserConfig(RATE, "linear", WARMUP, 0.01),
        steps,
        seed=seed,
        precision="bf16" if bf16 else "fp32",
        device=CPU,
    )
    for index in epoch_batches(train.lengths, BATCH, seed, 0):
        batch, target = train.batch(index, CPU), label[torch.from_numpy(index)]
        loop.update([lambda b=batch, t=target: task_loss(module(b), t)])
    seconds = time.perf_counter() - start
    module.eval()
    right = 0
    with torch.no_grad():
        for start_row in range(0, len(test.rows), 64):
            index = np.arange(start_row, min(start_row + 64, len(test.rows)))
            guess = module(test.batch(index, CPU)).argmax(1).numpy()
            right += int((guess == data.splits["test"].label[index]).sum())
    return seconds, right / len(test.rows)


def theirs(
    rung: ModelSize, folder: Path, data: TaskData, rows: Rows, seed: int, **settings: Any
) -> tuple[float, float]:
    """Return (seconds, test accuracy) of one epoch of Trainer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def encoded(of: Rows) -> list[dict[str, Any]]:
        assert of.label is not None
        ids = tokenizer(list(of.text), truncation=True, max_length=data.task.max_length)
        return [
            {"input_ids": i, "attention_mask": m, "labels": int(y)}
            for i, m, y in zip(ids["input_ids"], ids["attention_mask"], of.label, strict=True)
        ]

    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=len(data.task.label_names),
        num_hidden_layers=rung.depth or rung.layers,
        dtype=torch.float32,  # the checkpoint is float16, in which a CPU crawls
    )
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=out,
                num_train_epochs=1,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=64,
                learning_rate=RATE,
                warmup_steps=round(WARMUP * steps_per_epoch(len(rows), BATCH)),
                weight_decay=0.01,
                seed=seed,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
                log_level="error",
                use_cpu=True,
                **settings,
            ),
            train_dataset=encoded(rows),
            eval_dataset=encoded(data.splits["test"]),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda p: {
                "accuracy": float((_first(p.predictions).argmax(1) == p.label_ids).mean())
            },
        )
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        return seconds, float(trainer.evaluate()["eval_accuracy"])


def _first(predictions: Any) -> NDArray[np.float32]:
    return predictions[0] if isinstance(predictions, tuple) else predictions


def main() -> None:
    """Run all loops in turn, several times, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--task", default="sst2_sent")
    parser.add_argument("--rung", default="minilm-6")
    parser.add_argument("--examples", type=int, default=1920)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    data = load_task(find_task(args.task), data_dir=args.data_dir)
    rung = find_rung(args.rung)
    folder = weights_folder(rung, args.models_dir)
    rows = data.splits["train"].take(np.random.default_rng(0).permutation(args.examples))
    bf16 = precision.resolve("auto", CPU) == "bf16"
    grouped = {"train_sampling_strategy": "group_by_length"}
    with tempfile.TemporaryDirectory() as cache:
        loops = {
            "Trainer, defaults": lambda s: theirs(rung, folder, data, rows, s),
            f"Trainer, grouped{', bf16' if bf16 else ''}": lambda s: theirs(
                rung, folder, data, rows, s, bf16=bf16, **grouped
            ),
            f"raysearch, {'bf16' if bf16 else 'fp32'}": lambda s: ours(
                rung, folder, data, rows, bf16, s, Path(cache)
            ),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
        for run in range(args.runs):
            for name, loop in loops.items():
                found[name].append(loop(run))
                seconds, right = found[name][-1]
                print(f"run {run + 1}: {name}: {seconds:.1f} s, {right:.3f} on test", flush=True)
    median = {n: statistics.median(s for s, _ in f) for n, f in found.items()}
    *peers, mine = median
    print(f"load {os.getloadavg()[0]:.1f}, {torch.get_num_threads()} threads, {torch.__version__}")
    for name, seconds in median.items():
        right = statistics.median(r for _, r in found[name])
        print(f"{name}: {seconds:.1f} s, accuracy {right:.3f}, {seconds / median[mine]:.2f}x ours")
    print(
        f"ratios: {median[peers[0]] / median[mine]:.2f}x the defaults, "
        f"{median[peers[1]] / median[mine]:.2f}x the best settings"
    )


if __name__ == "__main__":
    main()
