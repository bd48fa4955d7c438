"""Cascades of confirmed points: what is chosen, what is shown, and what it costs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysearch.analysis import Run, read_run
from raysearch.analysis.bootstrap import features
from raysearch.analysis.cascade import cascades, of_pair, why
from raysearch.analysis.cascade_members import Pair, members, pairs
from raysearch.analysis.cascade_point import Cascade
from raysearch.analysis.confirmation import confirmation, stored_logits
from raysearch.analysis.thresholds import (
    confidence,
    judged,
    levels,
    sums_by_level,
    swept,
    thresholds,
)
from raysearch.data.evaluate import scores
from raysearch.data.task_data import own_task
from raysearch.errors import InputError
from raysearch.outputs.calibration import temperature
from raysearch.outputs.described import words_of_knobs
from raysearch.outputs.exit_rules import answers as leave
from raysearch.outputs.exit_rules import grid
from raysearch.outputs.point_kinds.exits import read as read_exits
from raysearch.record import point_id
from raysearch.scores import SCORES
from tests.support.judged import own_csv
from tests.support.judged import write_run as write_judged
from tests.support.passing import SPLIT, Part, bill, keep, write

SMALL = Part("mini-2", 100.0, 0.75, heat=2.0)
MIDDLE = Part("mini-4", 400.0, 0.8)
LARGE = Part("mini-6", 1000.0, 0.9)
TWO = (SMALL, LARGE)
ALL = (SMALL, MIDDLE, LARGE)


# Thresholds on arrays


def random_answers(classes: int, n: int = 300) -> tuple[Any, Any, Any]:
    """Logits of two models, and labels."""
    rng = np.random.default_rng(classes)
    label = rng.integers(classes, size=n)
    out = []
    for skill in (1.0, 2.0):
        logits = rng.normal(size=(n, classes))
        logits[np.arange(n), label] += skill
        out.append(logits.astype(np.float32))
    return out[0], out[1], label


@pytest.mark.parametrize("score", ["accuracy", "macro_f1", "mcc"])
@pytest.mark.parametrize("classes", [2, 5])
def test_every_threshold_scores_what_its_answers_score(score: str, classes: int) -> None:
    first, second, label = random_answers(classes)
    tried = thresholds(classes)
    sure = confidence(first, 1.3)
    level = levels(sure, tried)
    count = len(tried) + 1

    def sums(logits: Any) -> Any:
        predicted = logits.argmax(axis=1)
        return sums_by_level(level, predicted, label, count=count, classes=classes, score=score)

    counts = np.bincount(level, minlength=count)
    found, on = swept(sums(first), sums(second), counts, score)
    assert len(found) == len(on) == len(tried) and (np.diff(on) >= 0).all()
    for t, value, share in zip(tried, found, on, strict=True):
        stays = sure >= t
        assert share == pytest.approx(1 - stays.mean())
        answers = np.where(stays[:, None], first, second)
        assert value == pytest.approx(scores(answers, label)[score])
        rows = judged(first, second, sure, t, label, score)
        assert SCORES[score].whole([rows]) == pytest.approx(value)


@pytest.mark.parametrize("score", ["accuracy", "macro_f1", "mcc"])
def test_the_extremes_are_the_members(score: str) -> None:
    """Nobody goes on: the first's score; everybody does: the second's, to the digit."""
    first, second, label = random_answers(3)
    sure = confidence(first, 1.0)
    tried = np.array([0.0, 1.5])
    level = levels(sure, tried)
    assert set(level) == {1}
    parts = [
        sums_by_level(level, z.argmax(axis=1), label, count=3, classes=3, score=score)
        for z in (first, second)
    ]
    found, on = swept(parts[0], parts[1], np.bincount(level, minlength=3), score)
    assert on.tolist() == [0.0, 1.0]
    of = SCORES[score].sums
    assert of is not None
    alone = [of.total(p.sum(axis=0), np.array(float(len(label)))) for p in parts]
    assert found.tolist() == [float(a) for a in alone]
    for logits, threshold in ((first, 0.0), (second, 1.5)):
        own = features(logits.astype(np.float64), label, score)
        assert np.array_equal(judged(first, second, sure, threshold, label, score), own)


def test_arrays_are_not_changed() -> None:
    first, second, label = random_answers(2)
    before = [a.copy() for a in (first, second, label)]
    sure = confidence(first, 2.0)
    judged(first, second, sure, 0.7, label, "mcc")
    level = levels(sure, thresholds(2))
    parts = sums_by_level(level, label, label, count=23, classes=2, score="mcc")
    swept(parts, parts, np.bincount(level, minlength=23), "mcc")
    for old, new in zip(before, (first, second, label), strict=True):
        assert np.array_equal(old, new)


def test_the_thresholds_are_those_of_an_early_exit() -> None:
    for classes in (2, 4, 77):
        tried = thresholds(classes).tolist()
        assert tried == sorted(tried) and 1 / classes < tried[0] and tried[-1] < 1
        own = {k["threshold"] for k in grid(classes, 4) if k["criterion"] == "confidence"}
        assert set(tried) == own - {"never", 0.0}
        assert [float(f"{t:g}") for t in tried] == tried, "as it is printed, so it is"


def test_a_score_of_numbers_has_no_levels() -> None:
    with pytest.raises(ValueError, match="pearson"):
        none = np.zeros(1, np.int64)
        sums_by_level(none, none, none, count=1, classes=2, score="pearson")


# What is chosen


def validation_of(run: Run, part: Part, draw: int = 0) -> tuple[Any, Any, Any]:
    """Logits, ids and labels, by id."""
    logits, ids, label = stored_logits(run.folder, part.point(draw), "validation")
    order = np.argsort(ids)
    return logits[order], ids[order], label[order]


def by_hand(run: Run, parts: tuple[Part, ...], score: str) -> set[tuple[str, str, float]]:
    """What nothing beats, the slow way: (first, second, threshold); all have the same rows."""
    seen = {p: validation_of(run, p) for p in parts}
    all_pairs = []
    for p in parts:
        z, _, label = seen[p]
        all_pairs.append((scores(z, label)[score], -float(p.flops or 0), None))
    for a, b in combinations(sorted(parts, key=lambda p: p.flops or 0), 2):
        if a.flops == b.flops:
            continue
        z, _, label = seen[a]
        sure = confidence(z, temperature(z, label))
        for t in thresholds(z.shape[1]):
            stays = sure >= t
            value = scores(np.where(stays[:, None], z, seen[b][0]), label)[score]
            cost = float(a.flops or 0) + float(b.flops or 0) * (~stays).mean()
            all_pairs.append((value, -cost, (a.point(), b.point(), float(t))))

    def beaten(one: Any) -> bool:
        return any(
            o[0] >= one[0] - 1e-12
            and o[1] >= one[1] - 1e-9
            and (o[0] > one[0] + 1e-12 or o[1] > one[1] + 1e-9 or o[2] is None)
            for o in all_pairs
        )

    return {e[2] for e in all_pairs if e[2] is not None and not beaten(e)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("score", "classes"), [("accuracy", 2), ("accuracy", 4), ("macro_f1", 3), ("mcc", 2)]
)
def test_what_is_kept_is_what_nothing_beats(tmp_path: Path, score: str, classes: int) -> None:
    more = Part("mini-5", 400.0, 0.82, method="prompt")  # not cheaper than MIDDLE: no pair
    run = write(tmp_path, (*ALL, more), score=score, classes=classes)
    found = cascades(run)
    expected = by_hand(run, (*ALL, more), score)
    kept = {(c.first, c.second, c.threshold) for c in found}
    assert len(found) > 5 and len(kept) == len(found) and kept <= expected
    # Of two thresholds between which no text lies the higher stands; equals of others are named.
    named = {words for c in found for words in c.ties}
    for a, b, t in expected - kept:
        sure = confidence(*_calibrated(run, a))
        same = [c for c in found if (c.first, c.second) == (a, b) and c.threshold > t]
        twin = any(((sure >= t) == (sure >= c.threshold)).all() for c in same)
        assert twin or any(words.endswith(f" below {t:g}") for words in named)
    costs = [c.validation_flops for c in found]
    assert costs == sorted(costs)
    assert why(run) == ""


def _calibrated(run: Run, point: str) -> tuple[Any, float]:
    logits, _, label = stored_logits(run.folder, point, "validation")
    return logits, temperature(logits, label)


def test_what_a_cascade_says_of_validation(tmp_path: Path) -> None:
    run = write(tmp_path, TWO)
    for c in cascades(run):
        a, b = validation_of(run, SMALL), validation_of(run, LARGE)
        stays = confidence(a[0], temperature(a[0], a[2])) >= c.threshold
        assert c.validation_on == pytest.approx(1 - stays.mean()) and 0 < c.validation_on < 1
        answers = np.where(stays[:, None], a[0], b[0])
        assert c.validation == pytest.approx(scores(answers, a[2])["accuracy"])
        assert c.validation_flops == pytest.approx(100.0 + c.validation_on * 1000.0)
        assert c.validation_rows == 200
        assert (c.first, c.second) == (SMALL.point(), LARGE.point())
        assert c.words == f"finetune mini-2, then finetune mini-6 below {c.threshold:g}"
        knobs = {"criterion": "confidence", "threshold": c.threshold}
        knobs |= {"first": c.first, "second": c.second}
        assert c.point_id == point_id([SMALL.config.id, LARGE.config.id], 0, knobs)


def test_the_larger_never_stands_first(tmp_path: Path) -> None:
    dear = replace(SMALL, flops=5000.0)  # as good as before, but not cheap
    for c in cascades(write(tmp_path, (dear, LARGE))):
        assert (c.first, c.second) == (LARGE.point(), dear.point())
    even = replace(SMALL, flops=1000.0)
    assert cascades(write(tmp_path / "even", (even, LARGE))) == ()


def test_test_logits_choose_nothing(tmp_path: Path) -> None:
    def chosen(found: tuple[Cascade, ...]) -> list[Any]:
        bare = {"test": None, "low": None, "high": None, "against": {}}
        bare |= {"on": None, "infer_flops": None}
        return [replace(c, **bare) for c in found]

    one = cascades(write(tmp_path / "a", ALL, seed=0))
    other = cascades(write(tmp_path / "b", ALL, seed=9))
    assert chosen(one) == chosen(other) and len(one) > 5
    assert [c.test for c in one] != [c.test for c in other]


def test_the_order_of_records_and_rows_does_not_matter(tmp_path: Path) -> None:
    expected = cascades(write(tmp_path / "a", ALL))
    write(tmp_path / "b", ALL[::-1])
    for entry in (tmp_path / "b" / "store" / "logits").iterdir():
        for name in ("logits", "ids", "labels"):
            np.save(entry / f"{name}.npy", np.load(entry / f"{name}.npy")[::-1])
    found = cascades(read_run(tmp_path / "b"))
    assert [c.point_id for c in found] == [c.point_id for c in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.test == pytest.approx(theirs.test) and ours.on == theirs.on


def test_one_point_a_cell_its_best_on_validation(tmp_path: Path) -> None:
    worse = replace(SMALL, skill=0.5, knobs=({"depth": 1}, {"depth": 2}), method="early")
    run = write(tmp_path, (*TWO, worse))
    read, _ = members(run, [e.point_id for e in confirmation(run).estimates])
    cells = {(m.record.config.method, m.record.config.rung) for m in read if m.winner}
    assert len(read) == 4 and sum(m.winner for m in read) == len(cells) == 3
    assert {p for c in cascades(run) for p in (c.first, c.second)} <= {
        m.point.point_id for m in read if m.winner
    }


def test_a_cheap_model_that_is_best_leaves_no_cascade(tmp_path: Path) -> None:
    run = write(tmp_path, (replace(SMALL, skill=1.5), replace(LARGE, skill=0.4)))
    assert len(confirmation(run).estimates) == 2
    assert cascades(run) == () and why(run) == ""


def test_pairs_are_judged_on_the_rows_they_share(tmp_path: Path) -> None:
    few = replace(SMALL, labels=40)
    run = write(tmp_path, (few, SMALL, LARGE))
    found = cascades(run)
    assert {c.validation_rows for c in found if c.first == few.point()} <= {40}
    assert {c.validation_rows for c in found if c.first == SMALL.point()} == {200}
    a, b = validation_of(run, few), validation_of(run, LARGE)
    shared = np.isin(b[1], a[1])
    assert np.array_equal(b[1][shared], a[1]), "budgets are nested"
    alone = {p: scores(*_on(run, p, a[1]))["accuracy"] for p in (few, SMALL, LARGE)}
    for c in found:
        if c.first == few.point():
            assert "(40 labels)" in c.words and "(200 labels)" in c.words
            stays = confidence(a[0], temperature(a[0], a[2])) >= c.threshold
            both = np.where(stays[:, None], a[0], b[0][shared])
            assert c.validation == pytest.approx(scores(both, a[2])["accuracy"])
            for part, value in alone.items():
                assert c.validation > value or c.validation_flops < float(part.flops or 0)


def _on(run: Run, part: Part, rows: Any) -> tuple[Any, Any]:
    logits, ids, label = validation_of(run, part)
    shared = np.isin(ids, rows)
    return logits[shared], label[shared]


def test_equal_cascades_keep_the_one_that_was_cheaper_to_train(tmp_path: Path) -> None:
    """Two seconds that answer alike and infer alike: the other is named."""
    twin = replace(LARGE, method="prompt")
    write(tmp_path, (*TWO, twin))
    store = tmp_path / "store" / "logits"
    for draw in range(4):
        for split in SPLIT:
            other = store / f"{twin.point(draw)}-{split}"
            shutil.rmtree(other)
            shutil.copytree(store / f"{LARGE.point(draw)}-{split}", other)
    path = tmp_path / "records.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for event in lines:
        if event["config"]["method"] == "prompt":
            event["bill"].append({"phase": "adapt", "payer": "own", "flops": 5})
    path.write_text("".join(json.dumps(e) + "\n" for e in lines))
    found = cascades(read_run(tmp_path))
    assert found and {c.second for c in found} == {LARGE.point()}
    for c in found:
        assert any("prompt mini-6" in words for words in c.ties)


# What is shown


def of_draw(run: Run, part: Part, draw: int, split: str) -> tuple[Any, Any]:
    logits, ids, label = stored_logits(run.folder, part.point(draw), split)
    order = np.argsort(ids)
    return logits[order], label[order]


@pytest.mark.parametrize(("score", "classes"), [("accuracy", 2), ("macro_f1", 4)])
def test_an_estimate_is_the_mean_of_the_draws(tmp_path: Path, score: str, classes: int) -> None:
    run = write(tmp_path, TWO, score=score, classes=classes)
    alone = {e.point_id: e for e in confirmation(run).estimates}
    found = cascades(run)
    assert len(found) > 3
    for c in found:
        values = []
        for draw in (1, 2, 3):
            a, label = of_draw(run, SMALL, draw, "test")
            b, _ = of_draw(run, LARGE, draw, "test")
            heat = temperature(*of_draw(run, SMALL, draw, "validation"))
            assert heat > 1.05, "overconfident, and another in each draw"
            stays = confidence(a, heat) >= c.threshold
            values.append(scores(np.where(stays[:, None], a, b), label)[score])
        assert c.test == pytest.approx(np.mean(values)) and (c.draws, c.test_rows) == (3, 600)
        assert c.low is not None and c.high is not None and c.low < c.test < c.high
        assert set(c.against) == {SMALL.point(), LARGE.point()}
        for name, (gap, low, high) in c.against.items():
            assert gap == pytest.approx(c.test - alone[name].score) and low < gap < high
    widths = [c.high - c.low for c in found if c.low is not None and c.high is not None]
    paired = [h - low for c in found for _, low, h in c.against.values()]
    assert np.mean(paired) < np.mean(widths), "rows and draws are paired"


def test_estimates_do_not_depend_on_how_many_are_resampled_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cascades(write(tmp_path, ALL))
    monkeypatch.setattr("raysearch.analysis.thresholds.TOGETHER", 1)
    parts = cascades(read_run(tmp_path))
    assert [c.point_id for c in parts] == [c.point_id for c in whole]
    for a, b in zip(parts, whole, strict=True):
        assert (a.low, a.high, a.test) == pytest.approx((b.low, b.high, b.test))
        for name, ends in a.against.items():
            assert ends == pytest.approx(b.against[name])


def test_members_are_compared_on_the_draws_that_both_have(tmp_path: Path) -> None:
    run = write(tmp_path, (replace(SMALL, draws=5), LARGE, replace(MIDDLE, draws=4)))
    draws = {(c.first, c.second): c.draws for c in cascades(run)}
    assert draws[SMALL.point(), LARGE.point()] == 3
    assert draws[SMALL.point(), MIDDLE.point()] == 4


def test_a_point_below_three_draws_is_in_no_cascade(tmp_path: Path) -> None:
    run = write(tmp_path, (*TWO, replace(MIDDLE, draws=2)))
    assert MIDDLE.point() not in {p for c in cascades(run) for p in (c.first, c.second)}
    none = write(tmp_path / "none", [replace(p, draws=2) for p in TWO])
    assert cascades(none) == () and why(none) == "no confirmed points: 2 of 3 draws have run"
    bare = write(tmp_path / "bare", [replace(p, draws=0) for p in TWO])
    assert cascades(bare) == () and why(bare) == "no confirmed points"


def test_below_three_draws_in_common_nothing_is_shown(tmp_path: Path) -> None:
    """Each has three, but not the same: chosen on validation all the same."""
    run = write(tmp_path, (replace(SMALL, draws=5), replace(LARGE, draws=5)))
    lines = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    gone = {("mini-2", 1), ("mini-2", 2), ("mini-6", 5), ("mini-6", 4)}
    lines = [
        e for e in lines if (e["config"]["rung"], e["config"]["data"].get("seed", 0)) not in gone
    ]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(e) + "\n" for e in lines))
    fewer = read_run(tmp_path)
    read, _ = members(run, [SMALL.point(), LARGE.point()])
    assert [len(p.draws) for p in pairs(read)] == [5]
    read, _ = members(fewer, [SMALL.point(), LARGE.point()])
    assert [p.draws for p in pairs(read)] == [(3,)]
    from raysearch.analysis import cascade

    kept = cascade._chosen(read, "accuracy")
    shown = cascade._shown(fewer, kept, "accuracy", "").cascades
    assert shown and {(c.draws, c.test, c.low, c.high) for c in shown} == {(1, None, None, None)}
    assert all(not c.against for c in shown)
    for c in shown:
        assert (c.on, c.infer_flops) == (c.validation_on, c.validation_flops)


def with_events(folder: Path, change: Any) -> Run:
    """The run with each record's event as `change(event, draw)` leaves it."""
    path = folder / "records.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        change(event, event["config"]["data"].get("seed", 0))
    path.write_text("".join(json.dumps(e) + "\n" for e in events))
    return read_run(folder)


