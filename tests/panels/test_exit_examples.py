"""Easiest and hardest rows: which they are, in which order, and what they are called."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysearch.analysis import Run, read_run
from raysearch.analysis.exit_trials import (
    ExitOutputsBySeed,
    by_criterion,
    exit_outputs,
    exit_trial,
    never,
)
from raysearch.analysis.report_text import RowName
from raysearch.outputs import exit_rules
from raysearch.outputs.calibration import softmax
from raysearch.outputs.described import label_of
from raysearch.panels import exit_examples
from tests.support.exiting import LAYERS, exiting


@pytest.fixture(scope="module", params=[0, 3])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("examples") / "run"
    return exiting(folder, labels=(100,), depths=(), draws=request.param)


def mean_outputs(run: Run) -> tuple[dict[int, float], dict[int, float]]:
    """Where each row leaves the best trial, and how sure it is there: means over draws."""
    found = exit_trial(run)
    assert found is not None
    outputs = exit_outputs(run, found, "test")
    assert isinstance(outputs, ExitOutputsBySeed)
    at: dict[int, list[float]] = {}
    sure: dict[int, list[float]] = {}
    for one in outputs.draws:
        left = exit_rules.exits_for(one.exits, found.best.knobs)
        top = softmax(exit_rules.answers(one.exits, found.best.knobs)).max(axis=1)
        for row, k, p in zip(one.ids.tolist(), left.tolist(), top.tolist(), strict=True):
            at.setdefault(row, []).append(k + 1)
            sure.setdefault(row, []).append(p)
    return ({r: float(np.mean(v)) for r, v in at.items()},
            {r: float(np.mean(v)) for r, v in sure.items()})  # fmt: skip


def test_the_easiest_leave_first_and_surest_the_hardest_last_and_least_sure(run: Run) -> None:
    rows = exit_examples.info(run).rows
    easy = [r for r in rows if r.kind == "easiest"]
    hard = [r for r in rows if r.kind == "hardest"]
    assert len(easy) == len(hard) == 8
    keys = [(r.exit, -r.confidence) for r in easy]
    assert keys == sorted(keys) and len({c for _, c in keys}) > 1
    keys = [(-r.exit, r.confidence) for r in hard]
    assert keys == sorted(keys) and len({c for _, c in keys}) > 1
    at, sure = mean_outputs(run)
    shown = {r.row for r in easy}
    last = max((r.exit, -r.confidence) for r in easy)
    assert not [r for r in at if r not in shown and (at[r], -sure[r]) < (last[0], last[1] - 1e-9)]
    shown = {r.row for r in hard}
    last = max((-r.exit, r.confidence) for r in hard)
    assert not [r for r in at if r not in shown and (-at[r], sure[r]) < (last[0], last[1] - 1e-9)]


def test_of_a_best_that_never_leaves_early_a_faster_point_is_shown(tmp_path: Path) -> None:
    made = exiting(tmp_path / "r", labels=(100,), depths=(), draws=0, tries=1)
    file = made.folder / "records.jsonl"
    (event,) = [json.loads(line) for line in file.read_text().splitlines()]
    for point in event["points"]:
        whole = point["knobs"]["threshold"] == exit_rules.NEVER
        point["scores"]["validation"]["accuracy"] = 0.99 if whole else 0.5
        if point["knobs"]["threshold"] == 0.0:
            point["infer_flops"] = math.nan
    file.write_text(json.dumps(event) + "\n")
    run = read_run(made.folder)
    found = exit_trial(run)
    assert found is not None and never(found.best)
    info = exit_examples.info(run)
    assert "leaves at confidence" in info.whose and "never leaves early" not in info.caption
    assert {r.exit for r in info.rows if r.kind == "easiest"} == {1.0}
    (half,) = [p for p in found.points if label_of(p) in info.whose]
    whole = found.best.infer_flops or 0.0
    away = [abs((p.infer_flops or 0.0) - whole / 2) for p in by_criterion(found, "confidence")]
    assert abs((half.infer_flops or 0.0) - whole / 2) == min(a for a in away if not math.isnan(a))
    named = exit_examples.info(run, point=found.best.point_id)
    assert "never leaves early" in named.caption
    assert {r.exit for r in named.rows} == {float(LAYERS)}


def test_names_that_nobody_has_leave_the_numbers(run: Run) -> None:
    info = exit_examples.info(run)
    assert exit_examples.named(info, lambda split, rows: {}) == info
    assert exit_examples.BY_NUMBER in info.caption

    def some(split: str, rows: Any) -> dict[int, RowName]:
        return {rows[0]: RowName("0123456789abcdef")}

    partly = exit_examples.named(info, some)
    assert exit_examples.BY_HASH in partly.caption
    hashes = [n["hash"] for n in exit_examples.numbers(partly)]
    assert hashes.count("0123456789abcdef") == 1 and hashes.count(None) == len(hashes) - 1
    assert exit_examples.draw(partly).data


def test_rows_alone_have_numbers_without_their_store(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "alone"
    home.mkdir()
    for file in ("records.jsonl", "study.yaml"):
        shutil.copy(run.folder / file, home / file)
    info = exit_examples.info(read_run(home))
    assert info.rows == () and not exit_examples.draw(info).data

    def names(split: str, rows: Any) -> dict[int, RowName]:
        raise AssertionError("nothing is to be named")

    assert exit_examples.named(info, names) == info
