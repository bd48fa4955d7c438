"""A grid study of tables of n-grams without torch: a teacher, taught tables, tables from labels.

Every table has points cut to fewer rows and rounded. Rows share how hard they are with every model
and draw. Models may be renamed; parameters are those of the ladder's models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.analysis import Run, read_run
from raysearch.config.catalog import ladder
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.ledger import Charge, Ledger
from raysearch.ngrams.tables import DTYPES, cuts
from raysearch.record import OperatingPoint, TrialRecord, point_id
from tests.support.synthetic import TEST_ROWS, keep_logits, write_run

TEACHER = ("minilm-6", 8.6e8, 0.88)
"""Model, FLOPs a text, score on test in the long run."""
LABELS = (100, 640)
STUDY = [{"method": "finetune"}, {"method": "dan"}, {"method": "sparse_distill"}]
SPLITS = "5f1d0c0ffee15bad"


@dataclass(frozen=True, slots=True)
class Table:
    """One trial of the grid."""

    model: str
    method: str = "sparse_distill"
    ngrams: int = 3
    vocabulary: str = "frequent"
    level: float = 0.0
    """Above the truth that its method and n have."""


TABLES = (
    Table("dan-10k", "dan", 2),
    Table("dan-10k", "dan", 2, "hashed", -0.01),
    Table("dan-10k", level=-0.03),
    Table("dan-100k"),
    Table("dan-100k", vocabulary="hashed", level=-0.02),
    Table("dan-1m-4k"),
    Table("dan-1m"),
    Table("dan-1m-62k", level=-0.01),
    *(Table("dan-1m-4k", ngrams=n, level=-0.01 * abs(3 - n)) for n in (1, 2, 4)),
)


def sparse(
    folder: Path,
    *,
    tables: Sequence[Table] = TABLES,
    labels: Sequence[int] = LABELS,
    draws: int = 3,
    teacher: bool = True,
    measured: bool = False,
    tested: bool = True,
    equal: bool = False,
    rename: Callable[[str], str] = str,
    seed: int = 0,
    **study: Any,
) -> Run:
    """Write the run's folder and read it.

    Args:
        folder: written to.
        tables: of each label budget.
        labels: budgets.
        draws: of each cell; draw 0 is the search's.
        teacher: whether the teacher's own trials are in the run.
        measured: whether points have been timed: the teacher's, and of tables those in float32.
        tested: whether the points have been scored on test.
        equal: whether every table answers as its teacher does.
        rename: what methods and models are called.
        study: further keys of study.yaml.
    """
    rng = np.random.default_rng(seed)
    made: list[TrialRecord] = []
    for n in labels:
        for draw in range(draws):
            giver = _config("finetune", TEACHER[0], n, {}, rename).with_seed(draw)
            right = TEACHER[2] - 0.5 * n**-0.5 + rng.normal(0, 0.01)
            if teacher:
                made.append(_teacher(giver, right, measured, tested))
            for table in tables:
                hyper = {"ngrams": table.ngrams, "vocabulary": table.vocabulary}
                config = _config(table.method, table.model, n, hyper, rename).with_seed(draw)
                if table.method == "sparse_distill":
                    config = replace(config, inputs={"teacher": giver})
                down = 0.0 if equal else 0.08 + 0.06 * (table.method == "dan")
                luck = 0.0 if equal else rng.normal(0, 0.01) + table.level
                record = _trial(config, table, right - down + luck, measured, tested, equal)
                made.append(record)
    write_run(folder, made, **{"procedures": STUDY, "task": "sst2", **study})
    for record in made:
        keep_logits(folder, record)
    if equal:
        _answer_alike(folder, made)
    return read_run(folder)


def _config(
    method: str, model: str, n: int, hyper: Mapping[str, Any], rename: Callable[[str], str]
) -> TrialConfig:
    data = DataBudget(n, min(n, 256))
    return TrialConfig("sst2", SPLITS, rename(method), rename(model), data, hyper=dict(hyper))


def _scored(right: float, config: TrialConfig, tested: bool) -> dict[str, Any]:
    value = round(float(np.clip(right, 0, 1)) * TEST_ROWS) / TEST_ROWS
    scores = {"validation": {"accuracy": value}} | ({"test": {"accuracy": value}} if tested else {})
    rows = {"validation": config.data.validation} | ({"test": TEST_ROWS} if tested else {})
    return {"scores": scores, "rows": rows}


def _teacher(config: TrialConfig, right: float, measured: bool, tested: bool) -> TrialRecord:
    point = OperatingPoint(
        point_id([config.id], 40, {}),
        40,
        **_scored(right, config, tested),
        infer_flops=TEACHER[1],
        params=22_600_000,
        bytes=90_400_000,
        measured={"latency_ms": 6.0, "tokenise_ms": 0.2} if measured else {},
    )
    return _record(config, (point,), {})


def _trial(
    config: TrialConfig, table: Table, right: float, measured: bool, tested: bool, equal: bool
) -> TrialRecord:
    rung = ladder()[table.model]
    kept = cuts(rung.buckets) if table.vocabulary == "frequent" else [rung.buckets]
    points = []
    for rows in kept:
        for dtype in DTYPES:
            knobs = {"rows": rows, "table": dtype}
            lost = 0.02 * np.log10(rung.buckets / rows) + 0.003 * (dtype == "int8")
            params = rows * rung.hidden + rung.hidden**2 + 3 * rung.hidden + 2
            flops = rung.hidden * (20 * (rows / rung.buckets) ** 0.1 + 2 * rung.hidden)
            timed = measured and dtype == "float32"
            points.append(
                OperatingPoint(
                    point_id([config.id], 100, knobs),
                    100,
                    knobs,
                    **_scored(right - (0.0 if equal else lost), config, tested),
                    infer_flops=flops,
                    params=params,
                    params_trained=params,
                    bytes=rows * rung.hidden * DTYPES[dtype] + 4 * (params - rows * rung.hidden),
                    measured={"latency_ms": 1e-6 * flops + 0.02, "tokenise_ms": 0.01}
                    if timed
                    else {},
                )
            )
    return _record(config, tuple(points), config.hyper)


def _record(
    config: TrialConfig, points: tuple[OperatingPoint, ...], hyper: Mapping[str, Any]
) -> TrialRecord:
    n, rows = config.data.train, config.data.validation
    book = Ledger()
    book.charge("train", flops=int(1e6 * n), seconds=3.0, texts=n, tokens=64 * n, labels=n)
    for given in config.upstream.values():
        book.inherit([Charge("label", given.id, texts=n)], given.id)
    return TrialRecord(
        config.id,
        config,
        "DONE",
        hyper=dict(hyper),
        phase="confirm" if config.data.seed else "search",
        step=points[0].step,
        points=points,
        bill=tuple(book.bill()),
        labels_used=n + rows,
        score="accuracy",
        made_by={"device": "cpu"},
    )


def _answer_alike(folder: Path, made: Sequence[TrialRecord]) -> None:
    """Every point's logits are those of the teacher of its draw and budget."""
    at = {(r.config.data.train, r.config.data.seed): r.points[0].point_id
          for r in made if not r.hyper}  # fmt: skip
    store = folder / "store" / "logits"
    for record in made:
        giver = at[record.config.data.train, record.config.data.seed]
        logits = np.load(store / f"{giver}-test" / "logits.npy")
        for point in record.points:
            np.save(store / f"{point.point_id}-test" / "logits.npy", logits)