def test_inference_is_judged_on_test_over_the_draws_each_at_its_own_cost(tmp_path: Path) -> None:
    write(tmp_path, TWO)

    def dearer(event: Any, draw: int) -> None:
        event["points"][0]["infer_flops"] *= 1 + draw

    run = with_events(tmp_path, dearer)
    for c in cascades(run):
        shares, costs = [], []
        for draw in (1, 2, 3):
            logits, _ = of_draw(run, SMALL, draw, "test")
            heat = temperature(*of_draw(run, SMALL, draw, "validation"))
            shares.append(1 - (confidence(logits, heat) >= c.threshold).mean())
            costs.append((100.0 + shares[-1] * 1000.0) * (1 + draw))
        assert c.on == pytest.approx(np.mean(shares)) and c.on != c.validation_on
        assert c.infer_flops == pytest.approx(np.mean(costs))
        assert c.validation_flops == pytest.approx(100.0 + c.validation_on * 1000.0), "of draw 0"
        assert c.alone == pytest.approx({SMALL.point(): 300.0, LARGE.point(): 3000.0})


def test_a_cost_that_is_no_number_is_absent(tmp_path: Path) -> None:
    expected = cascades(write(tmp_path, ALL))

    def of_draw_2(event: Any, draw: int) -> None:
        if draw == 2:
            event["points"][0]["infer_flops"] = float("nan")

    found = cascades(with_events(tmp_path, of_draw_2))
    assert found == expected, "a draw without its own costs what the point costs"

    def of_middle(event: Any, draw: int) -> None:
        if event["config"]["rung"] == "mini-4":
            event["points"][0]["infer_flops"] = float("nan")

    run = with_events(tmp_path, of_middle)
    assert {p for c in cascades(run) for p in (c.first, c.second)} == {
        SMALL.point(),
        LARGE.point(),
    }
    assert why(run).startswith("1 of 3 confirmed points left out: ") and "infer_flops" in why(run)


