"""A grid study's run without torch: procedures x models x labels, each on K draws, with logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.analysis import Run, read_run, to_table
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.ledger import Charge, Ledger
from raysearch.record import OperatingPoint, TrialRecord, point_id
from tests.support.synthetic import SIZES, TEST_ROWS, VALIDATION_SPLIT, keep_logits, write_run

MODELS = ("bert_tiny", "bert_mini", "bert_small")
"""The last is the teacher; students are the others."""
LABELS = (10, 32, 100, 320, 1000)
PROCEDURES = (
    "finetune",
    "prompt",
    "distill from finetune",
    "distill from prompt",
    "zero_shot",
)
STUDY = [
    {"method": "zero_shot"},
    {"method": "finetune"},
    {"method": "prompt"},
    {"method": "distill", "teacher": {"method": "finetune"}},
    {"method": "distill", "teacher": {"method": "prompt"}},
]
TRANSFER = 2000
Truth = Callable[[str, str, int], float]
"""(procedure, model, labels) -> score on test in the long run."""


def truth(procedure: str, model: str, labels: int) -> float:
    """As the paper has it: prompting wins with few labels, fine-tuning with many."""
    top = SIZES[model].ceiling
    if procedure == "zero_shot":
        return 0.5 + (top - 0.5) * 0.35
    drop = {"finetune": 1.3, "prompt": 0.55}
    if procedure in drop:
        lost = 0.01 if procedure == "prompt" else 0.0
        return max(0.5, top - lost - drop[procedure] * labels**-0.45)
    teacher = truth(procedure.split(" from ")[1], MODELS[-1], labels)
    return max(0.5, min(top + 0.02, 0.5 * (top + teacher)) - 0.25 * labels**-0.5)


def crossed(
    folder: Path,
    *,
    procedures: Sequence[str] = PROCEDURES,
    models: Sequence[str] = MODELS,
    labels: Sequence[int] = LABELS,
    draws: int = 3,
    of: Truth = truth,
    spread: float = 0.012,
    seed: int = 0,
    rename: Callable[[str], str] = str,
    **study: Any,
) -> Run:
    """Write the run's folder and read it.

    Args:
        folder: written to.
        procedures: out of `PROCEDURES`.
        models: out of `SIZES`, the smallest first.
        labels: budgets.
        draws: of each cell; draw 0 is the search's.
        of: the truth.
        spread: standard deviation of a draw about the truth.
        seed: of the luck.
        rename: what methods and models are called.
        study: further keys of study.yaml.
    """
    rng = np.random.default_rng(seed)
    made: dict[str, TrialRecord] = {}
    for procedure in procedures:
        method, _, above = procedure.partition(" from ")
        for n in labels if method != "zero_shot" else (0,):
            for model in models[:-1] if above else models:
                for draw in range(draws if n else 1):
                    config = _config(method, model, n, draw, rename)
                    if above:
                        teacher = _config(above, models[-1], n, draw, rename)
                        config = replace(config, inputs={"teacher": teacher})
                    right = of(procedure, model, n) + (rng.normal(0, spread) if n else 0.0)
                    record = _record(config, model, above, models[-1], right, rng)
                    made[record.id] = record
    keys = {"procedures": STUDY, "shared_by": 8, "task": "sst2", **study}
    write_run(folder, list(made.values()), **keys)
    for record in made.values():
        keep_logits(folder, record)  # the search's draw is one of the crossing's
    return read_run(folder)


def part(run: Run, keep: Callable[[TrialRecord], object]) -> Run:
    """The run with some of its records alone."""
    kept = tuple(r for r in run.records if keep(r))
    return replace(run, records=kept, table=to_table(kept, shared_by=8))


def _config(
    method: str, model: str, labels: int, draw: int, rename: Callable[[str], str]
) -> TrialConfig:
    data = DataBudget(labels, min(labels, VALIDATION_SPLIT))
    splits = "5f1d0c0ffee15bad"
    return TrialConfig("sst2", splits, rename(method), rename(model), data).with_seed(draw)


def _record(
    config: TrialConfig,
    model: str,
    above: str,
    teacher: str,
    right: float,
    rng: np.random.Generator,
) -> TrialRecord:
    size, n, validation = SIZES[model], config.data.train, config.data.validation
    scores = {"test": {"accuracy": float(np.clip(round(right * TEST_ROWS) / TEST_ROWS, 0, 1))}}
    rows = {"test": TEST_ROWS}
    if n:
        seen = rng.binomial(validation, np.clip(right, 0, 1)) / validation
        scores["validation"], rows["validation"] = {"accuracy": float(seen)}, validation
    point = OperatingPoint(
        point_id([config.id], 1, {}),
        1,
        {},
        scores,
        rows,
        # a cloze head costs a little more than a linear one
        infer_flops=size.forward * (1.02 if config.method.endswith(("prompt", "zero_shot")) else 1),
        params=size.params,
        params_trained=size.params if n else 0,
        bytes=4 * size.params,
    )
    book = Ledger()
    for charge in _bill(size.forward, n, validation, TRANSFER if above else 0):
        book.inherit([charge], charge.payer)
    if above:
        (giver,) = config.upstream.values()
        book.inherit(_bill(SIZES[teacher].forward, n, validation, 0), giver.id)
        book.charge("label", flops=int(SIZES[teacher].forward * TRANSFER))
    return TrialRecord(
        config.id,
        config,
        "DONE",
        step=1,
        phase="confirm" if config.data.seed else "search",
        points=(point,),
        bill=tuple(book.bill()),
        labels_used=n + validation,
        unlabelled_used=TRANSFER if above else 0,
        score="accuracy",
        made_by={"device": "cpu"},
    )


def _bill(forward: float, n: int, validation: int, transfer: int) -> list[Charge]:
    if not n:
        return []
    train = Charge("train", "own", int(3 * forward * 4 * (n + transfer)), 30.0, n, n, n)
    return [train, Charge("validate", "own", int(forward * validation), 1.0)]
