"""Paired bootstraps over draws and rows: against theory, against simulation, against evaluate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from raysearch.analysis import bootstrap
from raysearch.analysis.bootstrap import (
    FEWEST,
    Judged,
    Replicates,
    features,
    replicates,
)
from raysearch.data.evaluate import scores
from raysearch.score_intervals import Z95
from raysearch.scores import SCORES

pytestmark = pytest.mark.statistics
CLASSED = ("accuracy", "macro_f1", "mcc")


def total(parts: np.ndarray, score: str) -> float:
    """The score of rows from the sums of their parts."""
    of = SCORES[score].sums
    assert of is not None
    return float(of.total(parts.sum(axis=0), np.array(float(len(parts)))))


def rights(*draws: np.ndarray) -> list[Judged]:
    """A choice by how right it is on each row, a draw each."""
    ids = np.arange(len(draws[0]))
    return [Judged(d, ids, np.asarray(x, float)[:, None]) for d, x in enumerate(draws, start=1)]


def constant(values: np.ndarray, rows: int = 1) -> list[Judged]:
    """A choice whose rows all say the draw's score: no row noise at all."""
    return rights(*(np.full(rows, v) for v in values))


def width(ends: tuple[float, float]) -> float:
    return ends[1] - ends[0]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("k", [3, 5])
def test_equal_draws_leave_the_binomial_interval_of_the_rows(p: float, k: int) -> None:
    n = 1000
    right = np.arange(n) < p * n
    made = replicates([rights(*[right] * k)], "accuracy", resamples=8000)
    low, high = made.interval(0)
    half = Z95 * math.sqrt(p * (1 - p) / n)
    assert made.estimate[0] == pytest.approx(p)
    assert width((low, high)) == pytest.approx(2 * half, rel=0.05)
    assert (low, high) == pytest.approx((p - half, p + half), abs=0.05 * half * 2)


def against_student(k: int, samples: int) -> tuple[float, float]:
    """(mean width over that of Student's interval, share of intervals that hold the truth)."""
    rng = np.random.default_rng(0)
    ratio, holds = 0.0, 0
    for _ in range(samples):
        x = 0.8 + 0.02 * rng.normal(size=k)
        ends = replicates([constant(x)], "accuracy", resamples=400).interval(0)
        theory = 2 * student.ppf(0.975, k - 1) * x.std(ddof=1) / math.sqrt(k)
        ratio += width(ends) / theory / samples
        holds += ends[0] <= 0.8 <= ends[1]
    return ratio, holds / samples


@pytest.mark.parametrize("k", [3, 4, 5, 7, 10])
def test_without_row_noise_it_is_students_interval_over_draws(k: int) -> None:
    ratio, _ = against_student(k, 150)
    assert ratio == pytest.approx(1.0, abs=0.08)


def covered(k: int, rows: int, spread: float, shared: float, times: int = 250) -> float:
    """How often the interval holds the truth, of choices that differ from draw to draw."""
    rng, hits = np.random.default_rng(k), 0
    for seed in range(times):
        hard = rng.random(rows)
        draws = []
        for _ in range(k):
            # a row is right where it is easy enough; how good a draw is varies by `spread`
            eased = shared * (hard < 0.8) + (1 - shared) * 0.8 + spread * rng.normal()
            draws.append(rng.random(rows) < eased)
        made = replicates([rights(*draws)], "accuracy", resamples=400, seed=seed)
        low, high = made.interval(0)
        hits += low <= 0.8 <= high
    return hits / times


@pytest.mark.slow
@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize(
    ("rows", "spread", "shared"), [(200, 0.0, 0.0), (200, 0.02, 0.8), (400, 0.03, 0.5)]
)
def test_nineteen_of_twenty_intervals_hold_the_truth(
    k: int, rows: int, spread: float, shared: float
) -> None:
    assert covered(k, rows, spread, shared) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("k", [3, 5])
def test_intervals_of_draws_alone_hold_the_truth_too(k: int) -> None:
    assert against_student(k, 1000)[1] >= 0.93


@pytest.mark.slow
def test_the_difference_of_two_choices_is_covered() -> None:
    rng, hits, times = np.random.default_rng(3), 0, 250
    for seed in range(times):
        hard = rng.random(300)
        pair = []
        for p in (0.8, 0.76):
            moved = [p + 0.01 * rng.normal() for _ in range(3)]
            pair.append(rights(*(0.7 * hard + 0.3 * rng.random(300) < _cut(m) for m in moved)))
        low, high = replicates(pair, "accuracy", resamples=400, seed=seed).difference(0, 1)
        hits += low <= 0.04 <= high
    assert hits / times >= 0.93


def _cut(p: float) -> float:
    """Where 0.7 U + 0.3 V lies below with chance p, for p > 0.5."""
    return 1 - math.sqrt(2 * 0.7 * 0.3 * (1 - p)) if 1 - p < 0.3 / 1.4 else 0.15 + 0.7 * p