def cross_fitted(folder: Path) -> tuple[Run, Any]:
    """The run, and what its task holds."""
    from tests.support.judged import Recipe

    task = own_task(str(own_csv(folder / "mine.csv")))
    recipes = (Recipe(right=0.6), Recipe("embed_linear", "random-1", right=0.8, flops=1e3))
    data = write_judged(folder / "run", task, recipes=recipes)
    return read_run(folder / "run"), data


def test_cross_fitted_rows_that_chose_judge_nothing(tmp_path: Path) -> None:
    run, data = cross_fitted(tmp_path)
    found, folds = cascades(run), confirmation(run).folds
    read, _ = members(run, [e.point_id for e in confirmation(run).estimates])
    chose = np.union1d(read[0].ids, read[1].ids)
    assert found and 0 < len(chose) < len(data.pool) and np.isin(chose, data.pool.ids).all()
    for c in found:
        assert c.draws == folds >= 3 and c.left_out == len(chose)
        assert c.test_rows == len(data.pool) - len(chose)
        by = {m.point.point_id: m for m in read}
        parts: dict[str, list[Any]] = {"both": [], c.first: [], c.second: [], "label": [], "on": []}
        for draw in range(1, folds + 1):
            at = {n: by[n].fresh[draw].points[0].point_id for n in (c.first, c.second)}
            heat = temperature(*stored_logits(run.folder, at[c.first], "validation")[::2])
            a, ids, label = stored_logits(run.folder, at[c.first], "test")
            b, others, _ = stored_logits(run.folder, at[c.second], "test")
            assert np.array_equal(ids, others)
            judging = ~np.isin(ids, chose)
            on = confidence(a, heat) < c.threshold
            for name, z in ((c.first, a), (c.second, b), ("both", np.where(on[:, None], b, a))):
                parts[name].append(z[judging])
            parts["label"].append(label[judging])
            parts["on"].append(on[judging])
        whole = {k: np.concatenate(v) for k, v in parts.items()}
        value = {k: scores(whole[k], whole["label"])["accuracy"] for k in ("both", *by)}
        assert c.test == pytest.approx(value["both"]) and c.low is not None and c.low < c.test
        assert c.on == pytest.approx(whole["on"].mean()), "of all rows, as the score"
        assert c.infer_flops == pytest.approx(100.0 + c.on * 1e3)
        for name, (gap, _, _) in c.against.items():
            assert gap == pytest.approx(value["both"] - value[name])


