"""The map of winners: who stands for whom, who wins, and when nobody may be called a winner."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raysearch.analysis.bootstrap import Judged, replicates
from raysearch.analysis.method_map import method_map, won

ONE = np.array([1.0])


def single(resampled: np.ndarray, **more: Any) -> Any:
    """The map of one cell that holds one point of each procedure."""
    m = resampled.shape[1]
    cost = more.pop("cost", np.arange(1.0, m + 1))
    flat = np.ones(m)
    return method_map(np.arange(m), flat, cost, flat, resampled, ONE, np.array([1e3]), **more)


def some(seed: int, m: int = 40, b: int = 50) -> dict[str, np.ndarray]:
    """Points of four procedures anywhere, with equal values among them."""
    rng = np.random.default_rng(seed)
    return {
        "procedure": rng.integers(0, 4, m),
        "labels": rng.choice([0.0, 10.0, 32.0, 100.0], m),
        "cost": rng.choice([1.0, 3.0, 10.0, np.nan], m),
        "prefer": rng.integers(0, 6, m) / 6,
        "resampled": rng.integers(0, 5, (b, m)) / 5,
        "label_budgets": np.array([0.0, 10.0, 32.0, 100.0]),
        "cost_budgets": np.array([0.5, 1.0, 3.0, 10.0]),
    }


def test_a_better_procedure_wins_and_is_called() -> None:
    rng = np.random.default_rng(0)
    made = single(rng.normal([0.7, 0.8, 0.6], 0.02, (1000, 3)))
    assert made.best[0, 0] == 1 and made.decided[0, 0] and made.rivals[0, 0] == 3
    assert made.share[0, 0] > 0.99 and made.shares[0, 0].sum() == pytest.approx(1)


def test_a_lead_below_the_bound_is_undecided() -> None:
    scores = np.array([[0.6, 0.7]] * 94 + [[0.7, 0.6]] * 6)
    made = single(scores)
    assert (made.best[0, 0], made.share[0, 0]) == (1, 0.94) and not made.decided[0, 0]
    assert single(scores, sure=0.94).decided[0, 0]


@pytest.mark.parametrize("dear", [0, 1])
def test_equal_choices_are_undecided_and_the_cheaper_leads(dear: int) -> None:
    same = np.random.default_rng(1).normal(0.8, 0.01, (200, 1))
    made = single(np.hstack([same, same]), cost=np.roll([1.0, 2.0], dear))
    assert made.shares[0, 0].tolist() == [0.5, 0.5] and not made.decided[0, 0]
    assert made.best[0, 0] == dear


def test_equal_choices_of_equal_cost_keep_the_first() -> None:
    made = single(np.full((5, 3), 0.8), cost=np.ones(3))
    assert made.best[0, 0] == 0 and made.share[0, 0] == pytest.approx(1 / 3)


def test_a_share_alone_calls_false_winners_and_paired_intervals_stop_them() -> None:
    """Two procedures of one truth on three draws each: whoever is called a winner is none."""
    rng, rows, both, tries = np.random.default_rng(2), 300, [0, 0], 60
    for _ in range(tries):
        hard = rng.random(rows)
        choices = []
        for _ in range(2):
            draws = []
            for d in range(3):
                right = np.zeros((rows, 1))
                luck = 0.7 * hard + 0.3 * rng.random(rows)
                right[np.argsort(luck)[: round(rows * rng.normal(0.8, 0.03))]] = 1
                draws.append(Judged(d, np.arange(rows), right))
            choices.append(draws)
        made = replicates(choices, "accuracy", resamples=200)
        low, high = made.difference(0, 1)
        differ = np.array([[False, low > 0 or high < 0]] * 2)
        differ[1] = differ[0, ::-1]
        both[0] += bool(single(made.resampled).decided[0, 0])
        both[1] += bool(single(made.resampled, differ=differ).decided[0, 0])
    alone, guarded = (n / tries for n in both)
    assert guarded <= 0.08 < alone


def test_who_is_not_apart_from_one_rival_has_not_won() -> None:
    scores = np.array([[0.6, 0.9, 0.5]] * 10)
    differ = ~np.eye(3, dtype=np.bool_)
    assert single(scores, differ=differ).decided[0, 0]
    differ[1, 2] = differ[2, 1] = False
    assert not single(scores, differ=differ).decided[0, 0]
    differ[:] = True
    differ[0, 2] = differ[2, 0] = False  # two losers that nobody can tell apart
    assert single(scores, differ=differ).decided[0, 0]


def test_nothing_fits_one_alone_fits_both_fit() -> None:
    scores = np.array([[0.9, 0.7]] * 20)
    labels, cost = np.array([100.0, 10.0]), np.array([5.0, 1.0])
    made = method_map(
        np.array([0, 1]),
        labels,
        cost,
        np.ones(2),
        scores,
        np.array([0.0, 10.0, 100.0]),
        np.array([0.1, 1.0, 5.0]),
    )
    assert made.best.tolist() == [[-1, -1, -1], [-1, 1, 1], [-1, 1, 0]]
    assert made.rivals.tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 2]]
    assert np.isnan(made.share[0, 0]) and made.share[1, 1] == 1.0 and made.decided[1, 1]
    assert made.choice[1, 1].tolist() == [-1, 1] and np.isnan(made.shares[1, 1, 0])
    assert not made.decided[0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_more_of_either_budget_never_takes_anything_away(seed: int) -> None:
    given = some(seed)
    made = method_map(**given)
    assert (np.diff(made.rivals, axis=0) >= 0).all() and (np.diff(made.rivals, axis=1) >= 0).all()
    value = np.where(made.choice >= 0, given["prefer"][made.choice], -1.0)
    assert (np.diff(value, axis=0) >= 0).all() and (np.diff(value, axis=1) >= 0).all()
    assert ((made.best >= 0) == (made.rivals > 0)).all() and (made.best >= 0).any()
    assert (made.best < 0).any()


@pytest.mark.parametrize("seed", range(5))
def test_the_map_is_that_of_a_plain_loop(seed: int) -> None:
    g = some(seed)
    made = method_map(**g)
    for y, spend in enumerate(g["cost_budgets"]):
        for x, labels_used in enumerate(g["label_budgets"]):
            stands: dict[int, int] = {}
            for i in range(len(g["cost"])):
                if not (g["labels"][i] <= labels_used and g["cost"][i] <= spend):
                    continue
                kind = int(g["procedure"][i])
                rank = [(-g["prefer"][k], g["cost"][k], g["labels"][k], k) for k in range(i + 1)]
                if kind not in stands or rank[i] < rank[stands[kind]]:
                    stands[kind] = i
            wins = dict.fromkeys(stands, 0.0)
            for scores in g["resampled"]:
                top = max((scores[i] for i in stands.values()), default=0.0)
                tied = [kind for kind, i in stands.items() if scores[i] == top]
                for kind in tied:
                    wins[kind] += 1 / len(tied) / len(g["resampled"])
            assert {k: int(c) for k, c in enumerate(made.choice[y, x]) if c >= 0} == stands
            for kind, share in wins.items():
                assert made.shares[y, x, kind] == pytest.approx(share)
            if stands:
                assert wins[made.best[y, x]] == pytest.approx(max(wins.values()))


def test_ties_on_validation_go_to_the_cheaper_then_to_fewer_labels_then_to_the_first() -> None:
    one = np.zeros(4, dtype=np.intp)
    cost, labels = np.array([2.0, 1.0, 1.0, 1.0]), np.array([1.0, 9.0, 5.0, 5.0])
    made = method_map(one, labels, cost, np.ones(4), np.zeros((3, 4)), np.array([9.0]), cost[:1])
    assert made.choice.ravel().tolist() == [2]


def test_test_scores_never_choose_within_a_procedure() -> None:
    given = some(0)
    other = {**given, "resampled": 1 - given["resampled"]}
    first, second = method_map(**given), method_map(**other)
    assert (first.choice == second.choice).all() and (first.best != second.best).any()


def test_inputs_are_untouched_and_wrong_ones_refused() -> None:
    given = some(3)
    before = {k: v.copy() for k, v in given.items()}
    method_map(**given)
    assert all(np.array_equal(given[k], v, equal_nan=True) for k, v in before.items())
    with pytest.raises(ValueError, match="other shapes"):
        method_map(**{**given, "labels": given["labels"][1:]})
    with pytest.raises(ValueError, match="without what it is chosen by"):
        method_map(**{**given, "prefer": np.where(given["prefer"] > 0.5, np.nan, 0.5)})


def test_without_points_nothing_fits() -> None:
    none = np.zeros(0)
    made = method_map(none.astype(np.intp), none, none, none, np.zeros((0, 0)), ONE, ONE)
    assert made.best.tolist() == [[-1]] and made.choice.shape == (1, 1, 0)


def test_shares_add_up() -> None:
    scores = np.random.default_rng(0).integers(0, 3, (500, 4)) / 3
    assert won(scores).sum() == pytest.approx(1) and (won(scores) > 0.15).all()