def test_pairing_pays() -> None:
    """Two choices that fail on the same rows are told apart where unpaired ones are not."""
    rng = np.random.default_rng(0)
    hard = rng.random(800)
    a, b = (
        rights(*(hard + 0.03 * rng.normal(size=800) < cut for _ in range(3)))
        for cut in (0.80, 0.775)
    )
    made = replicates([a, b], "accuracy")
    paired = made.difference(0, 1)
    assert paired[0] > 0
    lone = math.hypot(width(made.interval(0)), width(made.interval(1)))
    assert width(paired) < 0.5 * lone
    mixed = [Judged(j.draw, j.ids, rng.permutation(j.features)) for j in b]
    unpaired = replicates([a, mixed], "accuracy").difference(0, 1)
    assert width(paired) < 0.5 * width(unpaired) and unpaired[0] < 0 < unpaired[1]


def test_a_choice_against_itself_and_turned_round() -> None:
    rng = np.random.default_rng(0)
    a, b = (rights(*(rng.random(300) < p for _ in range(3))) for p in (0.8, 0.7))
    made = replicates([a, b, a], "accuracy")
    assert made.difference(0, 2) == (0.0, 0.0)
    low, high = made.difference(0, 1)
    assert made.difference(1, 0) == pytest.approx((-high, -low))


def test_what_stands_beside_a_choice_does_not_move_it() -> None:
    rng = np.random.default_rng(0)
    a, b = (rights(*(rng.random(200) < p for _ in range(4))) for p in (0.8, 0.7))
    alone, both = replicates([a], "accuracy"), replicates([b, a], "accuracy")
    assert alone.interval(0) == both.interval(1)
    assert np.array_equal(alone.resampled[:, 0], both.resampled[:, 1])


def test_blocks_and_the_order_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a = rights(*(rng.random(200) < 0.8 for _ in range(3)))
    whole = replicates([a], "accuracy")
    monkeypatch.setattr(bootstrap, "BLOCK", 1000)
    assert np.array_equal(replicates([a], "accuracy").resampled, whole.resampled)
    turned = [Judged(j.draw, j.ids[::-1].copy(), j.features[::-1].copy()) for j in a]
    assert replicates([turned], "accuracy").resampled == pytest.approx(whole.resampled)
    assert replicates([a], "accuracy", seed=1).interval(0) != whole.interval(0)
    assert whole.resampled.shape == (bootstrap.RESAMPLES, 1)


@pytest.mark.parametrize("score", CLASSED)
def test_the_estimate_is_the_mean_of_the_draws(score: str) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 150)
    logits = [rng.normal(size=(150, 3)) + 2 * np.eye(3)[label] for _ in range(4)]
    choice = [Judged(d, np.arange(150), features(z, label, score)) for d, z in enumerate(logits)]
    made = replicates([choice], score)
    each = [scores(z, label)[score] for z in logits]
    assert made.per_draw[0] == pytest.approx(each)
    assert made.estimate[0] == pytest.approx(np.mean(each))
    low, high = made.interval(0)
    assert low < made.estimate[0] < high


@pytest.mark.parametrize("score", CLASSED)
def test_folds_are_pooled_into_one_score_of_all_rows(score: str) -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 3, 120)
    logits = rng.normal(size=(120, 3)) + 1.5 * np.eye(3)[label]
    order = rng.permutation(120)
    folds = [np.sort(order[k::5]) for k in range(5)]
    choice = [
        Judged(k, f, features(logits[f], label[f], score)) for k, f in enumerate(folds, start=1)
    ]
    made = replicates([choice], score, pooled=True)
    assert made.estimate[0] == pytest.approx(scores(logits, label)[score])
    assert made.per_draw[0] == pytest.approx([scores(logits[f], label[f])[score] for f in folds])
    low, high = made.interval(0)
    assert low < made.estimate[0] < high
    if score == "accuracy":
        p = made.estimate[0]
        binomial = 2 * Z95 * math.sqrt(p * (1 - p) / 120)
        assert 0.9 < width((low, high)) / binomial < 2, "folds and rows: conservative, not wild"


def test_folds_of_unequal_size_count_by_their_rows() -> None:
    sizes = (10, 20, 90)
    ids = np.split(np.arange(120), np.cumsum(sizes)[:-1])
    right = [np.ones(10), np.zeros(20), np.tile([1.0, 0.0, 1.0], 30)]
    choice = [Judged(k, i, r[:, None]) for k, (i, r) in enumerate(zip(ids, right, strict=True))]
    assert replicates([choice], "accuracy", pooled=True).estimate[0] == pytest.approx(70 / 120)
    assert replicates([choice], "accuracy").estimate[0] == pytest.approx((1 + 0 + 2 / 3) / 3)


