"""Zero-shot models and systems from outside: shown beside the choice, counted, never chosen."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raysearch.analysis import Run, read_run, summary
from raysearch.panels import frontier, write_pages
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.ownership_cost import MONTHS, baseline_cost
from raysearch.recommend.points import Points
from raysearch.recommend.sentences import details, footer, headline, why
from raysearch.recommend.setting import Setting
from raysearch.recommend.words import WORDS, text
from tests.support.synthetic import TEST_ROWS, add_outside, records, write_run, zero_shots

SPEED = {"latency_ms": 2.0, "tokenise_ms": 0.5, "throughput": 400.0}
RIGHT = {"bert_small": 0.66, "bert_tiny": 0.55}
PRICES = {"cpu_hour": 0.05, "label": 0.2}


def run(folder: Path, *, confirm: int = 0, measured: bool = False, **study: Any) -> Run:
    """A synthetic run with two zero-shot models and an outside system."""
    shots = zero_shots(RIGHT, **(SPEED if measured else {}))
    made = write_run(folder, [*records(90, confirm=confirm), *shots], **study)
    add_outside(made, "gpt", 0.9, labels=0, ms=700.0)
    return read_run(made)


def without(folder: Path, **more: Any) -> Points:
    """The same run without its zero-shot models."""
    return collect(read_run(write_run(folder, records(90, **more))))


def test_a_zero_shot_model_is_a_diamond_and_changes_nothing_else(tmp_path: Path) -> None:
    points, bare = collect(run(tmp_path / "a")), without(tmp_path / "b")
    assert [r.name for r in points.baselines] == [
        "gpt",
        "zero_shot bert_tiny",
        "zero_shot bert_small",
    ]
    assert [r.zero for r in points.baselines] == [False, True, True]
    assert [r.test for r in points.baselines[1:]] == [0.55, 0.66]
    assert (points.ids, points.methods, points.budgets) == (bare.ids, bare.methods, bare.budgets)
    assert points.unscored == bare.unscored > 0 and points.begun == 0
    # the last sentence names the folder
    assert headline(points, answer(points))[:-1] == headline(bare, answer(bare))[:-1] != ()
    assert points.trials == bare.trials + 2


def test_its_sentence_has_an_interval_and_a_verdict(tmp_path: Path) -> None:
    points = collect(run(tmp_path, confirm=3))
    given = answer(points)
    assert given.choice is not None and points.place[given.choice] >= 0
    sentences = [text(s) for s in details(points, given)][-2:]
    for sentence, baseline in zip(sentences, points.baselines[1:], strict=True):
        gap = f"{points.test[given.choice] - baseline.test:.2f} lower"
        ends = rf"accuracy {baseline.test:.2f} \[{baseline.low:.2f}, {baseline.high:.2f}\]"
        start = rf"Without labels, {baseline.name}: {ends}; against the choice {gap} \[−"
        assert re.match(start, sentence), sentence
        assert ", worse; " in sentence and sentence.endswith(" FLOPs a text.")
        half = 1.96 * (baseline.test * (1 - baseline.test) / TEST_ROWS) ** 0.5
        assert baseline.high - baseline.low == pytest.approx(2 * half, rel=0.1)  # of the rows alone
    outside = [text(s) for s in details(points, given)][-3]
    assert outside.startswith("Outside, gpt: ") and outside.endswith("700 ms a text.")


def test_an_unconfirmed_choice_is_not_compared_row_by_row(tmp_path: Path) -> None:
    points = collect(run(tmp_path))
    sentence = text(details(points, answer(points))[-1])
    assert sentence.startswith(
        "Without labels, zero_shot bert_small: accuracy 0.66 [0.63, 0.69]; not "
    )


def test_it_is_drawn_at_every_cost_it_has_and_counted_where_it_has_none(tmp_path: Path) -> None:
    made = run(tmp_path, measured=True)
    points = collect(made)
    small = {r.name: r for r in points.baselines}["zero_shot bert_small"]
    row = made.table[made.table["method"].eq("zero_shot") & made.table["model"].eq("bert_small")]
    for axis in ("infer_flops", "params", "bytes"):
        assert baseline_cost(small, Setting(cost=axis), {}) == float(row[axis].iloc[0]) > 0
    assert baseline_cost(small, Setting(cost="ms"), {}) == 2.5
    for axis, drawn in {"ms": 3, "bytes": 2, "train": 0, "labels": 0, "train_seconds": 0}.items():
        for teacher in ("full", "free"):
            given = answer(points, cost=axis, teacher=teacher)
            info = frontier.of(points, given)
            assert len(info.baselines) == drawn, axis
            lost = re.findall(r"zero-shot models not drawn for lack of ([a-z ]+): 2", info.caption)
            assert bool(lost) == (drawn == 0), info.caption
    marks = [t for t in frontier.draw(info).data if t.meta == {"role": "rival"}]
    assert len(marks) == 1 and marks[0].marker.symbol == "diamond"
    unmeasured = collect(run(tmp_path / "slow"))
    line = footer(unmeasured, answer(unmeasured, cost="ms"))
    assert "zero-shot models not drawn for lack of time per text: 2" in line


def test_to_own_it_costs_its_texts_alone(tmp_path: Path) -> None:
    points = collect(run(tmp_path, measured=True, prices=PRICES))
    small = points.baselines[-1]
    year = MONTHS * 1e6 * (1 / 400 + 0.0005) / 3600 * 0.05
    setting = Setting(cost="own", volume=1e6)
    assert baseline_cost(small, setting, PRICES) == pytest.approx(year)
    assert baseline_cost(replace(small, gpu=True), setting, {**PRICES, "gpu_hour": 2.0}) == (
        pytest.approx(40 * year)
    )
    assert not baseline_cost(replace(small, gpu=True), setting, PRICES) > 0
    outside = points.baselines[0]  # nobody said what a text of it costs
    assert not baseline_cost(outside, setting, PRICES) > 0
    priced = replace(outside, costs={"dollars_text": 0.001, "labels": 100.0})
    assert baseline_cost(priced, setting, PRICES) == pytest.approx(12e3 + 20)


def test_its_reason_says_that_it_was_not_a_candidate(tmp_path: Path) -> None:
    points = collect(run(tmp_path))
    reasons = dict(why(points, answer(points)))
    assert reasons["zero_shot"] == WORDS["why_zero"]
    outcome = points.outcomes["zero_shot"]
    assert (outcome.trials, outcome.points, outcome.zero, outcome.failed) == (2, 2, 2, 0)
    assert {r for r in reasons if "why" in r or "zero" in r} == {"zero_shot"}


def test_where_nothing_fits_it_is_still_shown(tmp_path: Path) -> None:
    points = collect(run(tmp_path))
    given = answer(points, labels=3)
    assert given.choice is None
    sentences = [text(s) for s in details(points, given)]
    assert len(sentences) == 3 and sentences[1].startswith("Without labels, zero_shot bert_tiny")


def test_a_run_of_zero_shot_models_alone_recommends_nothing(tmp_path: Path) -> None:
    made = read_run(write_run(tmp_path / "run", zero_shots(RIGHT)))
    points = collect(made)
    assert [text(s) for s in headline(points, answer(points))] == [WORDS["only_zero"]]
    assert "not drawn" not in footer(points, answer(points)), "nothing is drawn"
    assert write_pages(made, tmp_path / "out").is_file()
    json.dumps(summary(made.table), allow_nan=False)
    failed = [replace(r, status="FAILED", points=(), error="oom") for r in zero_shots(RIGHT)]
    lost = collect(read_run(write_run(tmp_path / "lost", failed)))
    assert "First reason: oom" in text(headline(lost, answer(lost))[0])


def test_one_that_is_not_scored_yet_is_not_drawn(tmp_path: Path) -> None:
    shots = [
        replace(r, points=(replace(r.points[0], scores={}, rows={}),)) for r in zero_shots(RIGHT)
    ]
    points = collect(read_run(write_run(tmp_path / "run", [*records(90), *shots])))
    bare = without(tmp_path / "bare")
    assert points.baselines == () and points.unscored == bare.unscored
    assert dict(why(points, answer(points)))["zero_shot"] == WORDS["why_zero"]
