"""The hub's side of loading, with the hub played by data sets built in memory."""

import time

import datasets
import pytest
from huggingface_hub import constants

from raysearch.config.catalog import find_task
from raysearch.config.ladder import ModelSize
from raysearch.data.task_data import load_task, own_task
from raysearch.errors import InputError
from raysearch.storage import hub
from raysearch.storage.checkpoints import AWAY, NotHere, weights_folder


def split(n, start, names, labels=None, text="sentence"):
    return datasets.Dataset.from_dict(
        {
            text: [f"sentence {start + i}" for i in range(n)],
            "label": labels or [i % len(names) for i in range(n)],
        },
        features=datasets.Features(
            {text: datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
        ),
    )


@pytest.fixture
def fake_hub(monkeypatch):
    """Lets the hub answer with `fake_hub["answer"]` and notes the arguments."""
    seen = {}

    def load_dataset(name, config, revision=None):
        seen["call"] = (name, config, revision)
        if isinstance(seen["answer"], Exception):
            raise seen["answer"]
        return seen["answer"]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_commit", lambda *_: ("c0ffee", True))
    return seen


def test_hidden_test_labels_and_pinned_revision(fake_hub):
    names = ["negative", "positive"]
    fake_hub["answer"] = datasets.DatasetDict(
        train=split(100, 0, names),
        validation=split(20, 200, names),
        test=split(30, 300, names, labels=[-1] * 30),
    )
    data = load_task(find_task("sst2"))
    assert fake_hub["call"][:2] == ("nyu-mll/glue", "sst2") and len(fake_hub["call"][2]) == 40
    assert len(data.splits["test"]) == 20 and len(data.splits["validation"]) == 25
    assert not [n for n in data.notes if "not pinned" in n]


def test_own_hub_id(fake_hub):
    fake_hub["answer"] = datasets.DatasetDict(
        train=split(100, 0, ["ham", "spam", "other"], text="body"),
        dev=split(20, 200, ["ham", "spam", "other"], text="body"),
    )
    task = own_task("hf:someone/mails:plain")
    assert task.name == "someone__mails__plain" and task.label_names == ("ham", "spam", "other")
    data = load_task(task)
    assert data.splits["train"].label[:3].tolist() != [0, 0, 0] and not data.official_test
    assert len(data.splits["validation"]) == 20
    notes = " | ".join(data.notes)
    assert "not pinned to a revision; read at commit c0ffee" in notes
    assert "3 classes, smallest 33 of 100 rows: scoring accuracy" in notes


def test_what_the_hub_says_is_one_line(fake_hub):
    fake_hub["answer"] = ValueError("Config name is missing.\nPlease pick one among: ['cola']")
    with pytest.raises(
        InputError, match="hf:nyu-mll/glue: cannot be loaded: Config name"
    ) as caught:
        load_task(find_task("rte"))
    assert "\n" not in str(caught.value)
    fake_hub["answer"] = datasets.DatasetDict(dev=split(9, 0, ["a", "b"]))
    with pytest.raises(InputError, match="holds no split 'train'. Known: dev"):
        load_task(find_task("rte"))


def test_the_environment_is_as_before(monkeypatch):
    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    monkeypatch.setattr(hub, "_commit", lambda *_: (None, False))
    with pytest.raises(InputError, match="out of reach"):
        load_task(find_task("sst2_sent"))
    assert (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE) == before


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("hf:imdb", ("imdb", None, None)),
        ("hf:a/b:c@d", ("a/b", "c", "d")),
        ("hf:a/b@refs/pr/1", ("a/b", None, "refs/pr/1")),
    ],
)
def test_ids_of_the_hub(source, parts):
    assert hub.hub_id(source) == parts


def test_the_hub_is_asked_once_whether_it_is_there(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.answers.cache_clear()
    start = time.perf_counter()
    try:
        assert not hub.answers() and not hub.answers()
        assert hub.answers.cache_info().misses == 1
        rung = ModelSize("far", "encoder", source="hf:someone/far-away-model")
        for _ in range(20):
            with pytest.raises(NotHere, match="far-away-model.*--models-dir") as e:
                weights_folder(rung, None)
            assert e.value.why == AWAY
    finally:
        hub.answers.cache_clear()
    assert time.perf_counter() - start < 5, "no retries, however many models are not here"
