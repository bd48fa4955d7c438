"""Corpora as transfer pools: apart from the task's texts, nested, one line when they cannot be."""

from __future__ import annotations

import json

import pytest

from raysearch.engine import corpora
from raysearch.engine.corpora import open_corpus
from raysearch.engine.splits import normalise
from raysearch.errors import InputError
from tests import tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.load(tiny.write_task(tmp_path_factory.mktemp("two"), "two"))


def write(path, texts, column="text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps({column: t}) for t in texts) + "\n")
    return path


def test_no_text_of_the_task_is_in_it_and_each_stands_once(data, tmp_path):
    known = [rows.text[0] for rows in data.splits.values()]
    texts = ["new one", " NEW  one", "", "other", *known, known[0].upper() + " "]
    corpus = open_corpus(str(write(tmp_path / "c.jsonl", texts)), data, None)
    assert list(corpus.text) == ["new one", "other"]
    assert corpus.dropped == len(texts) - 2
    held = {normalise(t) for rows in data.splits.values() for t in rows.text}
    assert not held & {normalise(t) for t in corpus.text}
    assert corpus.sentence().startswith(f"pool c: 2 texts of column 'text'; {len(texts) - 2} ")


def test_smaller_pools_are_prefixes_and_seeds_differ(data, tmp_path):
    corpus = open_corpus(str(write(tmp_path / "c.jsonl", [f"t{i}" for i in range(50)])), data, None)
    ten, all_, other = corpus.take(10, 3), corpus.take(50, 3), corpus.take(10, 4)
    assert list(all_.text[:10]) == list(ten.text) != list(other.text)
    assert ten.label is None and len({*all_.ids.tolist()}) == 50
    assert [corpus.text[i] for i in ten.ids] == list(ten.text)


def test_a_name_is_a_folder_of_the_data_dir(data, tmp_path):
    write(tmp_path / "reviews" / "train.jsonl", ["fresh"], column="review")
    assert list(open_corpus("reviews", data, tmp_path).text) == ["fresh"]


def test_the_digest_is_of_the_texts(data, tmp_path):
    one = open_corpus(str(write(tmp_path / "a.jsonl", ["x", "y"])), data, None)
    same = open_corpus(str(write(tmp_path / "b.jsonl", ["x", "y", "x"])), data, None)
    other = open_corpus(str(write(tmp_path / "c.jsonl", ["x", "z"])), data, None)
    assert one.digest == same.digest != other.digest


def test_no_more_than_two_are_held(data, tmp_path):
    for i in range(4):
        open_corpus(str(write(tmp_path / f"{i}.jsonl", [f"t{i}"])), data, None)
    assert len(corpora._opened) == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.jsonl", "there is no such file"),
        ("nowhere", "there is no folder 'nowhere' with a train file in"),
        ("../up", "is no .parquet, .csv, .tsv, .jsonl file and no corpus's name"),
        ("empty.jsonl", "none of its 2 texts is left"),
    ],
)
def test_what_cannot_be_a_pool_is_said_in_a_line(data, tmp_path, monkeypatch, name, says):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "empty.jsonl", ["", data.splits["test"].text[0]])
    with pytest.raises(InputError, match=says) as e:
        open_corpus(name, data, tmp_path)
    assert "\n" not in str(e.value)


def test_a_name_needs_a_data_dir_and_pairs_have_no_corpus(data, tmp_path):
    with pytest.raises(InputError, match="is read from --data-dir, and none is set"):
        open_corpus("reviews", data, None)
    pair = tiny.load(tiny.write_task(tmp_path / "pair", "pair"))
    with pytest.raises(InputError, match="holds single texts, task 'pair' has pairs"):
        open_corpus(str(write(tmp_path / "c.jsonl", ["x"])), pair, None)
