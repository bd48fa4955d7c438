"""The catalogs as shipped: names, order of ids, templates, spaces, studies."""

import json
import os
from pathlib import Path

import pytest

from raysearch.config import catalog
from raysearch.errors import InputError
from raysearch.scores import main_scores

SHARED = Path(os.environ.get("RAYSEARCH_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
MODELS = Path(
    os.environ.get("RAYSEARCH_MODELS_DIR", Path(__file__).parents[3] / "shared" / "models")
)


def test_names_that_do_not_exist_get_the_nearest():
    with pytest.raises(
        InputError, match="^tasks.yaml: no task 'ag_new'. Did you mean 'ag_news'. Known: ag_news, "
    ):
        catalog.find_task("ag_new")
    with pytest.raises(InputError, match="ladder.yaml: no rung 'minilm7'. Did you mean 'minilm-"):
        catalog.find_rung("minilm7")
    with pytest.raises(InputError, match="no study 'quik'. Did you mean 'quick'. Known: default"):
        catalog.find_study("quik")
    with pytest.raises(InputError, match="nowhere.yaml: cannot be read"):
        catalog.find_study("nowhere.yaml")


def test_the_tasks_of_the_papers_are_there():
    wanted = "toy sst2 sst2_sent trec6 imdb ag_news dbpedia14 cola mrpc rte stsb".split()
    assert set(wanted) <= set(catalog.tasks())
    assert catalog.find_task("cola").score == "mcc" and catalog.find_task("stsb").regression
    assert catalog.find_task("scicite").score == "macro_f1"
    assert catalog.find_task("toy").ladder == "toy"


@pytest.mark.parametrize("task", catalog.tasks().values(), ids=lambda t: t.name)
def test_every_task_is_whole(task):
    assert task.score in main_scores() and task.citation
    assert task.source.startswith(("hf:", "builtin:")) or not task.source
    assert task.classes == 1 if task.regression else task.classes >= 2
    _, _, revision = task.source.partition("@")
    assert not revision or len(revision) == 40
    for template in task.templates:
        assert template.count("{mask}") == template.count("{text}") == 1
        assert ("{pair}" in template) == (task.text_pair is not None)
    assert bool(task.templates) == bool(task.words)


@pytest.mark.parametrize(
    "task", [t for t in catalog.tasks().values() if t.name != "toy"], ids=lambda t: t.name
)
def test_label_names_are_those_of_the_data(task):
    meta = SHARED / (task.folder or task.name) / "meta.json"
    if not meta.is_file():
        pytest.skip(f"no {meta}")
    names = json.loads(meta.read_text())["label_names"]
    if task.name != "trec6" and not task.regression:  # the hub's codes there, words here
        assert list(task.label_names) == names
    assert task.regression or len(names) == task.classes


def test_label_words_are_single_tokens_of_bert():
    vocabulary = MODELS / "all-MiniLM-L6-v2" / "vocab.txt"
    if not vocabulary.is_file():
        pytest.skip(f"no {vocabulary}")
    known = set(vocabulary.read_text(encoding="utf-8").split("\n"))
    for task in catalog.tasks().values():
        used = [w.lower() for words in task.words.values() for w in words]
        assert not [w for w in used if w not in known], task.name
        assert len(set(used)) == len(used), f"{task.name}: a word stands for two classes"


def test_spaces_and_studies():
    spaces = catalog.method_spaces()
    assert {"ngram_linear", "embed_linear", "finetune"} <= set(spaces)
    finetune = spaces["finetune"].knobs
    assert finetune["learning_rate"].holds(2e-5) and not finetune["learning_rate"].holds(2e-3)
    assert {"quick", "default", "thorough"} <= set(catalog.studies())
    for name, path in catalog.studies().items():
        study = catalog.find_study(name)
        assert study.name == name and catalog.find_study(str(path)) == study
    assert max(catalog.find_study("quick").labels) <= 1000


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"label_names": ["a", "b"], "scroe": "mcc"}, "no key 'scroe'. Did you mean 'score'"),
        ({"label_names": ["a"]}, "at least two classes"),
        ({"label_names": ["a", "b"], "score": "f2"}, "no score 'f2'. Known: accuracy"),
        ({"label_names": ["a", "b"], "score": "nll"}, "no score 'nll'. Known: accuracy"),
        ({"label_names": ["a", "b", "c"], "score": "f1"}, "f1 takes 2 classes, the task has 3"),
        ({"label_names": ["a", "b"], "score": "spearman"}, "score spearman.* has none"),
        ({"label_names": ["a", "b"], "score": "pearson"}, "regression task .* has none"),
        ({"label_names": ["a", "b"], "templates": ["{text}"]}, "must hold each of"),
        ({"label_names": ["a", "b"], "words": {"a": ["x"]}}, "must name every class"),
        ({"label_names": ["a", "b"], "splits": {"dev": "x"}}, "no split 'dev'"),
        ({"label_names": ["a", "b"], "label": True}, "label"),
    ],
)
def test_a_wrong_entry_is_one_sentence(entry, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        catalog.task_from_json({"name": "x", **entry})
    assert "\n" not in str(caught.value)


def test_the_catalogs_cannot_be_changed_by_a_caller():
    catalog.tasks().clear()
    assert catalog.tasks()
