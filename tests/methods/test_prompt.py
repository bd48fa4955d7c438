"""Prompting: it learns through its own head, on every kind of checkpoint it knows."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from raysearch.config.catalog import find_task
from raysearch.config.study import Study
from raysearch.data.task_data import load_task
from raysearch.errors import InputError
from raysearch.planning.planner import Planner
from raysearch.trial.run import TrialRun
from raysearch.trial.trained import TrainedModel
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("tiny_ladder")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("prompt")
    return tiny.world(tiny.write_task(home / "two", "two", train=120), home / "out")


@pytest.mark.slow
def test_learns_what_is_easy(world):
    run = tiny.trial(world, "prompt", "random-1", 100, epochs=20, learning_rate=1e-3)
    assert tiny.accuracy(tiny.finish(run)) > 0.95


def test_templates_are_other_computations_and_the_last_is_followed_by_the_first(world):
    first = tiny.configure(world, "prompt", "random-1", template=0)
    second = tiny.configure(world, "prompt", "random-1", template=1)
    again = tiny.configure(world, "prompt", "random-1", template=4)
    assert first.id == again.id != second.id
    short = {"epochs": 1, "min_steps": 2}
    runs = [
        tiny.finish(tiny.trial(world, "prompt", "random-1", template=t, **short)) for t in (0, 1)
    ]
    rows = world.data.splits["test"]
    logits = [r.learner.predict(rows, {}, phase="test") for r in runs]
    assert not np.allclose(*logits)


def test_no_weight_is_new(world):
    """What is deployed is the checkpoint's body, head and the words' biases, nothing random."""
    run = tiny.trial(world, "prompt", "random-1", epochs=1, min_steps=2)
    run.begin()
    body = sum(p.numel() for p in run.learner._module.encoder.parameters())
    params, trained, stored = run.learner.size({})
    assert params == trained == body + 32 * 32 + 32 + 2 * 32 + 2 and stored == 4 * params
    twice = tiny.trial(world, "prompt", "random-1", epochs=1, min_steps=2)
    twice.config = dataclasses.replace(twice.config, init_seed=9)
    twice.begin()
    for a, b in zip(
        run.learner._module.parameters(), twice.learner._module.parameters(), strict=True
    ):
        assert torch.equal(a, b)


def test_a_class_by_any_name_keeps_its_place(tmp_path):
    """Words follow the order of the classes, not that of the entry."""
    task = tiny.write_task(tmp_path / "two", "two")
    turned = dataclasses.replace(task, words=dict(reversed(task.words.items())))
    short = {"epochs": 1, "min_steps": 2}
    logits = []
    for i, given in enumerate((task, turned)):
        w = tiny.world(given, tmp_path / str(i))
        run = tiny.finish(tiny.trial(w, "prompt", "random-1", **short))
        logits.append(run.learner.predict(w.data.splits["test"], {}, phase="test"))
    assert np.array_equal(*logits)


def test_the_question_is_part_of_the_id_and_checked_when_the_trial_opens(tmp_path):
    """The other templates and the order of the entry are not: they change nothing."""
    task = tiny.write_task(tmp_path / "two", "two")
    first, *others = task.templates
    ids = {}
    for name, change in {
        "same": {},
        "fewer": {"templates": (first,)},
        "turned": {"words": dict(reversed(task.words.items()))},
        "template": {"templates": ("{text} so {mask} .", *others)},
        "words": {"words": {**task.words, "class 0": ("odd",)}},
    }.items():
        w = tiny.world(dataclasses.replace(task, **change), tmp_path / name)
        ids[name] = tiny.configure(w, "prompt", "random-1").id
        plain = tiny.configure(w, "finetune", "random-1")
        assert "inputs" not in plain.to_json()
        if name == "words":
            config = tiny.configure(tiny.world(task, tmp_path), "prompt", "random-1")
            with pytest.raises(InputError, match="its template or label words have changed"):
                TrialRun(config, w.place)
    assert ids["same"] == ids["fewer"] == ids["turned"]
    assert len({ids["same"], ids["template"], ids["words"]}) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"templates": (), "words": {}}, "task 'two' has no template and label words"),
        ({"words": {"class 0": ("reds",), "class 1": ("great",)}}, "'reds' of class 'class 0'"),
        ({"templates": ("{text} " + "it was " * 20 + "{mask}",)}, "without any text"),
    ],
)
def test_a_task_that_cannot_be_asked_is_left_out_with_a_sentence(tmp_path, change, says):
    task = dataclasses.replace(tiny.write_task(tmp_path / "two", "two"), **change)
    w = tiny.world(task, tmp_path)
    assert "prompt" not in w.space.methods and "zero_shot" not in w.space.methods
    assert says in w.excluded["prompt"] and "\n" not in w.excluded["prompt"]
    assert set(w.space.upstream) == {"finetune"}, "a prompted teacher is out as well"
    with pytest.raises(InputError, match="method 'prompt': ") as e:
        _ = tiny.world(task, tmp_path, methods=("prompt",)).space
    assert says in str(e.value) and "\n" not in str(e.value)


def test_zero_shot_needs_no_labels_and_takes_none(world):
    run = tiny.finish(tiny.trial(world, "zero_shot", "random-1", 100))
    record = run.record()
    assert record.labels_used == 0 and record.points[0].scores == {}
    assert sum(c.flops for c in record.bill) == sum(c.labels for c in record.bill) == 0
    assert TrainedModel(run).score(record.points[0], "test")["scores"]["accuracy"] >= 0
    other = tiny.configure(world, "zero_shot", "random-1", 32)
    assert other.id == run.config.id, "no label budget is its own"


DATA = Path(os.environ.get("RAYSEARCH_DATA_DIR", "../shared/data"))
MODELS = Path(os.environ.get("RAYSEARCH_MODELS_DIR", "../shared/models"))


@pytest.mark.real
@pytest.mark.skipif(
    not (DATA / "sst2_sent").is_dir() or not (MODELS / "minilm-anydepth-mlm").is_dir(),
    reason="needs RAYSEARCH_DATA_DIR with sst2_sent and RAYSEARCH_MODELS_DIR",
)
def test_a_real_masked_lm_knows_more_than_chance_before_it_is_trained(tmp_path):
    """On any depth of it; chance is 0.50 on these sentences."""
    data = load_task(find_task("sst2_sent"), data_dir=DATA)
    study = Study(name="x", models=("anydepth-2", "anydepth-6"), methods=("zero_shot", "prompt"))
    w = Planner(study, data, out=tmp_path, data_dir=DATA, models_dir=MODELS)
    assert w.space.rungs["prompt"] == ("anydepth-2", "anydepth-6")
    rows = data.splits["test"].take(np.arange(0, 1821, 6))
    for name in w.space.rungs["zero_shot"]:
        run = tiny.finish(TrialRun(tiny.configure(w, "zero_shot", name, 32), w.place))
        right = run.learner.predict(rows, {}, phase="test").argmax(axis=1) == rows.label
        assert right.mean() > 0.55, name
