"""A trial as one value with one id: what enters the id, what does not, and the way there and back.

Golden ids stand in tests/config/test_files.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import MISSING, fields, make_dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.config import trial as module
from raysearch.config.trial import ID_LENGTH, DataBudget, TrialConfig, canonical, digest

ROOT = Path(__file__).resolve().parents[2]

WHOLE = TrialConfig(
    task="pets",
    splits="d1",
    method="finetune",
    rung="bert-tiny",
    data=DataBudget(32, 16, 8, 1),
    weights="w1",
    hyper={"epochs": 3, "schedule": "cosine", "normalise": True, "learning_rate": 3e-4},
    init_seed=2,
    precision="bf16",
    horizon=60,
    behaviour=2,
    inputs={"teacher": TrialConfig("pets", "d1", "ngram_linear", "hash-16", DataBudget(8))},
)
"""A configuration with every field set to something else than its default."""

names = st.text(min_size=1, max_size=8)
counts = st.integers(0, 10**6)
scalars = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
budgets = st.builds(DataBudget, counts, counts, counts, counts)


def configs(inputs: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(
        TrialConfig,
        task=names,
        splits=names,
        method=names,
        rung=names,
        data=budgets,
        weights=st.just("") | names,
        hyper=st.dictionaries(names, scalars, max_size=4),
        init_seed=counts,
        precision=st.sampled_from(["fp32", "bf16"]),
        horizon=counts,
        behaviour=st.integers(1, 3),
        inputs=inputs,
    )


nothing = st.just({})
trials = configs(
    nothing
    | st.dictionaries(
        names, configs(nothing | st.dictionaries(names, configs(nothing), max_size=1)), max_size=2
    )
)


def shuffled(value: object, rng: object) -> object:
    """The same JSON value with the keys of every mapping in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {k: shuffled(value[k], rng) for k in keys}
    return [shuffled(v, rng) for v in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(trials, st.randoms(use_true_random=False))
def test_a_config_comes_back_whole_from_any_order_of_keys(config, rng):
    text = json.dumps(shuffled(config.to_json(), rng))
    back = TrialConfig.from_json(json.loads(text))
    assert back == config and back.id == config.id
    assert canonical(back.to_json()) == canonical(config.to_json())
    assert len(config.id) == ID_LENGTH and int(config.id, 16) >= 0


@settings(max_examples=60, deadline=None)
@given(trials, trials)
def test_one_value_one_id(a, b):
    assert (a.id == b.id) == (canonical(a.to_json()) == canonical(b.to_json()))
    assert a == b or a.id != b.id


@settings(max_examples=40, deadline=None)
@given(trials)
def test_writing_a_config_down_changes_nothing(config):
    before = replace(config, hyper=dict(config.hyper), inputs=dict(config.inputs))
    value = config.to_json()
    value["data"]["train"] = -1
    value.setdefault("hyper", {})["new"] = 1
    assert config == before and config.id == before.id


def test_the_id_is_the_digest_of_the_canonical_text():
    assert WHOLE.id == digest(WHOLE.to_json()) == digest(json.loads(canonical(WHOLE.to_json())))


OTHER = {
    "task": "dogs",
    "splits": "d2",
    "method": "embed_linear",
    "rung": "bert-mini",
    "data": DataBudget(33, 16, 8, 1),
    "weights": "w2",
    "hyper": {**WHOLE.hyper, "epochs": 4},
    "init_seed": 3,
    "precision": "fp32",
    "horizon": 61,
    "behaviour": 3,
    "inputs": {"teacher": replace(WHOLE.inputs["teacher"], init_seed=1)},
}


def test_the_table_above_names_every_field():
    assert set(OTHER) == {f.name for f in fields(TrialConfig)}
    for f in fields(TrialConfig):
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        assert getattr(WHOLE, f.name) != default, f"{f.name} stands at its default"


@pytest.mark.parametrize("name", OTHER)
def test_each_field_changes_the_id(name):
    assert replace(WHOLE, **{name: OTHER[name]}).id != WHOLE.id


@pytest.mark.parametrize("name", [f.name for f in fields(DataBudget)])
def test_each_number_of_the_budget_changes_the_id(name):
    data = replace(WHOLE.data, **{name: getattr(WHOLE.data, name) + 1})
    assert replace(WHOLE, data=data).id != WHOLE.id


def test_the_role_and_the_depth_of_an_input_change_the_id():
    teacher = WHOLE.inputs["teacher"]
    ids = {
        replace(WHOLE, inputs=inputs).id
        for inputs in (
            {},
            {"teacher": teacher},
            {"generator": teacher},
            {"teacher": teacher, "generator": teacher},
            {"teacher": replace(teacher, inputs={"pool": teacher})},
        )
    }
    assert len(ids) == 5


def test_knobs_are_told_apart_by_their_kind():
    ids = {replace(WHOLE, hyper={"k": v}).id for v in (1, "1", True, 1.5)}
    assert len(ids) == 4


def test_fields_at_their_default_stand_nowhere():
    bare = TrialConfig("pets", "d1", "finetune", "bert-tiny", DataBudget(32))
    assert bare.to_json() == {
        "task": "pets",
        "splits": "d1",
        "method": "finetune",
        "rung": "bert-tiny",
        "data": {"train": 32},
    }
    assert TrialConfig.from_json(bare.to_json()) == bare
    assert replace(bare, hyper={}, init_seed=0, precision="fp32", inputs={}).id == bare.id
    assert set(WHOLE.to_json()) == {f.name for f in fields(TrialConfig)}


def test_a_field_added_later_changes_no_old_id(monkeypatch):
    """A future TrialConfig and DataBudget with one more field each, left at its default."""
    future_budget = make_dataclass(
        "DataBudget", [("groups", int, 0)], bases=(DataBudget,), frozen=True
    )
    future = make_dataclass(
        "TrialConfig", [("curriculum", str, "")], bases=(TrialConfig,), frozen=True
    )
    old = {f.name: getattr(WHOLE, f.name) for f in fields(TrialConfig)}
    budget = {f.name: getattr(WHOLE.data, f.name) for f in fields(DataBudget)}
    assert future(**{**old, "data": future_budget(**budget)}).id == WHOLE.id
    assert future(**old, curriculum="easy first").id != WHOLE.id
    assert future(**{**old, "data": future_budget(**budget, groups=1)}).id != WHOLE.id
    monkeypatch.setattr(module, "DataBudget", future_budget)
    assert future.from_json(WHOLE.to_json()).id == WHOLE.id, "an old record is read"


def test_the_id_is_the_same_in_another_process_place_and_hash_seed(tmp_path):
    code = (
        "import json, sys\n"
        "from raysearch.config.trial import TrialConfig\n"
        "print(TrialConfig.from_json(json.loads(sys.argv[1])).id)\n"
    )
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code, json.dumps(WHOLE.to_json())],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert ran.stdout.strip() == WHOLE.id, ran.stderr