@pytest.mark.slow
def test_cross_fitted_intervals_hold_the_truth() -> None:
    rng, hits, times = np.random.default_rng(5), 0, 250
    for seed in range(times):
        right = rng.random(150) < 0.8
        folds = [np.arange(150)[k::5] for k in range(5)]
        choice = [Judged(k, f, right[f][:, None].astype(float)) for k, f in enumerate(folds)]
        made = replicates([choice], "accuracy", pooled=True, resamples=400, seed=seed)
        low, high = made.interval(0)
        hits += low <= 0.8 <= high
    assert hits / times >= 0.93


# The scores themselves


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 5), st.integers(0, 3))
def test_sums_decide_the_scores_of_evaluate(seed: int, n: int, classes: int, few: int) -> None:
    """Also where a class is never predicted, never true, or all there is."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, max(1, classes - few), n)
    logits = rng.normal(size=(n, classes)).round(1)  # ties now and then
    logits[:, : rng.integers(1, classes + 1)] += 1
    want = scores(logits, label)
    for score in CLASSED:
        found = total(features(logits, label, score), score)
        assert float(found) == pytest.approx(want[score], abs=1e-9), score


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-20, 20), st.integers(-20, 20)).map(lambda p: (p[0] / 4, p[1] / 4)),
        min_size=1,
        max_size=40,
    )
)
def test_sums_decide_the_scores_of_numbers(pairs: list[tuple[float, float]]) -> None:
    x, y = (np.array(v, np.float32) for v in zip(*pairs, strict=True))
    want = scores(x[:, None], y)
    for score in ("pearson", "mse"):
        found = total(features(x[:, None], y, score), score)
        assert found == pytest.approx(want[score], abs=1e-6), score


@pytest.mark.parametrize(("at", "by"), [(0.0, 1e-9), (1e7, 1.0)])
def test_pearson_knows_no_unit(at: float, by: float) -> None:
    """A correlation does not hang on where the numbers stand, nor on their unit."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=100)
    y = x + rng.normal(size=100)
    x, y = at + by * x, at + by * y
    want = scores(x[:, None], y)["pearson"]
    found = total(features(x[:, None], y, "pearson"), "pearson")
    assert found == pytest.approx(want, abs=1e-3)


def test_a_score_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="^score 'bleu': no interval is known. Known: accuracy, "):
        features(np.zeros((2, 2)), np.array([0, 1]), "bleu")


# What is asked, and what is left as it was


@pytest.mark.parametrize("k", range(FEWEST))
def test_below_three_draws_there_is_no_interval(k: int) -> None:
    with pytest.raises(ValueError, match=f"^{k} draws: at least 3 are needed"):
        replicates([constant(np.full(k, 0.5))] if k else [], "accuracy")


def test_choices_of_other_draws_or_rows_are_refused() -> None:
    a = constant(np.array([0.5, 0.6, 0.7]))
    other = [Judged(j.draw + 1, j.ids, j.features) for j in a]
    rows = [Judged(j.draw, j.ids + 1, j.features) for j in a]
    for b in (other, rows, a[::-1]):
        with pytest.raises(ValueError, match="judged on different draws or rows"):
            replicates([a, b], "accuracy")
    with pytest.raises(ValueError):
        replicates([a, a[:2]], "accuracy")
    with pytest.raises(ValueError):
        replicates([a[:2] + [a[2]] + [a[2]], a], "accuracy")


def test_inputs_are_left_as_they_were() -> None:
    rng = np.random.default_rng(0)
    a = rights(*(rng.random(50) < 0.8 for _ in range(3)))
    for judged in a:
        judged.ids.setflags(write=False)
        judged.features.setflags(write=False)
    logits, label = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    for array in (logits, label):
        array.setflags(write=False)
    for score in CLASSED:
        features(logits, label, score)
    copies = [j.features.copy() for j in a]
    made = replicates([a, a], "accuracy", resamples=50)
    assert isinstance(made, Replicates)
    assert all(np.array_equal(c, j.features) for c, j in zip(copies, a, strict=True))
    made.resampled.setflags(write=False)
    assert made.interval(0) == made.interval(0)


def test_all_differences_at_once_are_those_of_each_pair() -> None:
    rng = np.random.default_rng(0)
    per_draw = rng.random((5, 3))
    per_draw[1] = per_draw[0]  # a pair whose draws differ by nothing
    made = Replicates(rng.random(5), per_draw, rng.normal(size=(200, 5)))
    differences = made.differences()
    for i in range(5):
        for j in range(i):
            assert tuple(differences[i, j, 1:]) == made.difference(i, j)
            assert differences[i, j, 0] == made.estimate[i] - made.estimate[j]
            assert np.array_equal(differences[j, i], -differences[i, j][[0, 2, 1]])
    assert not differences[range(5), range(5)].any()
