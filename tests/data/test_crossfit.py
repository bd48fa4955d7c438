"""Cross-fitting: every row is judged once a repetition, by a model that saw nothing like it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raysearch.data import splits
from raysearch.data.crossfit import POOL, crossfit, fold_of, folds_of
from raysearch.data.splits import Part, normalise
from raysearch.data.task_data import TaskData, load_task, own_task
from raysearch.errors import InputError
from tests.support import tiny

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def table(path: Path, labels: list[str], **columns: list[object]) -> Path:
    frame = pd.DataFrame({"text": [f"said number {i}" for i in range(len(labels))]})
    frame = frame.assign(label=labels, **columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def classes(counts: tuple[int, ...]) -> list[str]:
    """Labels of so many rows a class, in a fixed shuffled order."""
    flat = np.repeat([f"c{k}" for k in range(len(counts))], counts)
    return [str(v) for v in np.random.default_rng(0).permutation(flat)]


@pytest.fixture
def own(tmp_path: Path) -> TaskData:
    """One file: 300 rows of three classes, of which ten texts stand under two labels."""
    path = table(tmp_path / "mine.csv", classes((200, 80, 20)))
    twice = "".join(f"said  NUMBER {i},c1\nsaid number {i},c2\n" for i in range(10))
    path.write_text(path.read_text() + twice)
    return load_task(own_task(str(path)))


def drawn(data: TaskData, folds: int, repetition: int = 0) -> list[TaskData]:
    """All folds of a repetition."""
    return [crossfit(data, folds, repetition * folds + k) for k in range(1, folds + 1)]


def keys(rows) -> set[str]:
    return {normalise(t) for t in rows.text}


def biggest(data: TaskData) -> int:
    _, counts = np.unique(splits.units(data.pool), return_counts=True)
    return int(counts.max())


@pytest.mark.parametrize("repetition", [0, 1, 3])
def test_folds_are_disjoint_and_hold_every_row_once(own: TaskData, repetition: int) -> None:
    folds = folds_of(own)
    ids = np.concatenate([d.splits["test"].ids for d in drawn(own, folds, repetition)])
    assert sorted(ids) == sorted(own.pool.ids) and folds >= 3


def test_the_splits_of_a_draw_are_the_pool_cut_in_three(own: TaskData) -> None:
    by_id = dict(zip(own.pool.ids.tolist(), own.pool.text, strict=True))
    for made in drawn(own, folds_of(own)):
        parts = [made.splits[name] for name in ("train", "validation", "test")]
        assert sorted(np.concatenate([p.ids for p in parts])) == sorted(own.pool.ids)
        assert all(p.split == POOL for p in parts), "one tokenised pool serves all of them"
        assert list(made.splits[POOL].text) == own.pool.text
        for rows in parts:
            assert [by_id[i] for i in rows.ids.tolist()] == list(rows.text)
        assert (made.digest, made.task, made.carved) == (own.digest, own.task, own.carved)
    assert own.splits["test"].split == "test" and POOL not in own.splits, "the task is not changed"


def test_a_text_under_two_labels_stays_on_one_side(own: TaskData) -> None:
    for draw in range(1, 2 * folds_of(own) + 1):
        made = crossfit(own, folds_of(own), draw)
        sides = [keys(made.splits[name]) for name in ("train", "validation", "test")]
        assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


def test_groups_stay_on_one_side(tmp_path: Path) -> None:
    who = [f"g{i // 7}" if i % 5 else "" for i in range(210)]
    path = table(tmp_path / "mine.csv", classes((150, 60)), who=who)
    data = load_task(own_task(str(path), group="who"))
    of = dict(zip(data.pool.ids.tolist(), data.pool.group or [], strict=True))
    for made in drawn(data, folds_of(data)):
        sides = [
            {of[i] for i in made.splits[name].ids.tolist()} - {""}
            for name in ("train", "validation", "test")
        ]
        assert all(sides) and not any(sides[i] & sides[j] for i, j in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("counts", [(100, 100), (180, 15, 5), (40,) * 8, (197, 3)])
def test_a_fold_holds_the_classes_in_their_proportions(
    tmp_path: Path, counts: tuple[int, ...]
) -> None:
    data = load_task(own_task(str(table(tmp_path / "mine.csv", classes(counts)))))
    folds, n = folds_of(data), len(data.pool)
    share = np.bincount(data.pool.label) / n
    for made in drawn(data, folds):
        test = made.splits["test"]
        assert abs(len(test) - n / folds) <= 1
        seen = np.bincount(test.label, minlength=len(share))
        # A fold is the difference of two prefixes, each within one row of its proportions.
        assert np.all(np.abs(seen - len(test) * share) <= 1.5), (seen, len(test) * share)


def test_a_class_is_spread_evenly_over_the_folds(tmp_path: Path) -> None:
    data = load_task(own_task(str(table(tmp_path / "mine.csv", classes((180, 35, 10))))))
    folds = folds_of(data)
    per = np.array([np.bincount(d.splits["test"].label, minlength=3) for d in drawn(data, folds)])
    assert np.all(per.max(axis=0) - per.min(axis=0) <= 2)
    assert np.all(per[:, 0] > 0)


def test_validation_is_carved_anew_and_as_large(own: TaskData) -> None:
    rows = [d.splits["validation"] for d in drawn(own, folds_of(own))]
    size = len(own.splits["validation"])
    assert all(size <= len(r) < size + biggest(own) for r in rows)
    assert len({tuple(r.ids.tolist()) for r in rows}) == len(rows)
    share = np.bincount(own.pool.label) / len(own.pool)
    for r in rows:  # texts of two labels count for their first, so a class may be off by some rows
        assert np.all(np.abs(np.bincount(r.label, minlength=3) - len(r) * share) <= 5)


def test_an_official_validation_split_stays(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    table(folder / "train.csv", classes((150, 60)))
    rows = pd.DataFrame({"text": [f"held out {i}" for i in range(30)], "label": ["c0", "c1"] * 15})
    rows.to_csv(folder / "validation.csv", index=False)
    data = load_task(own_task(str(folder)))
    assert data.carved == ("test",) and not data.official_test
    for made in drawn(data, folds_of(data)):
        assert made.splits["validation"] is data.splits["validation"]
        assert made.splits["validation"].split == "validation"
        ids = np.concatenate([made.splits["train"].ids, made.splits["test"].ids])
        assert sorted(ids) == sorted(data.pool.ids)
        data.budget(len(data.splits["train"]))
        made.budget(len(data.splits["train"]))


def test_an_unlabelled_pool_stays(tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", [*classes((80, 40)), *[""] * 20])
    data = load_task(own_task(str(path)))
    assert len(data.splits["unlabelled"]) == 20
    made = crossfit(data, folds_of(data), 1)
    assert made.splits["unlabelled"] is data.splits["unlabelled"]
    assert len(made.slice(made.budget(20, unlabelled=20))[2]) == 20


def test_the_same_draw_twice_and_other_draws_are_other(own: TaskData) -> None:
    folds = folds_of(own)
    first, again = crossfit(own, folds, 3), crossfit(own, folds, 3)
    for name in ("train", "validation", "test"):
        assert first.splits[name].ids.tolist() == again.splits[name].ids.tolist()
        assert list(first.splits[name].text) == list(again.splits[name].text)
    tests = {tuple(crossfit(own, folds, d).splits["test"].ids) for d in range(1, 3 * folds + 1)}
    assert len(tests) == 3 * folds, "a repetition cuts the folds anew"
    seeded = replace(own, task=replace(own.task, seed=1))
    assert not np.array_equal(
        crossfit(seeded, folds, 3).splits["test"].ids, first.splits["test"].ids
    )


def test_numbers_are_cross_fitted_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"text": [f"said {i}" for i in range(120)], "score": rng.random(120)})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    data = load_task(own_task(str(tmp_path / "mine.csv"), label="score", score="pearson"))
    made = drawn(data, folds_of(data))
    assert sorted(np.concatenate([d.splits["test"].ids for d in made])) == list(range(120))
    assert made[0].splits["test"].label.dtype == np.float32


def test_a_task_with_a_test_split_of_its_own_has_no_folds(tmp_path: Path) -> None:
    data = tiny.load(tiny.write_task(tmp_path / "two", "two"))
    assert data.official_test and folds_of(data) == 0
    with pytest.raises(InputError, match="^two: has a test split of its own, nothing to cross-fit"):
        crossfit(data, 5, 1)


@pytest.mark.parametrize(("folds", "draw"), [(1, 1), (0, 1), (5, 0), (5, -1)])
def test_folds_and_draws_out_of_range_are_refused(own: TaskData, folds: int, draw: int) -> None:
    with pytest.raises(InputError, match=r"must be >= 1 of >= 2") as e:
        crossfit(own, folds, draw)
    assert "\n" not in str(e.value)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """Rows of some classes, in texts and groups of any sizes."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=60))
    text = [f"t{u}" for u, size in enumerate(sizes) for _ in range(size)]
    label = draw(st.lists(st.integers(0, 3), min_size=len(text), max_size=len(text)))
    return Part(np.arange(len(text)), text, None, np.array(label, np.int64))


