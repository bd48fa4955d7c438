"""Guessing columns, reading labels, choosing a score."""

import numpy as np
import pandas as pd
import pytest

from raysearch.data import columns
from raysearch.errors import InputError

LONG = ["the quick brown fox jumps", "over the lazy dog today", "and then it sleeps a while"] * 4


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"Text": LONG, "y": [0, 1] * 6}, ("Text", None)),
        ({"id": range(12), "note": LONG, "y": [0, 1] * 6}, ("note", None)),
        ({"title": ["a b"] * 12, "body": LONG, "y": [0, 1] * 6}, ("body", None)),
        ({"premise": LONG, "hypothesis": LONG, "y": [0, 1] * 6}, ("premise", "hypothesis")),
        ({"text": [""] * 12, "story": LONG, "y": [0, 1] * 6}, ("story", None)),
    ],
)
def test_the_text_is_found(table, expected):
    assert columns.guess_texts(pd.DataFrame(table), {"y"}, "x.csv") == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"text": LONG, "Category": ["a", "b"] * 6}, "Category"),
        ({"text": LONG, "desk": ["a", "b"] * 6, "id": [str(i) for i in range(12)]}, "desk"),
        ({"text": LONG, "label": ["a", "b"] * 6, "desk": ["a", "b"] * 6}, "label"),
    ],
)
def test_the_label_is_found(table, expected):
    assert columns.guess_label(pd.DataFrame(table), {"text"}, "x.csv") == expected


def test_what_cannot_be_found_is_asked_for():
    numbers = pd.DataFrame({"a": range(9), "b": range(9)})
    with pytest.raises(InputError, match="x.csv: no column looks like text.*--text. Known: a, b"):
        columns.guess_texts(numbers, set(), "x.csv")
    with pytest.raises(InputError, match="x.csv: the label is in no column that repeats.*--label"):
        columns.guess_label(numbers, set(), "x.csv")
    two = pd.DataFrame({"text": LONG, "desk": ["a", "b"] * 6, "day": ["c", "d"] * 6})
    with pytest.raises(InputError, match="may be any of desk, day; name it with --label"):
        columns.guess_label(two, {"text"}, "x.csv")
    with pytest.raises(InputError, match="no column 'dsk'. Did you mean 'desk'. Known: text, desk"):
        columns.column(two, "dsk", "x.csv")


def test_labels_by_name_and_by_id():
    known = ("cat", "dog")
    assert columns.codes(pd.Series(["dog", "cat", ""]), known, (), "x").tolist() == [1, 0, -1]
    assert columns.codes(pd.Series(["Dog", "cat", None]), known, (), "x").tolist() == [1, 0, -1]
    assert columns.codes(pd.Series([1, 0, -1]), known, (), "x").tolist() == [1, 0, -1]
    assert columns.codes(pd.Series(["1", "0"]), known, (), "x").tolist() == [1, 0]
    assert columns.codes(pd.Series([1.0, np.nan]), known, (), "x").tolist() == [1, -1]
    assert columns.codes(pd.Series([0, 1]), known, ("dog", "cat"), "x").tolist() == [1, 0]
    assert columns.codes(pd.Series([0, 1]), known, ("Katze", "Hund"), "x").tolist() == [0, 1]
    assert columns.codes(pd.Series(["-1", "1"]), ("-1", "1"), (), "x").tolist() == [0, 1]
    missing = pd.Series([1, None], dtype="Int64")
    assert columns.codes(missing, known, (), "x").tolist() == [1, -1]
    with pytest.raises(InputError, match="holds the label 'cow'.*Known: cat, dog"):
        columns.codes(pd.Series(["cow"]), known, (), "x")
    with pytest.raises(InputError, match="holds the label '2'"):
        columns.codes(pd.Series([0, 2]), known, (), "x")


def test_numbers_are_numbers():
    got = columns.numbers(pd.Series(["1.5", "", "2"], dtype=object), "x")
    assert got.dtype == np.float32 and np.isnan(got[1]) and got[2] == 2
    with pytest.raises(InputError, match="holds 'high', must hold numbers"):
        columns.numbers(pd.Series(["1", "high"], name="score"), "x")


@pytest.mark.parametrize(
    ("names", "score"),
    [
        (["a"] * 60 + ["b"] * 40, "accuracy"),
        (["a"] * 76 + ["b"] * 24, "macro_f1"),
        (["a"] * 30 + ["b"] * 30 + ["c"] * 9, "macro_f1"),
        ([str(i) for i in range(77)] * 5, "accuracy"),
        ([str(i / 4) for i in range(20)], "pearson"),
        (["1.5", "2.5"] * 9, "accuracy"),
    ],
)
def test_the_score_follows_the_labels(names, score):
    assert columns.choose_score(names)[0] == score


def test_the_score_is_explained():
    names = [f"c{i}" for i in range(12) for _ in range(7 if i == 0 else 40)]
    assert columns.choose_score(names)[1].startswith("12 classes, smallest 7 of 447 rows: scoring ")


def test_lists_are_no_text():
    with pytest.raises(InputError, match="lists or mappings"):
        columns.texts(pd.Series([["a"], ["b"]], name="text"), "x")
    assert columns.texts(pd.Series(["a", None, 3], dtype=object), "x") == ["a", "", "3"]
