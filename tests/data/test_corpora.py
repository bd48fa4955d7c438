"""Corpora as transfer pools: apart from the task's texts, nested, one line when they cannot be."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from raysearch.config.task import Task
from raysearch.data import corpora, frames
from raysearch.data.splits import normalise
from raysearch.data.task_data import load_task
from raysearch.data.texts import Texts
from raysearch.errors import InputError
from raysearch.storage.store import Store
from tests.support import tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.load(tiny.write_task(tmp_path_factory.mktemp("two"), "two"))


@pytest.fixture
def open_corpus(tmp_path):
    def opened(name, data, data_dir, **more):
        return corpora.open_corpus(name, data, data_dir, Store(tmp_path / "store"), **more)

    return opened


def write(path, texts, column="text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps({column: t}) for t in texts) + "\n")
    return path


def test_no_text_of_the_task_is_in_it_and_each_stands_once(open_corpus, data, tmp_path):
    known = [rows.text[0] for rows in data.splits.values()]
    texts = ["new one", " NEW  one", "", "other", *known, known[0].upper() + " "]
    corpus = open_corpus(str(write(tmp_path / "c.jsonl", texts)), data, None)
    assert list(corpus.text) == ["new one", "other"]
    assert corpus.dropped == len(texts) - 2
    task_texts = {normalise(t) for rows in data.splits.values() for t in rows.text}
    assert not task_texts & {normalise(t) for t in corpus.text}
    assert corpus.sentence().startswith(f"pool c: 2 texts of column 'text'; {len(texts) - 2} ")


def test_smaller_pools_are_prefixes_and_seeds_differ(open_corpus, data, tmp_path):
    corpus = open_corpus(str(write(tmp_path / "c.jsonl", [f"t{i}" for i in range(50)])), data, None)
    ten, all_, other = corpus.take(10, 3), corpus.take(50, 3), corpus.take(10, 4)
    assert list(all_.text[:10]) == list(ten.text) != list(other.text)
    assert ten.label is None and len({*all_.ids.tolist()}) == 50
    assert [corpus.text[i] for i in ten.ids] == list(ten.text)


def test_a_name_is_a_folder_of_the_data_dir(open_corpus, data, tmp_path):
    write(tmp_path / "reviews" / "train.jsonl", ["fresh"], column="review")
    assert list(open_corpus("reviews", data, tmp_path).text) == ["fresh"]


def test_the_digest_is_of_the_texts(open_corpus, data, tmp_path):
    one = open_corpus(str(write(tmp_path / "a.jsonl", ["x", "y"])), data, None)
    same = open_corpus(str(write(tmp_path / "b.jsonl", ["x", "y", "x"])), data, None)
    other = open_corpus(str(write(tmp_path / "c.jsonl", ["x", "z"])), data, None)
    assert one.digest == same.digest != other.digest


def test_no_more_than_two_are_held(open_corpus, data, tmp_path):
    for i in range(4):
        open_corpus(str(write(tmp_path / f"{i}.jsonl", [f"t{i}"])), data, None)
    assert len(corpora._opened) == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.jsonl", "there is no such file"),
        ("nowhere", "there is no folder 'nowhere' with a train file in"),
        ("../up", "is no .parquet, .csv, .tsv, .jsonl, .txt file and no corpus's name"),
        ("empty.jsonl", "none of its 2 texts is left"),
    ],
)
def test_what_cannot_be_a_pool_is_said_in_a_line(
    open_corpus, data, tmp_path, monkeypatch, name, says
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "empty.jsonl", ["", data.splits["test"].text[0]])
    with pytest.raises(InputError, match=says) as e:
        open_corpus(name, data, tmp_path)
    assert "\n" not in str(e.value)


def test_a_name_needs_a_data_dir_and_pairs_have_no_corpus(open_corpus, data, tmp_path):
    with pytest.raises(InputError, match="is read from --data-dir, and none is set"):
        open_corpus("reviews", data, None)
    pair = tiny.load(tiny.write_task(tmp_path / "pair", "pair"))
    with pytest.raises(InputError, match="holds single texts, task 'pair' has pairs"):
        open_corpus(str(write(tmp_path / "c.jsonl", ["x"])), pair, None)


def test_a_large_file_is_read_in_pieces_and_stays_on_disk(open_corpus, data, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "ROWS", 7)
    texts = [f"text {i % 40} here" for i in range(60)]
    known = None
    for kind in ("jsonl", "csv", "tsv", "txt", "parquet"):
        path = tmp_path / f"c.{kind}"
        frame = pd.DataFrame({"text": texts, "n": range(60)})
        if kind == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        elif kind == "txt":
            path.write_text("\r\n".join(texts))
        elif kind == "parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, sep="\t" if kind == "tsv" else ",", index=False)
        corpus = open_corpus(str(path), data, None)
        assert isinstance(corpus.text, Texts) and len(corpus) == 40 and corpus.dropped == 20
        assert list(corpus.text) == texts[:40] and corpus.text[3:5] == texts[3:5]
        assert known in (None, corpus.digest)
        known = corpus.digest
        rows = corpus.take(30, 1)
        assert isinstance(rows.text, Texts)
        some = np.array([4, 2, 29])
        assert list(rows.take(some).text) == [rows.text[i] for i in (4, 2, 29)]
        assert list(rows.take(some).text) == [texts[i] for i in rows.ids[some]]


def test_lines_can_be_texts(open_corpus, data, tmp_path):
    path = write(tmp_path / "c.jsonl", ["one\ntwo\n\nthree", "two"])
    assert list(open_corpus(str(path), data, None).text) == ["one\ntwo\n\nthree", "two"]
    corpus = open_corpus(str(path), data, None, lines=True)
    assert list(corpus.text) == ["one", "two", "three"] and corpus.dropped == 2


def test_pairs_are_a_corpus_for_pairs(open_corpus, tmp_path):
    pair = tiny.load(tiny.write_task(tmp_path / "pair", "pair"))
    known = pair.splits["test"]
    rows = [("a", "b"), ("b", "a"), ("a", "B "), ("", ""), (known.text[0], known.pair[0])]
    path = tmp_path / "c.jsonl"
    lines = [json.dumps({"question1": a, "question2": b}) for a, b in rows]
    path.write_text("\n".join(lines))
    corpus = open_corpus(str(path), pair, None)
    assert list(corpus.text) == ["a", "b"] and list(corpus.pair) == ["b", "a"]
    assert corpus.dropped == 3
    taken = corpus.take(2, 0)
    assert sorted(zip(taken.text, taken.pair, strict=True)) == [("a", "b"), ("b", "a")]
    with pytest.raises(InputError, match="lines are single texts, task 'pair' has pairs"):
        open_corpus(str(path), pair, None, lines=True)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("c.jsonl", b'{"text": "a"}\n{"text"', "line 2: is not JSON"),
        ("c.jsonl", b"[1]\n", "line 1: must be an object"),
        ("c.txt", b"good\n\xff\xfe\n", "is not UTF-8"),
        ("c.csv", b"text,n\na,b,c\n", "must stand in quotes"),
        ("c.csv", b"", "is empty, must hold a header"),
        ("c.jsonl", b'{"text": "a", " text": "b"}', "column 'text' stands twice"),
        ("c.jsonl", b"[" * 100_000, "line 1: is not JSON"),
        ("c.txt", b"", "holds no rows"),
        ("c.parquet", b"PAR0", "is not a Parquet file"),
    ],
)
def test_a_broken_file_is_one_line_and_leaves_nothing(
    open_corpus, data, tmp_path, name, content, says
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as e:
        open_corpus(str(path), data, None)
    assert "\n" not in str(e.value) and not Store(tmp_path / "store").keys("corpora")


def test_lines_may_lack_keys_and_pieces_rows(open_corpus, data, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "ROWS", 4)
    path = tmp_path / "c.jsonl"
    named = [json.dumps({"text": f"t{i}"}) for i in range(4)]
    path.write_text("\n".join([*named, "", "", "", "", '{"title": "x"}', ""]))
    corpus = open_corpus(str(path), data, None)
    assert list(corpus.text) == ["t0", "t1", "t2", "t3"] and corpus.dropped == 1
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(['{"title": "some words"}'] * 4 + named))
    with pytest.raises(InputError, match="in column 'title' of the first rows and in 'text' of"):
        open_corpus(str(path), data, None)


def test_no_line_of_the_task_comes_in_alone(open_corpus, tmp_path):
    rows = {
        n: [(f"Dear {n},\nlost {n}.\nBye", 0), *((f"{n} {k}", k % 2) for k in range(20))]
        for n in ("train", "test")
    }
    folder = tmp_path / "lined"
    folder.mkdir()
    for name, several in rows.items():
        pd.DataFrame(several, columns=["text", "label"]).to_csv(folder / f"{name}.csv", index=False)
    task = Task(name="lined", source=f"file:{folder}", label_names=("n", "p"))
    data = load_task(task)
    whole = data.splits["test"].text[0]
    path = write(tmp_path / "c.jsonl", [whole, "lost test.", "fine\r\nlost test.\r\nwell"])
    corpus = open_corpus(str(path), data, None, lines=True)
    assert list(corpus.text) == ["fine", "well"]


def test_what_cannot_be_written_or_decoded_is_one_line(open_corpus, data, tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    bad = pa.array([b"good", b"\xff\xfe"], pa.binary()).view(pa.utf8())
    pq.write_table(pa.table({"text": bad}), tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="is not UTF-8"):
        open_corpus(str(tmp_path / "bad.parquet"), data, None)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corpora, "written", full)
    path = write(tmp_path / "c.jsonl", ["x"])
    with pytest.raises(InputError, match="cannot be written to the store: No space left"):
        open_corpus(str(path), data, None)


def test_odd_characters_do_not_stop_it(open_corpus, data, tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"text": "half \\ud800 pair"}\n{"text": null}\n{"text": 3}\n')
    corpus = open_corpus(str(path), data, None)
    assert list(corpus.text) == ["half ? pair"] and corpus.dropped == 2