@quick
@given(parts(), st.integers(2, 12), st.integers(0, 9))
def test_no_unit_is_cut_and_every_fold_is_near_its_size(part: Part, folds: int, seed: int) -> None:
    fold = fold_of(part, folds, (seed, 4, 0))
    assert fold.shape == (len(part),) and fold.min() >= 0 and fold.max() < folds
    by_text: dict[str, set[int]] = {}
    for text, f in zip(part.text, fold.tolist(), strict=True):
        by_text.setdefault(text, set()).add(f)
    assert all(len(f) == 1 for f in by_text.values())
    most = max(part.text.count(t) for t in by_text)
    counts = np.bincount(fold, minlength=folds)
    assert counts.max() < -(-len(part) // folds) + most


def build(tmp_path: Path, counts: tuple[int, ...], group: int) -> TaskData:
    """A task of so many rows a class, in groups of this size (0: without groups)."""
    labels = classes(counts)
    more = {"who": [f"g{i // group}" for i in range(len(labels))]} if group else {}
    name = f"t{'-'.join(map(str, counts))}g{group}.csv"
    path = table(tmp_path / name, labels, **more)
    return load_task(own_task(str(path), group="who" if group else None, label="label"))


budgets = st.tuples(st.lists(st.integers(4, 60), min_size=2, max_size=5).map(tuple))


@quick
@given(budgets)
@example(((8, 8),))
@example(((60, 4),))
@example(((6, 6, 6),))
def test_every_budget_of_the_search_fits_every_fold(
    tmp_path: Path, given_: tuple[tuple[int, ...]]
) -> None:
    data = build(tmp_path, given_[0], 0)
    most = len(data.splits["train"])
    for made in drawn(data, folds_of(data)):
        assert len(made.splits["train"]) >= most
        assert len(made.splits["validation"]) >= len(data.splits["validation"])
        assert len(made.splits["test"]) > 0
        train, validation, _ = made.slice(replace(data.budget(most), folds=0))
        assert len(train) == most and len(validation) == data.budget(most).validation


@pytest.mark.parametrize(("counts", "group"), [((60, 4), 3), ((20, 10), 4)])
def test_every_budget_of_the_search_fits_every_fold_of_groups(
    tmp_path: Path, counts: tuple[int, ...], group: int
) -> None:
    """World takes len(train) as the budget where no budget of the study fits."""
    data = build(tmp_path, counts, group)
    budget = data.budget(len(data.splits["train"]))
    for made in drawn(data, folds_of(data)):
        made.slice(budget)


def large_group(tmp_path: Path, rows: int, size: int, seed: int) -> TaskData:
    """One group of this size among groups of five."""
    labels = classes((7 * rows // 10, 3 * rows // 10))
    who = ["house style" if i < size else f"g{i // 5}" for i in range(rows)]
    path = table(tmp_path / "mine.csv", labels, who=who)
    return load_task(own_task(str(path), group="who", seed=seed))


@pytest.mark.parametrize("size", [10, 20, 28])
def test_groups_of_some_size_cost_some_folds_more(tmp_path: Path, size: int) -> None:
    data = large_group(tmp_path, 200, size, 0)
    folds = folds_of(data)
    assert folds <= 9 and all(len(d.splits["test"]) for d in drawn(data, folds))


@pytest.mark.parametrize(("rows", "size", "seed"), [(200, 50, 0), (1000, 140, 2), (1000, 160, 2)])
def test_one_large_group_does_not_make_hundreds_of_folds(
    tmp_path: Path, rows: int, size: int, seed: int
) -> None:
    """Every candidate is run on whole rounds of folds: 1,000 rows, one group of 160: 1,000 runs."""
    assert folds_of(large_group(tmp_path, rows, size, seed)) <= 50


@pytest.mark.parametrize(("rows", "size", "seed"), [(200, 32, 0), (1000, 100, 0), (1000, 200, 0)])
def test_no_fold_is_empty_beside_a_large_group(
    tmp_path: Path, rows: int, size: int, seed: int
) -> None:
    data = large_group(tmp_path, rows, size, seed)
    assert all(len(d.splits["test"]) for d in drawn(data, folds_of(data)))


@pytest.mark.parametrize(
    ("rows", "size", "seed"),
    [
        (200, 120, 0),
        (200, 120, 2),
        (1000, 600, 0),
        (1000, 600, 2),
    ],
)
def test_a_group_of_most_rows_breaks_nothing(
    tmp_path: Path, rows: int, size: int, seed: int
) -> None:
    """Budgets may go unfilled beside it; every row is still judged once, by a stranger to it."""
    data = large_group(tmp_path, rows, size, seed)
    ids = []
    for made in drawn(data, folds_of(data)):
        parts = [set(made.splits[n].ids.tolist()) for n in ("train", "validation", "test")]
        assert sum(map(len, parts)) == len(set.union(*parts)) == rows and parts[2]
        ids += sorted(parts[2])
    assert sorted(ids) == list(range(rows))


def test_tiny_data_and_rare_classes(tmp_path: Path) -> None:
    data = build(tmp_path, (9, 2), 0)
    folds = folds_of(data)
    for made in drawn(data, folds):
        assert len(made.splits["test"]) and len(made.splits["train"]) >= len(data.splits["train"])
    ids = np.concatenate([d.splits["test"].ids for d in drawn(data, folds)])
    assert sorted(ids) == list(range(11))
