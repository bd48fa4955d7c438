"""Strict YAML, domains, studies and trial ids."""

import json
from dataclasses import replace

import pytest

from raysearch.config.space import domain, load_method_space
from raysearch.config.strict import load_yaml, parse
from raysearch.config.study import Study, load_study
from raysearch.config.trial import DataBudget, TrialConfig, canonical
from raysearch.errors import InputError

GRID = "name: s\nsearcher: grid\nprocedures: "


def written(tmp_path, text, name="x.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_yaml_is_read_strictly(tmp_path):
    assert load_yaml(written(tmp_path, "rate: 1e-4")) == {"rate": 1e-4}
    with pytest.raises(InputError, match="x.yaml: line 2: key 'a' stands twice"):
        load_yaml(written(tmp_path, "a: 1\na: 2\n"))
    with pytest.raises(InputError, match="holds list, must be a mapping"):
        load_yaml(written(tmp_path, "[1]"))
    with pytest.raises(InputError, match="not UTF-8 at byte 3"):
        (tmp_path / "y.yaml").write_bytes(b"a: \xff")
        load_yaml(tmp_path / "y.yaml")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"logunifrom": [1, 2]}, "no kind 'logunifrom'. Did you mean 'loguniform'"),
        ({"uniform": [2, 1]}, "reversed or empty"),
        ({"loguniform": [0, 1]}, "above 0"),
        ({"randint": [1, 2.5]}, "whole numbers"),
        ({"choice": [1, 1]}, "twice"),
        ({"choice": []}, "takes a list"),
        ({"uniform": [1]}, r"takes \[low, high\]"),
        ([1], "must be one of"),
    ],
)
def test_impossible_domains(value, sentence):
    with pytest.raises(InputError, match=sentence):
        domain(value, "x.yaml: knobs.k")