def test_a_validation_split_with_numbers_of_its_own_judges_nothing_anyway(tmp_path: Path) -> None:
    run, data = cross_fitted(tmp_path)
    for entry in (run.folder / "store" / "logits").glob("*-validation"):
        np.save(entry / "ids.npy", np.arange(len(np.load(entry / "ids.npy"))))
    again = read_run(run.folder)
    assert cascades(again)
    assert {(c.left_out, c.test_rows) for c in cascades(again)} == {(0, len(data.pool))}


def test_draws_on_other_folds_make_no_pair(tmp_path: Path) -> None:
    run = write(tmp_path, TWO)
    read, _ = members(run, [SMALL.point(), LARGE.point()])
    assert len(list(pairs(read))) == 1
    folded = {d: replace(r, config=r.config.with_seed(d, 4)) for d, r in read[1].fresh.items()}
    assert list(pairs([read[0], replace(read[1], fresh=folded)])) == []
    other = replace(read[1].record, config=replace(read[1].record.config, splits="0" * 16))
    assert list(pairs([read[0], replace(read[1], record=other)])) == []


# What it costs


def pair_of(folder: Path, *parts: Part) -> Pair:
    run = write(folder, parts)
    read, _ = members(run, [p.point() for p in parts])
    (pair,) = [p for p in pairs(read) if (p.first.point.point_id) == parts[0].point()]
    return pair


