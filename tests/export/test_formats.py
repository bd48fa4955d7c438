"""Every format computes what was trained, through strangers' tools and our own, or says no."""

from __future__ import annotations

import importlib
import json
import pickle
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from raysearch import export
from raysearch.data.rows import Rows
from raysearch.encoders.graphs import EncoderGraph
from raysearch.encoders.models import open_encoder
from raysearch.encoders.tokens import Tokeniser
from raysearch.errors import InputError
from raysearch.export import ngram_numpy
from raysearch.export import write as writing
from raysearch.export.manifest import FILE, Manifest
from raysearch.export.model import Model
from raysearch.export.opening import open_model
from raysearch.export.predictor import probabilities
from raysearch.ngrams.graphs import NgramGraph
from raysearch.ngrams.hashed import PATTERN
from raysearch.storage.store import Store
from tests.support.pairwise import pairwise

HOSTILE = ("<script>alert(1)</script>", "a\nb|c", '"},{', "p_x,=1+1", "naïve 🙂 ".strip())
LIMIT = 40


def encoder_graph(folder, rung, classes=2, pooling="mean", normalise=False, sharp=1.0):
    encoder = open_encoder(rung, folder, torch.device("cpu"))
    g = torch.Generator().manual_seed(classes)
    weight = sharp * torch.randn(classes, encoder.hidden, generator=g) / 3
    return EncoderGraph(
        encoder, pooling, normalise, weight, torch.linspace(-0.5, 0.5, classes).contiguous()
    )


def ngram_graph(classes=2, weighting="tfidf", buckets=1024):
    rng = np.random.default_rng(classes)
    idf = 1 + rng.random(buckets, np.float32) if weighting == "tfidf" else None
    weight = rng.standard_normal((buckets, classes)).astype(np.float32)
    return NgramGraph(2, buckets, weighting, idf, weight, np.ones(classes, np.float32))


def manifest_of(name, graph, *, pair=False, labels=None):
    classes = graph.classes
    plain = Manifest(
        name,
        "task",
        "accuracy" if classes > 1 else "pearson",
        labels=() if classes == 1 else labels or tuple(f"l{i}" for i in range(classes)),
        regression=classes == 1,
        pair=pair,
    )
    if isinstance(graph, NgramGraph):
        return replace(plain, ngrams=graph.ngrams, buckets=graph.buckets, weighting=graph.weighting)
    return replace(
        plain,
        max_length=LIMIT,
        pooling=graph.pooling,
        normalise=graph.normalise,
        layers=2,
    )


def rows_of(texts, pair=False):
    return Rows("some", np.arange(len(texts)), texts, texts[::-1] if pair else None)


def written(name, graph, texts, target, base=None, *, pair=False, labels=None, **more):
    """Write a graph; (parity, expected probabilities, pairs)."""
    tokens = None if base is None else Tokeniser(base, Store(target.parent / "s"), {}, "", LIMIT)
    manifest = replace(manifest_of(name, graph, pair=pair, labels=labels), **more)
    fmt = writing.choose(name, graph, int8=manifest.int8)
    model = Model(graph, manifest, None if tokens is None else tokens.fast)
    rows = rows_of(texts, pair)
    parity = writing.write(fmt, model, target, rows, tokens, lambda predictor, parity: "card")
    expected = probabilities(graph.logits(rows, tokens), manifest.regression)
    return parity, expected, None if rows.pair is None else list(rows.pair)


FACTORS = (
    ("hf", "onnx"),
    ("bert", "roberta", "distilbert"),
    ("mean", "cls"),
    ((2, False), (2, True), (1, False), (12, False), (25, False)),
)
FEW = pairwise(*FACTORS)
CASES = [
    pytest.param(name, kind, pooling, *shape, marks=() if case in FEW else pytest.mark.slow)
    for case in product(*FACTORS)
    for name, kind, pooling, shape in [case]
]


def test_formats_are_found_by_their_file_names():
    assert {"hf", "native", "onnx"} <= set(export.names())
    for name in export.names():
        found = export.get(name)
        assert found.name == name and found.tldr and found.kinds
        assert found is importlib.import_module(f"raysearch.export.{name}").FORMAT
    with pytest.raises(InputError, match="no format 'onx'. Did you mean 'onnx'"):
        export.get("onx")
    with pytest.raises(InputError, match="no format 'optuna'"):
        export.get("optuna")
    with pytest.raises(InputError, match="no format '../engine'"):
        export.get("../engine")


