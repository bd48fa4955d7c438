"""Draws of one configuration: old ids stay, draws share a recipe, teachers are drawn too."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysearch.config.trial import DataBudget, TrialConfig

SPLITS = "5f1d0c0ffee15bad"
PLAIN = TrialConfig("sst2", SPLITS, "ngram_linear", "ngram_2e16", DataBudget(32))
TEACHER = TrialConfig("sst2", SPLITS, "finetune", "bert_medium", DataBudget(1000, 256))
STUDENT = TrialConfig(
    "sst2",
    SPLITS,
    "distill",
    "bert_tiny",
    DataBudget(100, 100, 2000, 3),
    weights="00c0ffee",
    hyper={"lr": 1e-4, "batch": 16},
    init_seed=3,
    precision="bf16",
    horizon=60,
    behaviour=2,
    inputs={"teacher": TEACHER},
)


def test_ids_are_those_of_before_there_were_folds() -> None:
    """Computed by raysearch/config/trial.py of commit 8045b6f, which knew no folds."""
    assert PLAIN.id == "c56ec9ec39106ff3"
    assert STUDENT.id == "a44e4326a1f21a91"


def test_folds_stand_in_the_json_only_where_there_are_some() -> None:
    assert "folds" not in json.dumps(STUDENT.to_json())
    drawn = STUDENT.with_seed(4, folds=7)
    assert drawn.to_json()["data"] == {
        "train": 100,
        "validation": 100,
        "unlabelled": 2000,
        "seed": 4,
        "folds": 7,
    }
    assert drawn.id not in (STUDENT.id, STUDENT.with_seed(4).id)
    assert TrialConfig.from_json(json.loads(json.dumps(drawn.to_json()))) == drawn


def test_a_draw_changes_seeds_and_folds_alone_its_teachers_too() -> None:
    drawn = STUDENT.with_seed(5, folds=7)
    assert (drawn.data.seed, drawn.init_seed, drawn.data.folds) == (5, 5, 7)
    teacher = drawn.inputs["teacher"]
    assert (teacher.data.seed, teacher.init_seed, teacher.data.folds) == (5, 5, 7)
    data = replace(STUDENT.data, seed=5, folds=7)
    inputs = {"teacher": replace(TEACHER, data=replace(TEACHER.data, seed=5, folds=7), init_seed=5)}
    assert drawn == replace(STUDENT, data=data, init_seed=5, inputs=inputs)
    assert (drawn.horizon, drawn.hyper) == (STUDENT.horizon, STUDENT.hyper)
    assert STUDENT.inputs["teacher"] is TEACHER and TEACHER.data.seed == 0, "nothing is changed"
    assert PLAIN.with_seed(0) == PLAIN


@given(
    st.integers(0, 99), st.integers(0, 99), st.sampled_from([0, 2, 7]), st.sampled_from([0, 2, 7])
)
def test_draws_share_the_recipe_and_nothing_else(a: int, b: int, f: int, g: int) -> None:
    for config in (PLAIN, STUDENT):
        one, other = config.with_seed(a, f), config.with_seed(b, g)
        assert one.seedless_id == other.seedless_id == config.seedless_id
        assert (one.id == other.id) == ((a, f) == (b, g))
        assert one.with_seed(b, g) == other, "a draw of a draw is the draw"


@pytest.mark.parametrize(
    "change",
    [
        {"hyper": {"lr": 1e-4, "batch": 32}},
        {"hyper": {"lr": 1e-4}},
        {"rung": "bert_mini"},
        {"method": "finetune"},
        {"task": "ag_news"},
        {"splits": "0" * 16},
        {"weights": "1"},
        {"horizon": 61},
        {"precision": "fp32"},
        {"behaviour": 3},
        {"data": replace(STUDENT.data, train=101)},
        {"data": replace(STUDENT.data, validation=99)},
        {"data": replace(STUDENT.data, unlabelled=0)},
        {"inputs": {}},
        {"inputs": {"teacher": replace(TEACHER, hyper={"lr": 1e-3})}},
        {"inputs": {"generator": TEACHER}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_else_differs_is_another_recipe(change: dict[str, object]) -> None:
    other = replace(STUDENT, **change)  # type: ignore[arg-type]
    assert other.seedless_id != STUDENT.seedless_id
    assert other.with_seed(2).seedless_id != STUDENT.with_seed(2).seedless_id
    assert other.with_seed(2).id != STUDENT.with_seed(2).id


def test_seeds_alone_are_no_other_recipe() -> None:
    other = replace(STUDENT, init_seed=9, data=replace(STUDENT.data, seed=4))
    assert other.id != STUDENT.id and other.seedless_id == STUDENT.seedless_id
    seeded = replace(TEACHER, init_seed=8)
    assert replace(STUDENT, inputs={"teacher": seeded}).seedless_id == STUDENT.seedless_id