def test_a_teacher_that_is_a_member_is_paid_once(tmp_path: Path) -> None:
    student = Part("mini-2", 100.0, 0.75, method="distill", teacher=LARGE)
    pair = pair_of(tmp_path, student, LARGE)
    own = student.own + 10
    answered = 1000 * (student.labels + student.texts)  # LARGE forward over what it labels
    assert pair.train_flops_full == own + LARGE.own + 10 + answered
    assert pair.train_flops == pair.train_flops_full, "all of it is the members' own work"
    assert pair.words(0.9) == "distill from finetune mini-2, then finetune mini-6 below 0.9"
    alone = sum(c.flops for c in bill(student) if c.phase != "test")
    assert pair.train_flops_full == alone, "the student's bill holds the teacher's"


def test_two_students_share_their_teacher(tmp_path: Path) -> None:
    small = Part("mini-2", 100.0, 0.75, method="distill", teacher=LARGE)
    middle = replace(small, rung="mini-4", flops=400.0)
    pair = pair_of(tmp_path / "a", small, middle)
    answered = 1000 * (small.labels + small.texts)
    assert pair.train_flops == small.own + middle.own + 20
    assert pair.train_flops_full == pair.train_flops + LARGE.own + 10 + answered
    further = pair_of(tmp_path / "b", small, replace(middle, texts=3000))
    assert further.train_flops_full == pair.train_flops_full + 1000 * 3000, "another set of texts"


