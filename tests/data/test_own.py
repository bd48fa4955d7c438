"""A person's own file as a task, and one line for each thing that can be wrong with it."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raysearch.config.catalog import task_from_json, task_to_json
from raysearch.data.task_data import load_task, own_task
from raysearch.errors import InputError

SHARED = Path(os.environ.get("RAYSEARCH_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))


def tickets(n=100, blank=0):
    labels = ["bill" if i % 3 else "login" for i in range(n)]
    for i in range(blank):
        labels[i * 4] = ""
    return pd.DataFrame({"message": [f"my trouble number {i}" for i in range(n)], "queue": labels})


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ";.csv"])
def test_any_table_is_a_task(tmp_path, suffix):
    path = tmp_path / f"tickets{suffix.replace(';', '')}"
    rows = tickets(100, blank=10)
    if suffix == ".parquet":
        rows.to_parquet(path)
    elif suffix == ".jsonl":
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_csv(path, index=False, sep={".tsv": "\t", ";.csv": ";"}.get(suffix, ","))
    task = own_task(str(path))
    assert (task.name, task.text, task.label) == ("tickets", "message", "queue")
    assert task.label_names == ("bill", "login") and task.source == f"file:{path}"
    data = load_task(task_from_json(json.loads(json.dumps(task_to_json(task)))))
    assert len(data.splits["unlabelled"]) == 10 and not data.official_test
    sizes = {name: len(rows) for name, rows in data.splits.items()}
    assert sizes == {"train": 46, "validation": 22, "test": 22, "unlabelled": 10}
    notes = " | ".join(data.notes)
    assert "text from 'message', label from 'queue'" in notes
    assert "10 rows without a label are the unlabelled pool" in notes
    assert "2 classes, smallest" in notes and "carved out of train" in notes
    assert "trouble" not in notes


@pytest.mark.skipif(
    not SHARED.is_dir() and "CI" not in os.environ, reason=f"no data sets in {SHARED}"
)
def test_800_unbalanced_tickets_with_blanks(tmp_path):
    bank = pd.read_parquet(SHARED / "banking77" / "train.parquet")
    names = json.loads((SHARED / "banking77" / "meta.json").read_text())["label_names"]
    rng = np.random.default_rng(0)
    some = bank[bank["label"] < 12]
    weight = 0.7 ** some["label"].to_numpy()
    rows = some.iloc[rng.choice(len(some), 800, replace=False, p=weight / weight.sum())]
    queue = [names[i] for i in rows["label"]]
    queue = ["" if rng.random() < 0.2 else q for q in queue]
    path = tmp_path / "tickets.csv"
    pd.DataFrame({"id": range(800), "body": rows["text"], "queue": queue}).to_csv(path, index=False)
    task = own_task(str(path))
    assert (task.text, task.label, task.score) == ("body", "queue", "macro_f1")
    assert task.classes == 12
    data = load_task(task)
    labelled = sum(len(data.splits[s]) for s in ("train", "validation", "test"))
    assert labelled == 800 - queue.count("") - sum(data.dropped.get(k, 0) for k in ("train_twice",))
    assert len(data.splits["unlabelled"]) > 100
    assert any("12 classes, smallest" in n and "scoring macro-F1" in n for n in data.notes)
    shares = [np.mean(data.splits[s].label == 0) for s in ("train", "validation", "test")]
    assert max(shares) - min(shares) < 0.03
    train, validation, pool = data.slice(data.budget(100, unlabelled=100))
    assert len(train) == 100 and len(validation) == len(data.splits["validation"])
    assert len(pool) == 100 and pool.label is None
    as_asked = own_task(str(path), score="accuracy")
    assert any("scoring accuracy, as asked" in n for n in load_task(as_asked).notes)


def test_groups_and_pools(tmp_path):
    path, pool = tmp_path / "t.csv", tmp_path / "more.csv"
    rows = tickets(120).assign(customer=[f"c{i // 4}" for i in range(120)])
    rows.to_csv(path, index=False)
    pd.DataFrame({"message": [f"other {i}" for i in range(30)]}).to_csv(pool, index=False)
    task = own_task(str(path), text="message", group="customer", unlabelled=pool)
    data = load_task(task)
    customers = [{int(i) // 4 for i in data.splits[s].ids} for s in ("train", "validation", "test")]
    assert sum(map(len, customers)) == 30 and len(data.splits["unlabelled"]) == 30


def test_numbers_with_fractions_are_a_regression(tmp_path):
    path = tmp_path / "t.csv"
    tickets(60).assign(queue=[i / 7 for i in range(60)]).to_csv(path, index=False)
    task = own_task(str(path))
    assert task.score == "pearson" and task.classes == 1 and task.label_names == ()
    assert load_task(task).splits["train"].label.dtype == np.float32


def test_a_folder_brings_its_own_splits(tmp_path):
    home = tmp_path / "desk"
    home.mkdir()
    tickets(60).to_csv(home / "train.csv", index=False)
    tickets(90)[60:].to_csv(home / "test.csv", index=False)
    data = load_task(own_task(str(home)))
    assert data.official_test and len(data.splits["test"]) == 30
    strange = tickets(90)[60:].assign(queue="refund")
    strange.to_csv(home / "test.csv", index=False)
    with pytest.raises(InputError, match="desk/test.csv.*'refund', which no training row.*bill"):
        load_task(own_task(str(home)))


def wrong(tmp_path, content, match, name="t.csv", **named):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, pd.DataFrame):
        content.to_csv(path, index=False)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=match) as caught:
        load_task(own_task(str(path), **named))
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert "trouble" not in str(caught.value)


def test_what_cannot_be_used_is_one_line(tmp_path):
    rows = tickets(40)
    wrong(tmp_path, None, "no such file")
    wrong(tmp_path, "", "is empty, must hold a header")
    wrong(tmp_path, "message,queue\n", "holds no rows")
    wrong(tmp_path, rows[["queue"]].assign(n=1), "no column looks like text", label="queue")
    wrong(tmp_path, rows.assign(queue="bill"), r"one class only \('bill'\)")
    wrong(tmp_path, rows.assign(queue=""), "'queue' is blank in every row")
    wrong(tmp_path, rows, "no column 'que'. Did you mean 'queue'. Known", label="que")
    wrong(tmp_path, rows, "no score 'f2'. .*Known: accuracy, f1, macro_f1, mcc, pear", score="f2")
    wrong(tmp_path, rows, "must be different columns", text="queue", label="queue")
    wrong(tmp_path, rows[:6], "6 rows have a label and a text of their own, must be 8")
    wrong(tmp_path, rows.assign(message="trouble same"), "2 rows have a label and a text")
    wrong(tmp_path, rows, "different labels in 40 rows", text="queue", label="message")
    wrong(tmp_path, b"message,queue\nth\xe9,a\n", "not UTF-8 at byte 16")
    wrong(
        tmp_path,
        "message,queue\ntrouble, more,a\ntrouble, b,c\n",
        "line 2 holds 3 fields, the header 2",
    )
    wrong(tmp_path, 'message,queue\n"trouble,a\nb,c\n', "line 2: a text in quotes has no end")
    wrong(
        tmp_path, "message,queue\ntrouble,a\ntrouble,b,c,d\n", "line 3 holds 4 fields, the header 2"
    )
    wrong(tmp_path, '{"message": "trouble"}\n{', "line 2: is not JSON", name="t.jsonl")
    wrong(tmp_path, "[1]\n", "line 1: must be an object", name="t.jsonl")
    wrong(tmp_path, b"PAR?", "is not a Parquet file", name="t.parquet")
    wrong(tmp_path, "a", "is no .parquet, .csv, .tsv or .jsonl file", name="t.xlsx")
    wrong(tmp_path, "a, a\n1,2\n", "column 'a' stands twice")
    (tmp_path / "empty").mkdir()
    wrong(tmp_path, None, "holds no train file", name="empty")


ASKED = ("{text} it is about {mask}.", "{mask}: {text}")
WORDS = " login = key, door ;bill=money; "


def test_a_question_comes_with_its_words(tmp_path):
    path = tmp_path / "t.csv"
    tickets(40).to_csv(path, index=False)
    task = own_task(str(path), templates=ASKED, words=WORDS)
    assert task.templates == ASKED
    assert list(task.words.items()) == [("bill", ("money",)), ("login", ("key", "door"))]
    again = task_from_json(json.loads(json.dumps(task_to_json(task))))
    assert again == task and load_task(again).digest == load_task(own_task(str(path))).digest
    assert own_task(str(path)).templates == () and own_task(str(path)).words == {}
    tickets(40).assign(queue=["a=b" if i % 3 else "c d" for i in range(40)]).to_csv(path)
    odd = own_task(str(path), label="queue", text="message", templates=ASKED, words="a=b=x;c d=y")
    assert odd.words == {"a=b": ("x",), "c d": ("y",)}


def test_a_pair_is_asked_about_as_a_pair(tmp_path):
    path = tmp_path / "t.csv"
    tickets(40).rename(columns={"message": "premise"}).assign(
        hypothesis=[f"it is number {i}" for i in range(40)]
    ).to_csv(path, index=False)
    task = own_task(str(path), templates=["{text}? {mask}, {pair}"], words="bill=no;login=yes")
    assert task.text_pair == "hypothesis" and task.templates == ("{text}? {mask}, {pair}",)
    with pytest.raises(
        InputError, match="{pair} not at all, must hold it once; the task has pairs"
    ):
        own_task(str(path), templates=["{text} {mask}"], words="bill=no;login=yes")


@pytest.mark.parametrize(
    ("templates", "words", "match"),
    [
        (ASKED, None, "^--template: prompting needs --words too$"),
        ((), WORDS, "^--words: prompting needs --template too$"),
        (["{text} is"], WORDS, "'{text} is': holds {mask} not at all, must hold it once$"),
        (["{mask} {text} {mask}"], WORDS, "holds {mask} twice, must hold it once$"),
        ([*ASKED, "{mask} is"], WORDS, "'{mask} is': holds {text} not at all"),
        (["{text} {text} {mask} {text}"], WORDS, "holds {text} 3 times"),
        (["{txt} {mask}"], WORDS, "no field 'txt'. Did you mean 'text'. Known: mask, text"),
        (["{text} {mask} {pair}"], WORDS, "no field 'pair'. Known: mask, text"),
        (["{} {mask} {text}"], WORDS, "no field ''"),
        (["{text {mask}"], WORDS, "fields are written as {text}"),
        (["{text} {mask"], WORDS, "fields are written as {text}"),
        (["{text!r} {mask}"], WORDS, "{text} must stand alone in its braces"),
        (["{text:>9} {mask}"], WORDS, "{text} must stand alone in its braces"),
        ([""], WORDS, "holds {text} not at all"),
        (ASKED, "login=key", "--words: no word for bill; every label needs one"),
        (ASKED, "", "--words: no word for bill, login"),
        (ASKED, "login=key;bil=money", "no label 'bil'. Did you mean 'bill'. Known: bill, login"),
        (ASKED, "login=key;bill=", "label 'bill' has no word"),
        (ASKED, "login=key;bill= , ", "label 'bill' has no word"),
        (ASKED, "login=key;bill", "'bill' must be a label and its words"),
        (ASKED, "login=key;bill=key", "word 'key' of label 'bill' stands for 'login' already"),
        (ASKED, "login=key;login=door;bill=money", "label 'login' stands twice"),
    ],
)
def test_a_question_that_cannot_be_asked_is_one_line(tmp_path, templates, words, match):
    path = tmp_path / "t.csv"
    tickets(40).to_csv(path, index=False)
    with pytest.raises(InputError, match=match) as caught:
        own_task(str(path), templates=templates, words=words)
    assert "\n" not in str(caught.value) and "trouble" not in str(caught.value)


def test_a_number_is_not_asked_for(tmp_path):
    path = tmp_path / "t.csv"
    tickets(60).assign(queue=[i / 7 for i in range(60)]).to_csv(path, index=False)
    with pytest.raises(InputError, match="'t' asks for a number, prompting for classes"):
        own_task(str(path), templates=ASKED, words=WORDS)


def test_a_pool_must_hold_the_text_column(tmp_path):
    path, pool = tmp_path / "t.csv", tmp_path / "more.csv"
    tickets(40).to_csv(path, index=False)
    pd.DataFrame({"messages": ["x", "y"]}).to_csv(pool, index=False)
    with pytest.raises(InputError, match="more.csv: no column 'message'. Did you mean 'messages'"):
        load_task(own_task(str(path), unlabelled=pool))
    with pytest.raises(InputError, match="no such file"):
        own_task(str(path), unlabelled=tmp_path / "none.csv")