@pytest.mark.parametrize(("name", "kind", "pooling", "classes", "pair"), CASES)
def test_an_encoder_comes_out_as_it_was_trained(
    encoders, texts, tmp_path, name, kind, pooling, classes, pair
):
    base, rung = encoders[kind]
    graph = encoder_graph(base, rung, classes, pooling)
    parity, expected, pairs = written(name, graph, texts, tmp_path / "m", base, pair=pair)
    assert parity.texts == 40 and parity.difference < 1e-5 and parity.same == 1.0
    opened = open_model(tmp_path / "m")
    assert opened.labels == (() if classes == 1 else tuple(f"l{i}" for i in range(classes)))
    np.testing.assert_allclose(opened.probabilities(texts, pairs), expected, atol=1e-5)
    one = opened.probabilities(texts[:1], None if pairs is None else pairs[:1])
    np.testing.assert_allclose(one, expected[:1], atol=1e-5)
    assert opened.probabilities([], None if pairs is None else []).shape == (0, classes)


@pytest.mark.parametrize("sharp", [0.01, 100.0])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_flat_and_sharp_heads_come_out_too(encoders, texts, tmp_path, pooling, sharp):
    base, rung = encoders["bert"]
    graph = encoder_graph(base, rung, 3, pooling, sharp=sharp)
    parity, _, _ = written("hf", graph, texts, tmp_path / "m", base)
    assert parity.difference < 1e-4


def test_onnx_holds_a_normalised_embedding(encoders, texts, tmp_path):
    base, rung = encoders["bert"]
    graph = encoder_graph(base, rung, 3, normalise=True)
    parity, expected, _ = written("onnx", graph, texts, tmp_path / "m", base)
    assert parity.difference < 1e-5
    np.testing.assert_allclose(open_model(tmp_path / "m").probabilities(texts), expected, atol=1e-5)


def test_int8_is_one_smaller_file_that_mostly_agrees(encoders, texts, tmp_path):
    base, rung = encoders["bert"]
    graph = encoder_graph(base, rung, 3)
    parity, expected, _ = written("onnx", graph, texts, tmp_path / "m", base, int8=True)
    assert parity.int8 and parity.same > 0.8 and "the same" in parity.sentence()
    assert {p.name for p in (tmp_path / "m").iterdir()} == {
        "model.int8.onnx",
        "tokenizer.json",
        FILE,
        "README.md",
    }
    opened = open_model(tmp_path / "m")
    assert np.abs(opened.probabilities(texts) - expected).max() < 0.2
    assert opened.bytes == (tmp_path / "m" / "model.int8.onnx").stat().st_size


@pytest.mark.parametrize("weighting", ["tf", "tfidf"])
@pytest.mark.parametrize(("classes", "pair"), [(2, False), (2, True), (1, False), (300, False)])
def test_n_grams_come_out_as_they_were_trained(texts, tmp_path, weighting, classes, pair):
    graph = ngram_graph(classes, weighting)
    odd = [*texts, "", "  ", "I !", "ÉTÉ ß 日本語 🙂 don't", "x" * 5000, "a\tb\nc", "İstanbul"]
    parity, expected, pairs = written("native", graph, odd, tmp_path / "m", pair=pair)
    assert parity.difference < 1e-5
    opened = open_model(tmp_path / "m")
    np.testing.assert_allclose(opened.probabilities(odd, pairs), expected, atol=1e-5)


def test_the_hash_is_scikit_learns():
    from sklearn.utils import murmurhash3_32

    rng = np.random.default_rng(0)
    letters = list("abcdefg é日🙂")
    keys = ["", *("".join(rng.choice(letters, rng.integers(0, 40))) for _ in range(2000))]
    expected = [murmurhash3_32(k, 0, True) for k in keys]
    assert ngram_numpy.murmur3([k.encode() for k in keys]).tolist() == expected
    assert ngram_numpy.WORD.pattern == PATTERN


def test_the_folder_of_n_grams_predicts_by_itself(texts, tmp_path):
    _, expected, _ = written("native", ngram_graph(3), texts, tmp_path / "m", labels=HOSTILE[:3])
    ran = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "m" / "model.py")],
        input="\n".join(texts[:5]).encode(),
        capture_output=True,
        check=True,
    )
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [f["label"] for f in found] == [HOSTILE[i] for i in expected[:5].argmax(axis=1)]
    np.testing.assert_allclose(
        [list(f["probabilities"].values()) for f in found], expected[:5], atol=1e-5
    )


@pytest.mark.parametrize("name", ["hf", "onnx", "native"])
def test_hostile_label_names_come_through(encoders, texts, tmp_path, name):
    base, rung = encoders["bert"]
    graph = ngram_graph(5) if name == "native" else encoder_graph(base, rung, 5)
    base = None if name == "native" else base
    written(name, graph, texts, tmp_path / "m", base, labels=HOSTILE)
    assert open_model(tmp_path / "m").labels == HOSTILE
    if name == "hf":
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(tmp_path / "m")
        assert tuple(config.id2label[i] for i in range(5)) == HOSTILE
        assert config.label2id == {n: i for i, n in enumerate(HOSTILE)}
        assert config.problem_type == "single_label_classification"