def test_the_fields_leave_no_room_for_a_place():
    """No path, host, device, time or worker; test_planner.py asks the configurations made."""
    assert not {f.name for f in fields(TrialConfig)} & {
        *("path", "folder", "store", "out", "host", "device", "threads", "time", "phase"),
        *("data_dir", "models_dir", "concurrency", "seconds", "started"),
    }


def test_a_config_cannot_be_changed():
    with pytest.raises(AttributeError):
        WHOLE.task = "dogs"
    with pytest.raises(AttributeError):
        WHOLE.data.train = 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"data": None}, TypeError),
        ({"data": {"validation": 1}}, TypeError),
        ({"data": {"train": 1, "trian": 2}}, TypeError),
        ({"metod": "finetune"}, TypeError),
        ({"inputs": {"teacher": {"task": "pets"}}}, KeyError),
    ],
)
def test_json_that_is_no_config_is_refused(change, error):
    with pytest.raises(error):
        TrialConfig.from_json({**WHOLE.to_json(), **change})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_a_knob_that_is_no_json_has_no_id(bad):
    with pytest.raises((TypeError, ValueError)):
        _ = replace(WHOLE, hyper={"k": bad}).id


def test_canonical_text_is_ascii_sorted_and_tight():
    assert canonical({"b": [1, 2.5, None], "a": "é"}) == '{"a":"\\u00e9","b":[1,2.5,null]}'


def test_two_thousand_neighbours_have_an_id_each():
    ids = {
        replace(WHOLE, init_seed=seed, data=replace(WHOLE.data, seed=draw)).id
        for seed in range(100)
        for draw in range(20)
    }
    assert len(ids) == 2000
