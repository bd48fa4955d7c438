"""Every rung's parameters, against the module built with its shape."""

import json

import pytest
import torch
from transformers import BertConfig, DistilBertConfig, RobertaConfig
from transformers.models.auto import AutoConfig, AutoModel

from raysearch.config import catalog
from raysearch.config.places import shipped

ENCODERS = [r for r in catalog.ladder().values() if r.family == "encoder"]


def config(rung):
    shape = {
        "vocab_size": rung.vocabulary,
        "max_position_embeddings": rung.positions,
    }
    if rung.name.startswith("distilbert"):
        return DistilBertConfig(
            **shape, n_layers=rung.layers, dim=rung.hidden, hidden_dim=rung.intermediate
        )
    kind = RobertaConfig if rung.name.startswith("roberta") else BertConfig
    if kind is RobertaConfig:
        shape["type_vocab_size"] = 1
    return kind(
        **shape,
        num_hidden_layers=rung.layers,
        hidden_size=rung.hidden,
        intermediate_size=rung.intermediate,
        num_attention_heads=max(1, rung.hidden // 64),
    )


def counted(settings):
    pooler = {} if settings.model_type == "distilbert" else {"add_pooling_layer": False}
    with torch.device("meta"):
        body = AutoModel.from_config(settings, **pooler)
    return sum(p.numel() for p in body.parameters())


@pytest.mark.parametrize("rung", ENCODERS, ids=lambda r: r.name)
def test_params_are_those_of_the_built_module(rung):
    assert counted(config(rung)) == rung.params


@pytest.mark.parametrize(
    "rung",
    [r for r in ENCODERS if r.name.startswith(("toy-", "minilm-", "anydepth-"))],
    ids=lambda r: r.name,
)
def test_the_shape_is_that_of_the_checkpoint(rung):
    import os
    from pathlib import Path

    models = os.environ.get("RAYSEARCH_MODELS_DIR", Path(__file__).parents[3] / "shared" / "models")
    folder = Path(models) / rung.folder
    if rung.source.startswith("builtin:"):
        folder = Path(catalog.__file__).parents[1] / "toy" / "rungs" / rung.name
    if not (folder / "config.json").is_file():
        pytest.skip(f"no {folder}")
    settings = AutoConfig.from_pretrained(folder, num_hidden_layers=rung.layers)
    whole = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    assert rung.layers == (rung.depth or whole) <= whole
    assert counted(settings) == rung.params


def test_the_ladders():
    climbs = {}
    for rung in catalog.ladder().values():
        for name in rung.ladders:
            climbs.setdefault(name, []).append(rung)
    assert {task.ladder for task in catalog.tasks().values()} <= set(climbs)
    assert {r.family for r in climbs["default"]} == {"ngram", "dan", "encoder"}
    tables = [r.buckets for r in climbs["default"] if r.family == "ngram"]
    assert tables == [2**16, 2**18, 2**20]
    assert "hash-16" in [r.name for r in climbs["toy"]]
    for rung in ENCODERS:
        assert rung.licence and rung.pretrained_on and rung.hidden % 2 == 0
        revision = rung.source.partition("@")[2]
        assert not revision or len(revision) == 40
    assert (shipped("search_spaces") / "finetune.yaml").is_file()


TABLES = [r for r in catalog.ladder().values() if r.family == "dan"]


@pytest.mark.parametrize("rung", TABLES, ids=lambda r: r.name)
def test_params_of_a_table_are_its_rows_and_the_layer_on_it(rung):
    assert rung.params == rung.buckets * rung.hidden + rung.hidden**2 + rung.hidden
    assert "sparse" in rung.ladders


@pytest.mark.parametrize(
    ("nominal", "names"),
    [
        (1e6, ("dan-1m-4k", "dan-1m", "dan-1m-62k")),
        (1e7, ("dan-10m-40k", "dan-10m", "dan-10m-400k")),
    ],
)
def test_tables_of_three_shapes_have_the_same_parameters(nominal, names):
    wide, middle, narrow = (catalog.find_rung(n) for n in names)
    assert wide.buckets < middle.buckets < narrow.buckets
    assert wide.hidden > middle.hidden > narrow.hidden
    assert all(abs(r.params / nominal - 1) < 0.005 for r in (wide, middle, narrow))


def test_the_study_of_tables_names_models_that_are_there():
    study = catalog.find_study("sparse_distill")
    named = [n for p in study.procedures for n in p.named]
    assert {catalog.find_rung(n).family for n in named} == {"dan"}
    taught = [p for p in study.procedures if p.method == "sparse_distill"]
    shapes = {catalog.find_rung(n).params for p in taught for n in p.named}
    assert len(shapes) >= 8 and study.draws >= 3
    wide = [p.hyper for p in taught if "dan-1m-4k" in p.named]
    assert sorted(h["ngrams"] for h in wide) == [1, 2, 3, 4]
    assert len({frozenset((k, v) for k, v in h.items() if k != "ngrams") for h in wide}) == 1
    teacher = next(p for p in study.procedures if p.method == "finetune")
    assert all(p.inputs["teacher"].hyper == teacher.hyper for p in taught), "one teacher for all"
