"""Orders, duplicates and carving as pure functions."""

import hashlib

import numpy as np
import pytest

from raysearch.data import splits
from raysearch.data.splits import (
    Part,
    blanks_apart,
    carve,
    drop_duplicates,
    normalise,
    spread,
    units,
)


def part(texts, labels=None, group=None, pair=None):
    label = None if labels is None else np.array(labels, dtype=np.int64)
    return Part(np.arange(len(texts)), list(texts), pair, label, group)


def numbered(counts):
    """Rows of len(counts) classes, all texts different."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return part([f"text {i}" for i in range(len(labels))], labels)


@pytest.mark.parametrize("counts", [[500, 500], [900, 90, 10], [3] * 40, [2000, 1], [7]])
@pytest.mark.parametrize("seed", range(3))
def test_every_prefix_keeps_the_proportions(counts, seed):
    y = numbered(counts).label
    order = spread(y, len(y), [seed], head=True)
    assert sorted(order) == list(range(len(y)))
    classes, share = len(counts), np.array(counts) / len(y)
    assert set(y[order[:classes]]) == set(range(classes))
    seen = np.zeros(classes)
    for n, i in enumerate(order, start=1):
        seen[y[i]] += 1
        # One row of each class stands first, so a common class may lag by what the rare ones took.
        if n >= classes:
            assert seen.min() >= 1
            assert np.all(np.abs(seen - n * share) <= 1.5 + share * classes)


def test_seeds_and_heads_differ_and_repeat():
    y = numbered([50, 50]).label
    same = [spread(y, 100, [4, 1], head=True) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], spread(y, 100, [5, 1], head=True))
    firsts = {int(y[spread(y, 100, [s], head=True)[0]]) for s in range(20)}
    assert firsts == {0, 1}, "which class stands first is random"


def test_regression_and_unlabelled_are_shuffled():
    y = np.linspace(0, 5, 40, dtype=np.float32)
    a, b = spread(y, 40, [1], head=True), spread(None, 40, [1], head=True)
    assert np.array_equal(a, b) and sorted(a) == list(range(40))
    assert len(spread(None, 0, [1], head=True)) == 0


def test_the_order_is_golden():
    """A later change of the order would silently change every trial's data: raise behaviour."""
    y = np.array([0, 1, 1, 0, 2, 1, 0, 0, 1, 0, 0, 1, 2, 0, 1, 0])
    order = spread(y, len(y), (7, 0), head=True)
    assert hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()[:16] == GOLDEN


GOLDEN = "97a7fa49e299ba38"


def test_duplicates_go_by_the_rules():
    parts = {
        "train": part(
            ["A b", "a  B", "c", "d", "e", "e", "f", "g"],
            [0, 0, 1, 0, 0, 1, 1, 1],
        ),
        "validation": part(["C", "t", "h", "h"], [1, 0, 0, 1]),
        "test": part(["T", "D "], [0, 0]),
        "unlabelled": part(["f", "x", "X", "d", "h"]),
    }
    before = {name: list(p.text) for name, p in parts.items()}
    out, dropped = drop_duplicates(parts)
    assert out["train"].text == ["A b", "e", "e", "f", "g"]
    assert out["validation"].text == ["C", "h", "h"]
    assert out["test"].text == ["T", "D "]
    assert out["unlabelled"].text == ["x"]
    assert dropped == {
        "train_in_test": 1,
        "train_in_validation": 1,
        "train_twice": 1,
        "train_conflicting": 1,
        "validation_in_test": 1,
        "unlabelled_in_train": 1,
        "unlabelled_in_test": 1,
        "unlabelled_in_validation": 1,
        "unlabelled_twice": 1,
    }
    assert {name: p.text for name, p in parts.items()} == before
    assert out["train"].ids.tolist() == [0, 4, 5, 6, 7]


def test_a_pair_is_a_duplicate_only_as_a_pair():
    train = part(["a", "a b"], [0, 1], pair=["b c", "c"])
    test = part(["A"], [0], pair=["b  C"])
    out, dropped = drop_duplicates({"train": train, "test": test})
    assert out["train"].text == ["a b"] and dropped == {"train_in_test": 1}