def test_strangers_pay_their_own(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, SMALL, LARGE)
    assert pair.train_flops == pair.train_flops_full == SMALL.own + LARGE.own + 20
    assert (pair.params, pair.bytes) == (20, 80)
    first = replace(pair.first, point=replace(pair.first.point, params=None))
    assert Pair(first, pair.second).params is None


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        (SMALL, LARGE, 400),
        (replace(SMALL, labels=40), LARGE, 400),
        (SMALL, replace(LARGE, labels=40), 400),
        (replace(SMALL, labels=40, validation=300), LARGE, 500),
        (Part("mini-2", 1.0, labels=40, method="distill", teacher=LARGE), MIDDLE, 400),
    ],
)
def test_labels_are_the_union(tmp_path: Path, first: Part, second: Part, labels: int) -> None:
    pair = pair_of(tmp_path, first, second)
    assert pair.labels == labels

    def rows(part: Part) -> set[tuple[str, int]]:
        own = {("train", i) for i in range(part.labels)}
        own |= {("validation", i) for i in range(part.config.data.validation)}
        return own | (rows(part.teacher) if part.teacher else set())

    assert labels == len(rows(first) | rows(second))


def test_the_bills_stand_in_the_cascade(tmp_path: Path) -> None:
    student = Part("mini-2", 100.0, 0.75, method="distill", teacher=LARGE)
    run = write(tmp_path, (student, LARGE))
    found = cascades(run)
    pair = next(pairs(members(run, [student.point(), LARGE.point()])[0]))
    assert found
    for c in found:
        assert (c.train_flops, c.train_flops_full) == (pair.train_flops, pair.train_flops_full)
        assert (c.labels, c.params, c.bytes) == (pair.labels, pair.params, pair.bytes)


# Members with exits, and what is gone


KNOBS = (
    {"criterion": "confidence", "threshold": 0.9},
    {"criterion": "confidence", "threshold": "never"},
)


def with_exits(folder: Path) -> tuple[Part, Run]:
    """A member whose logits follow from what its exits say."""
    part = replace(LARGE, method="early_exit", knobs=KNOBS)
    write(folder, (SMALL, part))
    store = folder / "store" / "logits"
    for draw in range(part.draws + 1):
        trial = part.config.with_seed(draw).id
        for split in SPLIT:
            whole = store / f"{part.point(draw, 1)}-{split}"
            z, ids, label = (np.load(whole / f"{n}.npy") for n in ("logits", "ids", "labels"))
            noise = np.random.default_rng(draw).normal(0, 1.0, z.shape)
            exits = np.stack([0.5 * z + noise, z], axis=1).astype(np.float32)
            arrays = {"exits": exits, "temperature": np.array([1.5, 1.2]), "ids": ids}
            keep(folder, f"{trial}-{split}", {**arrays, "labels": label}, kind="exits")
            for at, knobs in enumerate(KNOBS):
                name = f"{part.point(draw, at)}-{split}"
                shutil.rmtree(store / name)
                keep(folder, name, {}, exits=f"{trial}-{split}", knobs=knobs)
    return part, read_run(folder)