def test_a_domain_holds_its_values():
    assert domain({"choice": [1, "a"]}, "").holds("a")
    ints = domain({"randint": [1, 4]}, "")
    assert ints.holds(3) and not ints.holds(4) and not ints.holds(True) and not ints.holds(1.5)
    assert domain({"loguniform": [1e-5, 1e-3]}, "").holds(1e-3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("method: y\n", "method is 'y', must be the file's name 'x'"),
        ("method: x\nknobs: {c: {choice: [1]}}\n", "first lacks 'c'"),
        ("method: x\nknobs: {c: {choice: [1]}}\nfirst: {c: 2}\n", "2 lies outside"),
        ("method: x\nknobs: {cc: {choice: [1]}}\nfirst: {c: 1}\n", "no knob 'c'"),
        ("method: x\nknob: {}\n", "no key 'knob'. Did you mean 'knobs'"),
        (
            "method: x\nknobs: {c: {choise: [1]}}\n",
            r"x.yaml: knobs.c: no kind 'choise'. Did you mean 'choice'\? Known: choice, uniform",
        ),
        ("method: x\nknobs: 3\n", r"knobs: a mapping is expected \(stands there: 3\)"),
        (
            "method: x\ninputs: {teacher: dan}\n",
            r"inputs.teacher: a list is expected \(stands there: 'dan'\)",
        ),
        ("knobs: {}\n", "key 'method' is missing"),
        ("method: x\nknobs: {c: {uniform: [0, true]}}\n", r"knobs.c.uniform: takes \[low, high\]"),
        ("method: x\nknobs: {c: {uniform: [0, .inf]}}\n", "must be finite"),
        ("method: x\nknobs: {c: {choice: [[1]]}}\n", "takes numbers, words and booleans"),
    ],
)
def test_wrong_spaces(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        load_method_space(written(tmp_path, text))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("x.yaml: ")


def test_a_space_keeps_its_values_as_they_are_written(tmp_path):
    text = (
        "method: x\nknobs: {a: {choice: [1, 1.0, true, w]}, b: {lograndint: [1, 9]}, c: {uniform: "
    )
    space = load_method_space(written(tmp_path, text + "[0, 1.0]}}\nfirst: {a: 1, b: 2, c: 0}\n"))
    assert list(map(repr, space.knobs["a"].options)) == ["1", "1.0", "True", "'w'"]
    assert (repr(space.knobs["b"].low), repr(space.knobs["c"].high)) == ("1", "1.0")
    assert repr(dict(space.default_config)) == "{'a': 1, 'b': 2, 'c': 0}" and space.inputs == {}
    bare = load_method_space(written(tmp_path, "method: x\nknobs:\nfirst:\ninputs:\n"))
    assert (bare.knobs, bare.default_config, bare.inputs) == ({}, {}, {})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: s\nlable: [1]", "no key 'lable'. Did you mean 'labels'"),
        ("name: s\nlabels: [1, 1]", "distinct"),
        ("name: s\nsearcher: tpo", "no searcher 'tpo'. Known: tpe"),
        ("name: s\ntrials: 0", "greater than 0"),
        ("tldr: s", "key 'name' is missing"),
        ("nmae: s", "no key 'nmae'. Did you mean 'name'"),
        (
            "name: s\nprices: {cpu_hor: 1}",
            r"prices: no key 'cpu_hor'. Did you mean 'cpu_hour'\? Known: cpu_hour, gpu_hour, label",
        ),
        (
            GRID + "[{method: dan, teacher: {mthod: b}}]",
            "procedures.0.inputs.teacher: no key 'mthod'. D",
        ),
        (GRID + "[{method: dan, hyper: {a: [1]}}]", "procedures.0.hyper.a: a number, a word, true"),
        ("name: s\nstratify: [model]", "stratify.0: no value 'model'. Did you mean 'models'"),
        ("name: s\ntrials: many", r"trials: a whole number is expected \(stands there: 'many'\)"),
        ("name: [", "x.yaml: line 1: cannot be read as YAML: "),
        (GRID + "[{method: dan, model: []}]", "a list of distinct names, or largest"),
        (GRID + "[{method: dan, model: [a, a]}]", "a list of distinct names, or largest"),
        (GRID + "[{method: dan, model: [a, largest]}]", "a list of distinct names, or largest"),
        (GRID + "[{method: dan, model: 3}]", r"model: must be .* \(stands there: 3\)"),
        (
            GRID + "[{method: dan, teacher: {method: b, model: [a, b]}}]",
            "teacher.model: an input has one model, not a list",
        ),
    ],
)
def test_wrong_studies(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        load_study(written(tmp_path, text))


def test_the_models_of_a_procedure(tmp_path):
    lines = "[{method: dan, model: [a, b]}, {method: dan, model: largest}, {method: dan, model: a}]"
    study = load_study(written(tmp_path, GRID + lines))
    assert [p.named for p in study.procedures] == [("a", "b"), (), ("a",)]
    again = parse(Study, json.loads(study.model_dump_json(exclude_none=True)), "as run")
    assert again == study


def config(**changes):
    whole = TrialConfig("t", "d1", "finetune", "bert-tiny", DataBudget(32, 32), hyper={"b": 1})
    return replace(whole, **changes)


def test_ids_are_golden():
    """These may never change: records of old studies are found by them."""
    assert config().id == "a4ce00b1effc631b"
    assert config(inputs={"teacher": config()}).id == "5f84631a580c5af7"


def test_ids_tell_apart_and_defaults_are_left_out():
    assert config(precision="fp32").id == config().id
    ids = {
        config(**c).id
        for c in (
            {},
            {"hyper": {"b": 2}},
            {"init_seed": 1},
            {"data": DataBudget(32, 32, seed=1)},
            {"splits": "d2"},
            {"inputs": {"teacher": config()}},
        )
    }
    assert len(ids) == 6
    assert config(hyper={"a": 1, "b": 2}).id == config(hyper={"b": 2, "a": 1}).id


def test_a_config_comes_back_whole():
    deep = config(inputs={"teacher": config(inputs={"pool": config(init_seed=3)})})
    assert TrialConfig.from_json(json.loads(json.dumps(deep.to_json()))) == deep


def test_canonical_refuses_nan():
    with pytest.raises(ValueError):
        canonical({"a": float("nan")})