def test_the_stock_tokeniser_cuts_where_ours_does(encoders, tmp_path):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    base, rung = encoders["bert"]
    long = ["the of to and " * 100]
    for name in ("hf", "onnx"):
        written(name, encoder_graph(base, rung), long, tmp_path / name, base)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert tokenizer.model_max_length == LIMIT
    assert len(tokenizer(long[0], truncation=True)["input_ids"]) == LIMIT
    plain = Tokenizer.from_file(str(tmp_path / "onnx" / "tokenizer.json"))
    assert len(plain.encode(long[0]).ids) == LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("name", ["hf", "onnx", "native"])
def test_the_cards_own_lines_run(encoders, texts, tmp_path, name, pair):
    base, rung = encoders["bert"]
    graph = ngram_graph(3) if name == "native" else encoder_graph(base, rung, 3)
    base = None if name == "native" else base
    written(name, graph, texts, tmp_path / "m", base, pair=pair)
    use = export.get(name).use(replace(manifest_of(name, graph, pair=pair), max_length=LIMIT))
    (code,) = re.findall(r"```python\n(.*?)```", use, re.S)
    *before, last = code.strip().splitlines()
    *more, last = last.split("; ")
    before += more
    program = "\n".join([*before, f"print(({last})[0])"])
    ran = subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=tmp_path / "m", capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    one, two = "a text", "a second text"
    expected = open_model(tmp_path / "m").probabilities([one], [two] if pair else None)
    found = [float(x) for x in re.findall(r"\d\.\d+(?:e-?\d+)?", ran.stdout)][:3]
    np.testing.assert_allclose(found, expected[0], atol=1e-3)


# What a format cannot hold


def test_a_format_says_what_it_cannot_hold_and_who_can(encoders):
    base, rung = encoders["bert"]
    for name, graph, part in (
        ("hf", encoder_graph(base, rung, normalise=True), "scales the pooled vector"),
        ("hf", encoder_graph(base, rung, 31), "31 classes does not fit into 32 channels"),
        ("native", encoder_graph(base, rung), "holds ngram models"),
    ):
        with pytest.raises(InputError, match=part) as e:
            writing.choose(name, graph, int8=False)
        assert "--format may be " in str(e.value) and "onnx" in str(e.value)
    with pytest.raises(InputError, match="kind ngram; --format may be native"):
        writing.choose("onnx", ngram_graph(), int8=False)
    with pytest.raises(InputError, match="has no int8; --format may be onnx"):
        writing.choose("hf", encoder_graph(base, rung), int8=True)
    with pytest.raises(InputError, match="has no int8; no format can"):
        writing.choose("native", ngram_graph(), int8=True)
    assert writing.choose("hf", encoder_graph(base, rung, 31, "cls"), int8=False).name == "hf"


def test_the_extra_is_named_where_it_is_missing(encoders, texts, tmp_path, monkeypatch):
    base, rung = encoders["bert"]
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'raysearch\[onnx\]'"):
        written("onnx", encoder_graph(base, rung), texts, tmp_path / "m", base)
    assert not list(tmp_path.glob("*m*"))


# Whole or not at all