def test_members_with_exits(tmp_path: Path) -> None:
    part, run = with_exits(tmp_path)
    found = cascades(run)
    assert found and why(run) == ""
    at = {c.second for c in found}
    assert at <= {part.point(0, k) for k in range(2)} and len(at) == 1
    knobs = KNOBS[0] if at == {part.point(0, 0)} else KNOBS[1]
    c = found[-1]
    assert f"early_exit mini-6 ({words_of_knobs(knobs).label})" in c.words
    values = []
    for draw in (1, 2, 3):
        a, label = of_draw(run, SMALL, draw, "test")
        entry = tmp_path / "store" / "exits" / f"{part.config.with_seed(draw).id}-test"
        b = leave(read_exits(entry)[0], knobs)
        stays = confidence(a, temperature(*of_draw(run, SMALL, draw, "validation"))) >= c.threshold
        values.append(scores(np.where(stays[:, None], a, b), label)["accuracy"])
    assert c.test == pytest.approx(np.mean(values))


def test_without_a_store_there_are_none_and_it_is_said(tmp_path: Path) -> None:
    write(tmp_path, TWO)
    shutil.rmtree(tmp_path / "store")
    run = read_run(tmp_path)
    assert cascades(run) == ()
    assert why(run).startswith("the draws of 2 choices have no interval")


@pytest.mark.parametrize("how", ["gone", "empty", "half"])
def test_a_point_without_validation_logits_is_left_out(tmp_path: Path, how: str) -> None:
    write(tmp_path, ALL)
    entry = tmp_path / "store" / "logits" / f"{MIDDLE.point()}-validation"
    path = entry / "logits.npy"
    if how == "gone":
        shutil.rmtree(entry)
    else:
        path.write_bytes(path.read_bytes()[:200] if how == "half" else b"")
    run = read_run(tmp_path)
    found = cascades(run)
    assert found and {p for c in found for p in (c.first, c.second)} == {
        SMALL.point(),
        LARGE.point(),
    }
    assert why(run).startswith("1 of 3 confirmed points left out: ") and "\n" not in why(run)
    for part in TWO:
        shutil.rmtree(tmp_path / "store" / "logits" / f"{part.point()}-validation")
    run = read_run(tmp_path)
    assert cascades(run) == () and why(run).startswith("3 of 3 confirmed points left out: ")


def test_without_a_draws_validation_logits_nothing_is_shown(tmp_path: Path) -> None:
    """Its temperature is not known; what was chosen stays."""
    chosen = cascades(write(tmp_path, TWO))
    shutil.rmtree(tmp_path / "store" / "logits" / f"{SMALL.point(2)}-validation")
    run = read_run(tmp_path)
    found = cascades(run)
    assert [c.point_id for c in found] == [c.point_id for c in chosen]
    assert {c.test for c in found} == {None}
    assert why(run).startswith("no cascade is shown on test: ")


def test_one_entry_that_is_gone_takes_one_member_s_cascades_off_test(tmp_path: Path) -> None:
    whole = {c.point_id: c for c in cascades(write(tmp_path, ALL))}
    shutil.rmtree(tmp_path / "store" / "logits" / f"{SMALL.point(2)}-validation")
    run = read_run(tmp_path)
    found = cascades(run)
    assert [c.point_id for c in found] == list(whole)
    gone = [c for c in found if c.first == SMALL.point()]
    assert 0 < len(gone) < len(found) and {c.test for c in gone} == {None}
    for c in found:
        if c not in gone:
            assert c == whole[c.point_id]
    sentence = f"{len(gone)} of {len(found)} cascades are not shown on test: "
    assert why(run).startswith(sentence) and "\n" not in why(run)


def test_a_draw_that_one_pair_alone_has_is_lost_to_that_pair(tmp_path: Path) -> None:
    """The others have three draws; of the fourth an entry is gone."""
    small, middle = replace(SMALL, draws=4), replace(MIDDLE, draws=4)
    write(tmp_path, (small, middle, LARGE))
    shutil.rmtree(tmp_path / "store" / "logits" / f"{middle.point(4)}-test")
    run = read_run(tmp_path)
    shown = {(c.first, c.second): c.test is not None for c in cascades(run)}
    assert shown[small.point(), LARGE.point()] and not shown[small.point(), middle.point()]
    assert " cascades are not shown on test: " in why(run)


