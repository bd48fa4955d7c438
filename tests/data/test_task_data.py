"""Tasks as rows: loading, budgets, slices, digests."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raysearch.config.catalog import find_task, task_from_json, task_to_json, tasks
from raysearch.config.task import Task
from raysearch.config.trial import DataBudget
from raysearch.data.rows import Rows
from raysearch.data.splits import normalise
from raysearch.data.task_data import TaskData, load_task
from raysearch.errors import Infeasible, InputError

SHARED = Path(os.environ.get("RAYSEARCH_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(
    not SHARED.is_dir() and "CI" not in os.environ, reason=f"no data sets in {SHARED}"
)


def frame(n, counts=(0.6, 0.3, 0.1), start=0):
    """Rows of three classes, in a fixed order, all texts different."""
    labels = np.searchsorted(np.cumsum(counts), (np.arange(n) * 0.618) % 1.0)
    return pd.DataFrame({"text": [f"text {start + i}" for i in range(n)], "label": labels})


@pytest.fixture
def folder(tmp_path):
    """A data-dir with one task of three classes, some of whose rows stand twice."""
    home = tmp_path / "pets"
    home.mkdir()
    train = pd.concat([frame(300), frame(3)])
    train.to_parquet(home / "train.parquet")
    pd.concat([frame(80, start=1000), frame(2)]).to_parquet(home / "validation.parquet")
    frame(60, start=2000).to_parquet(home / "test.parquet")
    return tmp_path


def pets(**changes):
    return Task("pets", "hf:nobody/pets", label_names=("cat", "dog", "owl"), **changes)


@pytest.fixture
def data(folder):
    return load_task(pets(), data_dir=folder)


def test_what_is_loaded(data):
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 298,
        "validation": 82,
        "test": 60,
    }
    assert data.official_test
    assert data.dropped == {"train_in_validation": 4, "train_twice": 1}
    assert "4 train rows dropped: the text stands in validation" in data.notes
    train = data.splits["train"]
    assert train.ids[0] == 2 and train.text[0] == "text 2" and train.label.dtype == np.int64


def test_the_digest_is_golden_and_of_the_content(data, folder, tmp_path):
    assert data.digest == GOLDEN
    other = tmp_path / "elsewhere" / "pets"
    other.mkdir(parents=True)
    for name in ("train", "validation", "test"):
        rows = pd.read_parquet(folder / "pets" / f"{name}.parquet")
        rows.to_csv(other / f"{name}.csv", index=False)
    moved = load_task(pets(), data_dir=other.parent)
    assert moved.digest == data.digest and moved is not data
    rows = pd.read_csv(other / "test.csv")
    rows.loc[0, "label"] = 1 - rows.loc[0, "label"]
    rows.to_csv(other / "test.csv", index=False)
    assert load_task(pets(), data_dir=other.parent).digest != data.digest


GOLDEN = "b65a2512ea1b417b"


def test_a_task_is_loaded_once(data, folder):
    assert load_task(pets(), data_dir=folder) is data
    assert load_task(pets(seed=1), data_dir=folder) is not data


@pytest.mark.parametrize("seed", range(4))
def test_budgets_nest(data, seed):
    largest = data.slice(DataBudget(250, 80, 40, seed))
    for n in (0, 1, 2, 3, 5, 10, 32, 100, 200, 249):
        budget = data.budget(n, unlabelled=min(n, 40), seed=seed)
        assert budget.validation == min(n, 82)
        for small, large in zip(data.slice(budget), largest, strict=True):
            rows = min(len(small), len(large))
            assert small.text[:rows] == large.text[:rows]
            assert np.array_equal(small.ids[:rows], large.ids[:rows])


def test_seeds_give_other_rows(data):
    a, b = (set(data.slice(data.budget(50, seed=s))[0].ids.tolist()) for s in (0, 1))
    assert len(a & b) < 40


def test_slices_are_disjoint_by_text(data):
    train, validation, pool = data.slice(data.budget(200, unlabelled=98))
    test = data.splits["test"]
    texts = [{normalise(t) for t in rows.text} for rows in (train, validation, pool, test)]
    for i, one in enumerate(texts):
        for other in texts[i + 1 :]:
            assert not one & other
    assert pool.label is None and train.label is not None


def test_prefixes_keep_the_proportions(data):
    whole = np.bincount(data.splits["train"].label) / 298
    for n in (30, 100, 200):
        train, validation, _ = data.slice(data.budget(n))
        assert np.abs(np.bincount(train.label) / n - whole).max() < 3 / n
    assert len(set(data.slice(data.budget(3))[0].label)) == 3
    assert len(set(data.slice(data.budget(3))[1].label)) == 3


def test_too_small_a_budget_is_said(data):
    assert data.remarks(data.budget(3)) == ()
    (train, validation) = data.remarks(data.budget(2))
    assert "2 training rows are fewer than the 3 classes" in train and "validation" in validation


def test_too_large_a_budget_has_the_numbers(data):
    with pytest.raises(Infeasible, match="pets: 1,000 training labels asked, 298 are there"):
        data.budget(1000)
    with pytest.raises(Infeasible, match="83 validation labels asked, 82 are there"):
        data.budget(10, 83)
    with pytest.raises(Infeasible, match="299 texts, labelled and not, asked, 298 are there"):
        data.budget(200, unlabelled=99)
    with pytest.raises(Infeasible):
        data.slice(DataBudget(1000))
    with pytest.raises(InputError, match="negative"):
        data.budget(-1)


def test_missing_splits_are_carved_by_the_tasks_seed(folder):
    for name in ("validation", "test"):
        (folder / "pets" / f"{name}.parquet").unlink()
    zero, one = (load_task(pets(seed=s), data_dir=folder) for s in (0, 1))
    assert not zero.official_test and zero.digest != one.digest
    assert {name: len(rows) for name, rows in zero.splits.items()} == {
        "train": 200,
        "validation": 50,
        "test": 50,
    }
    assert any("carved out of train, stratified, by the task's seed 0" in n for n in zero.notes)


def test_a_named_split_reports_and_the_other_is_carved(folder):
    (folder / "pets" / "test.parquet").unlink()
    task = pets(splits={"train": "train", "test": "validation"})
    data = load_task(task, data_dir=folder)
    assert data.official_test and len(data.splits["test"]) == 82
    assert len(data.splits["validation"]) == 50


def test_hidden_test_labels_let_validation_report(folder):
    test = frame(60, start=2000).assign(label=-1)
    test.to_parquet(folder / "pets" / "test.parquet")
    data = load_task(pets(), data_dir=folder)
    assert len(data.splits["test"]) == 82 and data.official_test
    assert any("hidden" in note for note in data.notes)


def test_names_of_the_source_order_the_ids(folder):
    (folder / "pets" / "meta.json").write_text(
        json.dumps({"label_names": ["owl", "cat", "dog"], "notes": "Half of them."})
    )
    before = load_task(pets(), data_dir=folder)
    assert "pets: Half of them." in before.notes
    plain = pd.read_parquet(folder / "pets" / "train.parquet")["label"].iloc[2]
    assert before.splits["train"].label[0] == (plain + 2) % 3


def test_an_unlabelled_split_is_the_pool(folder):
    pool = pd.DataFrame({"text": [f"pool {i}" for i in range(50)] + ["text 2000", "pool 1"]})
    pool.to_parquet(folder / "pets" / "unlabelled.parquet")
    data = load_task(pets(), data_dir=folder)
    assert data.dropped["unlabelled_in_test"] == 1 and data.dropped["unlabelled_twice"] == 1
    assert len(data.splits["unlabelled"]) == 50
    rows = data.slice(data.budget(298, unlabelled=50))[2]
    assert rows.split == "unlabelled" and rows.label is None and len(rows) == 50
    with pytest.raises(Infeasible, match="51 unlabelled texts asked, 50 are there"):
        data.budget(1, unlabelled=51)


def test_a_regression_is_shuffled(tmp_path):
    home = tmp_path / "near"
    home.mkdir()
    rows = pd.DataFrame(
        {
            "text": [f"a {i}" for i in range(100)],
            "text_pair": [f"b {i}" for i in range(100)],
            "score": np.arange(100) / 20,
        }
    )
    rows.to_parquet(home / "train.parquet")
    task = Task("near", "hf:x/near", text="s1", text_pair="s2", label="score", score="pearson")
    data = load_task(task, data_dir=tmp_path)
    train, validation, _ = data.slice(data.budget(20))
    assert train.label.dtype == np.float32 and train.pair[0].startswith("b ")
    assert data.remarks(data.budget(1)) == () and len(validation) == 20


def test_rows_can_stand_without_a_task():
    rows = Rows("train", np.arange(4), list("abcd"), None, np.array([0, 1, 0, 1]))
    data = TaskData(pets(), "x", {"train": rows, "validation": rows}, True, (), {})
    assert data.slice(data.budget(2))[0].text == data.slice(data.budget(4))[0].text[:2]


@pytest.mark.parametrize("name", sorted(tasks()))
def test_a_task_travels_as_json(name):
    task = find_task(name)
    assert task_from_json(json.loads(json.dumps(task_to_json(task)))) == task


def test_an_unknown_field_of_a_task_is_refused():
    with pytest.raises(InputError, match="no key 'lable'. Did you mean 'label'"):
        task_from_json({**task_to_json(pets()), "lable": "y"})


def test_no_hub_and_no_folder_is_one_line_within_seconds(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    start = time.perf_counter()
    with pytest.raises(InputError, match="out of reach.*'ag_news_desc'.*--data-dir") as caught:
        load_task(find_task("ag_news"), data_dir=tmp_path)
    assert time.perf_counter() - start < 10 and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no folder 'sciie'"):
        load_task(find_task("sciie"), data_dir=tmp_path)


def test_the_toy_task_needs_nothing():
    data = load_task(find_task("toy"))
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 4000,
        "validation": 1000,
        "test": 2000,
        "unlabelled": 20000,
    }
    assert data.dropped == {} and data.official_test


@real
@pytest.mark.real
@pytest.mark.parametrize("name", sorted(n for n in tasks() if n not in ("toy", "imdb")))
def test_every_shared_data_set_loads(name):
    start = time.perf_counter()
    data = load_task(find_task(name), data_dir=SHARED)
    # 67k rows take 0.4 s alone; the bound leaves room for a busy machine.
    assert time.perf_counter() - start < 10
    train = data.splits["train"]
    if not data.task.regression:
        assert set(np.unique(train.label)) == set(range(data.task.classes))
    keys = [{normalise(t) for t in data.splits[s].text} for s in ("train", "validation", "test")]
    if data.task.text_pair is None:
        assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])


@real
@pytest.mark.real
def test_subsets_say_so():
    notes = load_task(find_task("ag_news"), data_dir=SHARED).notes
    assert any("8,089 of the published 120,000" in note for note in notes)


@real
@pytest.mark.real
def test_67k_rows_load_in_two_seconds():
    from raysearch.data import task_data as module

    task = find_task("sst2")
    source = module.sources.read(task, SHARED)  # imports pyarrow, warms the disk
    start = time.process_time()
    module._build(task, source)
    module.sources.read(task, SHARED)
    assert time.process_time() - start < 2