def test_files_that_compute_something_else_are_not_left(encoders, texts, tmp_path, monkeypatch):
    fmt = export.get("native")
    stock = fmt.stock
    wrong = replace(fmt, stock=lambda *a: stock(*a) + 2e-4)
    monkeypatch.setattr(importlib.import_module("raysearch.export.native"), "FORMAT", wrong)
    with pytest.raises(writing.ParityError, match="differ by 0.0002"):
        written("native", ngram_graph(), texts, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_what_was_there(texts, tmp_path, monkeypatch):
    written("native", ngram_graph(), texts, tmp_path / "m")
    before = {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()}

    def full(model, folder):
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    fmt = replace(export.get("native"), write=full)
    model = Model(ngram_graph(3), manifest_of("native", ngram_graph(3)))
    with pytest.raises(InputError, match="No space left"):
        writing.write(fmt, model, tmp_path / "m", rows_of(texts), None, lambda *a: "", force=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_what_stands_there_is_replaced_only_by_force_and_only_if_ours(texts, tmp_path):
    written("native", ngram_graph(2), texts, tmp_path / "m")
    with pytest.raises(InputError, match="stands there already; --force"):
        written("native", ngram_graph(3), texts, tmp_path / "m")
    fmt, graph = export.get("native"), ngram_graph(3)
    model = Model(graph, manifest_of("native", graph))
    writing.write(fmt, model, tmp_path / "m", rows_of(texts), None, lambda *a: "", force=True)
    assert len(open_model(tmp_path / "m").labels) == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match="is no exported model and is not replaced"):
        writing.check_target(tmp_path / "mine", force=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        writing.check_target(tmp_path / "file", force=True)


def test_files_are_as_readable_as_others(texts, tmp_path):
    written("native", ngram_graph(), texts, tmp_path / "m")
    modes = {p.stat().st_mode for p in (tmp_path / "m").iterdir()}
    assert len(modes) == 1


# Folders that cannot be trusted


@pytest.fixture(scope="module")
def good(encoders, texts, tmp_path_factory):
    """A good folder of a format, written once; not to be changed."""
    home, made = tmp_path_factory.mktemp("good"), {}

    def make(name):
        if name not in made:
            base, rung = encoders["bert"]
            graph = ngram_graph() if name == "native" else encoder_graph(base, rung)
            written(name, graph, texts, home / name, None if name == "native" else base)
            made[name] = home / name
        return made[name]

    return make


@pytest.fixture
def folder(good, tmp_path):
    """Copies a good folder of a format: free to be spoilt."""
    return lambda name: shutil.copytree(good(name), tmp_path / "m")


WEIGHTS = {"hf": "model.safetensors", "onnx": "model.onnx", "native": "model.safetensors"}


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_torn_folder_is_one_line(folder, name):
    home = folder(name)
    path = home / WEIGHTS[name]
    whole = path.read_bytes()
    for wrong in (whole[: len(whole) // 2], whole[:5], b"", pickle.dumps({"a": 1})):
        path.write_bytes(wrong)
        with pytest.raises(InputError) as e:
            open_model(home)
        assert "\n" not in str(e.value) and str(home.parent) not in str(e.value)
    path.unlink()
    (home / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="pytorch_model.bin is a pickle and is never read"):
        open_model(home)


@pytest.mark.parametrize("name", ["tokenizer.json", "head.safetensors", "config.json"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b'{"a": 1}'])
def test_each_file_of_an_encoder_is_needed(folder, name, content):
    home = folder("hf")
    (home / name).unlink()
    if content is not None:
        (home / name).write_bytes(content)
    with pytest.raises(InputError) as e:
        open_model(home).probabilities(["red"])
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"format": "../../etc/passwd"}, "no format '../../etc/passwd'"),
        ({"format": "optuna"}, "no format 'optuna'"),
        ({"format": 3}, "format is 3, must be str"),
        ({"schema": 99}, "is not of schema 1"),
        ({"labels": ["a"]}, "at least two different names"),
        ({"labels": ["a", "a"]}, "at least two different names"),
        ({"labels": ["a", 2]}, "labels is"),
        ({"labels": ["a", "b", "c"]}, "fit"),
        ({"buckets": -1}, "buckets is -1"),
        ({"buckets": 2**40}, "fit"),
        ({"temperature": 0}, "must be above 0"),
        ({"regression": 1}, "regression is 1, must be bool"),
        ({"weights_file": "/etc/passwd"}, "no key 'weights_file'"),
        ({"files": {"../x": "00"}}, None),
    ],
)
def test_a_manifest_that_lies_is_one_line(folder, change, part):
    home = folder("native")
    value = json.loads((home / FILE).read_text())
    (home / FILE).write_text(json.dumps(value | change))
    if part is None:
        open_model(home).probabilities(["red"])
        return
    with pytest.raises(InputError, match=part) as e:
        open_model(home)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '"x"', "{}"])
def test_a_manifest_that_is_none_is_one_line(folder, text):
    home = folder("native")
    (home / FILE).write_text(text)
    with pytest.raises(InputError):
        open_model(home)


def test_no_folder_and_no_manifest_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_model(tmp_path / "none")
    with pytest.raises(InputError, match=f"no {FILE} in it"):
        open_model(tmp_path)


def test_code_in_the_folder_is_never_run(folder, tmp_path):
    home = folder("native")
    (home / "model.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    open_model(home).probabilities(["red"])
    assert not (tmp_path / "ran").exists()


def test_pairs_are_asked_for_and_only_then(folder):
    opened = open_model(folder("native"))
    with pytest.raises(InputError, match="reads one text"):
        opened.probabilities(["a"], ["b"])


@pytest.mark.parametrize("name", ["hf", "onnx", "native"])
def test_half_a_letter_is_no_reason_to_stop(folder, name):
    found = open_model(folder(name)).probabilities(["red \ud800 the", "red the"])
    assert np.isfinite(found).all()