def test_a_point_without_infer_flops_is_left_out(tmp_path: Path) -> None:
    run = write(tmp_path, (*TWO, replace(MIDDLE, flops=None)))
    assert cascades(run) and "has no infer_flops" in why(run)


def test_one_cell_and_numbers_have_none(tmp_path: Path) -> None:
    alone = write(tmp_path / "a", [SMALL])
    assert cascades(alone) == () and "two cells" in why(alone)
    from tests.support.synthetic import records, write_run

    made = records(40, seed=2, confirm=3, score="pearson")
    numbers = read_run(write_run(tmp_path / "b", made))
    assert confirmation(numbers).estimates and cascades(numbers) == ()
    assert why(numbers).startswith("score 'pearson'")


def test_a_grid_study_counts_its_first_draw(tmp_path: Path) -> None:
    run = write(tmp_path, [replace(p, draws=2) for p in TWO], procedures=[{"method": "finetune"}])
    assert confirmation(run).crossed
    found = cascades(run)
    assert found and {(c.draws, c.own_draw) for c in found} == {(3, True)}
    fresh = cascades(write(tmp_path / "search", TWO))
    assert {(c.draws, c.own_draw) for c in fresh} == {(3, False)}


# A named pair


def test_a_named_pair_has_every_threshold_whatever_beats_it(tmp_path: Path) -> None:
    worse = replace(SMALL, skill=0.5, knobs=({"depth": 1}, {"depth": 2}), method="early")
    run = write(tmp_path, (*ALL, worse))
    read, _ = members(run, [e.point_id for e in confirmation(run).estimates])
    other = next(m for m in read if m.record.config.method == "early" and not m.winner)
    name = other.point.point_id
    assert name not in {p for c in cascades(run) for p in (c.first, c.second)}
    found, missing = of_pair(run, name, LARGE.point())
    assert missing == "" and {(c.first, c.second) for c in found} == {(name, LARGE.point())}
    logits, _, label = stored_logits(run.folder, name, "validation")
    sure = confidence(logits, temperature(logits, label))
    on = [(sure < t).mean() for t in thresholds(2)]
    assert [c.validation_on for c in found] == pytest.approx(sorted(set(on)))
    assert len({c.point_id for c in found}) == len(found) > 2
    alone = {m.point.point_id: ((m.predicted == m.label).mean(), m.flops) for m in read}
    for c in found:
        assert c.test is not None and set(c.against) == {name, LARGE.point()}
        better = {
            p: -score
            for p, (score, flops) in alone.items()
            if score >= c.validation and flops <= c.validation_flops
        }
        assert (c.beaten_by in better) == bool(better) == bool(c.beaten_by)
        assert not better or better[c.beaten_by] == min(better.values())
    assert any(c.beaten_by for c in found), "points alone beat some of them"


def test_a_named_pair_of_winners_is_told_alike(tmp_path: Path) -> None:
    run = write(tmp_path, ALL)
    listed = {c.point_id: c for c in cascades(run)}
    named = of_pair(run, SMALL.point(), LARGE.point())[0]
    both = [c for c in named if c.point_id in listed]
    assert len(both) > 3 and any(c.beaten_by for c in named)
    for c in both:
        ours = {k: getattr(c, k) for k in ("test", "on", "infer_flops", "validation", "threshold")}
        theirs = {k: getattr(listed[c.point_id], k) for k in ours}
        assert ours == pytest.approx(theirs) and not c.beaten_by


def test_pairs_that_cannot_be_are_refused(tmp_path: Path) -> None:
    few = replace(MIDDLE, draws=2)
    run = write(tmp_path, (*TWO, few, replace(SMALL, method="prompt")))
    small, large = SMALL.point(), LARGE.point()
    for first, second, what in (
        (small, few.point(), f"point {few.point()} is not confirmed: 2 of 3 draws have run"),
        (large, small, "the cheaper one is asked first"),
        (small, replace(SMALL, method="prompt").point(), "100 and 100 FLOPs a text"),
    ):
        with pytest.raises(InputError, match=what):
            of_pair(run, first, second)
    write(tmp_path / "other", TWO)

    def elsewhere(event: Any, draw: int) -> None:
        if event["config"]["rung"] == "mini-6":
            event["config"]["splits"] = "0" * 16

    other = with_events(tmp_path / "other", elsewhere)
    with pytest.raises(InputError, match="were judged on different data"):
        of_pair(other, small, large)
    shutil.rmtree(tmp_path / "store" / "logits" / f"{small}-validation")
    with pytest.raises(InputError, match="1 of 3 confirmed points left out: .*No such file"):
        of_pair(read_run(tmp_path), small, large)


def test_a_run_is_read_once(tmp_path: Path) -> None:
    run = write(tmp_path, TWO)
    before = run.table.copy()
    assert cascades(run) is cascades(run)
    assert cascades(read_run(tmp_path)) == cascades(run) and run.table.equals(before)