def test_groups_stay_on_one_side_of_given_splits():
    train = part(["a", "b", "c"], [0, 1, 0], group=["g1", "g2", ""])
    test = part(["d", "e"], [0, 1], group=["g2", ""])
    out, dropped = drop_duplicates({"train": train, "test": test})
    assert out["train"].text == ["a", "c"] and dropped == {"train_group_in_test": 1}


@pytest.mark.parametrize("seed", range(5))
def test_carving_cuts_no_unit(seed):
    rng = np.random.default_rng(seed)
    texts = [f"text {rng.integers(200)}" for _ in range(400)]
    group = [f"g{rng.integers(150)}" if rng.random() < 0.3 else "" for _ in range(400)]
    whole = part(texts, rng.integers(0, 3, 400), group)
    out = carve(whole, {"test": 60, "validation": 60}, [seed])
    assert sorted(np.concatenate([p.ids for p in out.values()])) == list(range(400))
    assert len(out["test"]) >= 60 and len(out["validation"]) >= 60
    sides = list(out.values())
    for i, one in enumerate(sides):
        for other in sides[i + 1 :]:
            assert not set(one.keys()) & set(other.keys())
            assert not (set(one.group) & set(other.group)) - {""}


def test_links_are_followed_through_text_and_group():
    chain = part(["a", "A", "b", "c"], [0, 0, 0, 0], ["", "g", "g", ""])
    assert len(set(units(chain)[:3])) == 1 and units(chain)[3] != units(chain)[0]


def test_carving_is_stratified_and_leaves_the_rare_in_train():
    out = carve(numbered([600, 200, 1]), {"test": 120, "validation": 120}, [0])
    for name in ("test", "validation"):
        share = np.mean(out[name].label == 1)
        assert abs(share - 0.25) < 0.02
    assert (out["train"].label == 2).sum() == 1


def test_blanks_become_the_pool():
    train = part(["a", "b", "c"], [0, -1, 1])
    pool = Part(np.arange(2), ["x", "y"])
    out, counts = blanks_apart({"train": train, "unlabelled": pool, "test": part(["t"], [-1])})
    assert out["unlabelled"].text == ["b", "x", "y"]
    assert out["unlabelled"].ids.tolist() == [1, 3, 4]
    assert out["unlabelled"].label is None and len(out["test"]) == 0
    assert counts == {"train_blank": 1, "test_blank": 1}


def test_normalise_folds_case_and_space():
    assert normalise("STRASSE\u00a0 ist\n") == normalise("straße ist")


# --- rows held back -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_rows_held_back_are_in_the_classes_shares_and_never_all_of_one(seed):
    rng = np.random.default_rng(seed)
    label = rng.choice(4, 200, p=[0.6, 0.25, 0.1, 0.05]).astype(np.int64)
    for count in (4, 30, 100):
        kept = splits.held_back(label, count)
        assert kept.sum() == count
        for k in range(4):
            size = int((label == k).sum())
            share = int((kept & (label == k)).sum())
            assert 1 <= share < size
            assert abs(share - count * size / 200) <= 1.5
    assert splits.held_back(np.array([0, 0, 1, 1]), 3).tolist() == [False, True, False, True]


def test_relatives_are_held_back_together():
    rng = np.random.default_rng(3)
    unit = rng.integers(0, 40, 200)
    label = (unit % 2).astype(np.int64)
    kept = splits.held_back(label, 50, unit)
    assert 40 <= kept.sum() <= 50 and set(label[kept]) == {0, 1}
    assert not set(unit[kept]) & set(unit[~kept])
    alone = splits.held_back(label, 50)
    assert set(unit[alone]) & set(unit[~alone])


def test_rows_know_their_relatives_where_there_are_groups():
    part = splits.Part(np.arange(4), ["a", "b", "c", "d"], group=["x", "y", "x", ""])
    unit = part.rows("train").unit
    assert unit is not None and unit[0] == unit[2] and len(set(unit.tolist())) == 3
    taken = part.rows("train").take(np.array([2, 0, 1])).unit
    assert taken is not None and taken.tolist() == unit[[2, 0, 1]].tolist()
    assert splits.Part(np.arange(1), ["a"]).rows("train").unit is None
