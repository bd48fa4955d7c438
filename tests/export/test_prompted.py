"""Prompted models come out as they were trained: ONNX and masked LM, and their texts' layout."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from raysearch import export
from raysearch.data.rows import Rows
from raysearch.encoders.cloze import ClozeClassifier, open_head
from raysearch.encoders.graphs import ClozeGraph
from raysearch.encoders.models import open_encoder
from raysearch.encoders.patterns import Pattern, word_ids
from raysearch.encoders.tokens import Tokeniser, fast_tokeniser
from raysearch.errors import InputError
from raysearch.export import layout
from raysearch.export import write as writing
from raysearch.export.layout import Layout
from raysearch.export.manifest import FILE, Manifest
from raysearch.export.model import Model
from raysearch.export.opening import open_model
from raysearch.export.point import export_point
from raysearch.export.prompt import Question, write_prompt
from raysearch.outputs.calibration import softmax
from raysearch.storage.store import Store
from raysearch.trial.trained import open_trained

LIMIT = 24
CPU = torch.device("cpu")
WORDS = {"bad": ("terrible", "odd"), "good": ("great",), "none": ("plain", "fine", "grey")}
TEMPLATES = (
    "{text} it was {mask} .",
    "{mask}: {text}",
    "it is{mask}, {text}",
    "{{ {text} }} [{mask}]",
    "{text} , {mask} , {pair}",
    "{pair}?{mask} {text} .",
)
ODD = [
    "red the of",
    "",
    "   ",
    "\n red\t the \n",
    "[MASK] red [MASK] the",
    "red <mask><mask>",
    "<mask>",
    "[SEP] red [CLS] </s> <s>",
    "naïve ÉTÉ 日本語 🙂 \u00a0red\u2003",
    "{text} {mask} {0} {{ } {",
    "the of to and " * 100,
    "x" * 3000,
    "gold " * 9,
]


def graph_of(folder, rung, template, words=WORDS, trained=True):
    """A graph whose every weight differs from its checkpoint's, and its question."""
    fast = fast_tokeniser(folder)
    ids = word_ids(fast, words, "tiny")
    module = ClozeClassifier(
        open_encoder(rung, folder, CPU), open_head(folder, ids, CPU), ids, fast.mask_token_id
    )
    g = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for p in module.parameters():
            p += trained * 0.05 * torch.randn(p.shape, generator=g)
    encoder, head = module.encoder.eval(), module.head.eval()
    weight, bias = module.weight().detach(), head.bias.detach()
    graph = ClozeGraph(encoder, head, template, fast.mask_token_id, weight, bias)
    return graph, Question(words, ids, folder)


def written(name, made, template, target, texts=ODD, *, cold=1.0, words=WORDS, **more):
    """Write a graph; (parity, expected probabilities, second texts)."""
    folder, rung = made
    graph, question = graph_of(folder, rung, template, words)
    pair = "{pair}" in template
    tokens = Tokeniser(folder, Store(target.parent / "s"), {}, "", LIMIT)
    manifest = Manifest(
        name,
        "task",
        "accuracy",
        labels=tuple(words),
        pair=pair,
        max_length=LIMIT,
        layers=2,
        template=template,
        temperature=cold,
        **more,
    )
    rows = Rows("some", np.arange(len(texts)), texts, texts[::-1] if pair else None)
    model = Model(graph.with_temperature(cold), manifest, tokens.fast, question)
    fmt = writing.choose(name, graph, int8=manifest.int8)
    parity = writing.write(fmt, model, target, rows, tokens, lambda predictor, parity: "card")
    expected = softmax(graph.logits(rows, tokens) / np.float32(cold))
    return parity, expected, None if rows.pair is None else list(rows.pair)


# Layout


@pytest.mark.parametrize("limit", [18, 40])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_folders_own_layout_is_the_patterns(askable, tmp_path, kind, template, limit):
    fast = fast_tokeniser(askable[kind][0])
    question = Question(WORDS, word_ids(fast, WORDS, "tiny"), tmp_path)
    manifest = Manifest("onnx", "task", "accuracy", max_length=limit, template=template)
    write_prompt(tmp_path, fast, manifest, question)
    pairs = ODD[3:] + ODD[:3] if "{pair}" in template else None
    flat, offsets = Pattern(template).encode(
        fast, Rows("some", np.arange(len(ODD)), ODD, pairs), limit
    )
    expected = [x.tolist() for x in np.split(flat, offsets[1:-1])]
    made = Layout(tmp_path)
    assert made.rows(ODD, pairs) == expected
    assert {r.count(made.mask) for r in expected} == {1}
    lengths = [len(r) for r in expected]
    assert max(lengths) == limit and min(lengths) < limit, "some are cut, some are not"
    assert len({tuple(r) for r in expected}) > len(ODD) / 2, "texts are told apart"
    batch = made(ODD, pairs)
    assert {len(r) for r in batch["input_ids"]} == {limit}
    for row, real, plain in zip(*batch.values(), expected, strict=True):
        assert row == plain + [fast.pad_token_id] * (limit - len(plain))
        assert real == [1] * len(plain) + [0] * (limit - len(plain))
    assert made([], [] if pairs else None) == {"input_ids": [], "attention_mask": []}


def test_a_text_takes_the_space_before_it(askable, tmp_path):
    fast = fast_tokeniser(askable["roberta"][0])
    question = Question(WORDS, word_ids(fast, WORDS, "tiny"), tmp_path)
    mask = fast.mask_token_id
    bare, spaced = (fast(t, add_special_tokens=False)["input_ids"] for t in ("red", " red"))
    assert bare != spaced
    for template, middle in (("{text}{mask}", [*bare, mask]), ("{mask} {text}", [mask, *spaced])):
        plain = Manifest("onnx", "task", "accuracy", max_length=LIMIT, template=template)
        write_prompt(tmp_path, fast, plain, question)
        assert Layout(tmp_path).rows([" red "]) == [[fast.bos_token_id, *middle, fast.eos_token_id]]


# Parity


@pytest.mark.parametrize("template", [TEMPLATES[0], TEMPLATES[5]])
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("name", ["hf", "onnx"])
def test_a_prompted_model_comes_out_as_it_was_trained(askable, tmp_path, name, kind, template):
    parity, expected, pairs = written(name, askable[kind], template, tmp_path / "m", cold=2.5)
    assert parity.texts == len(ODD) and parity.difference < 1e-5 and parity.same == 1.0
    assert np.ptp(expected, axis=0).min() > 0.01, "texts make a difference"
    opened = open_model(tmp_path / "m")
    assert opened.labels == tuple(WORDS)
    np.testing.assert_allclose(opened.probabilities(ODD, pairs), expected, atol=1e-5)
    one = opened.probabilities(ODD[:1], None if pairs is None else pairs[:1])
    np.testing.assert_allclose(one, expected[:1], atol=1e-5)
    assert opened.probabilities([], None if pairs is None else []).shape == (0, 3)
    assert np.isfinite(opened.probabilities(["red \ud800"], pairs and ["\ud800"])).all()
    files = {p.name for p in (tmp_path / "m").iterdir()}
    assert {"layout.py", "prompt.json", "tokenizer.json"} <= files
    assert (tmp_path / "m" / "layout.py").read_bytes() == Path(layout.__file__).read_bytes()


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_int8_is_one_smaller_file_that_mostly_agrees(askable, tmp_path, kind):
    parity, expected, _ = written("onnx", askable[kind], TEMPLATES[0], tmp_path / "m", int8=True)
    assert parity.int8 and parity.same > 0.8
    opened = open_model(tmp_path / "m")
    assert 0 < np.abs(opened.probabilities(ODD) - expected).max() < 0.2
    assert not (tmp_path / "m" / "model.onnx").exists()


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_the_masked_lm_is_whole(askable, tmp_path, kind):
    from transformers import AutoModelForMaskedLM

    folder, _ = askable[kind]
    written("hf", askable[kind], TEMPLATES[0], tmp_path / "m", cold=2.0)
    model, info = AutoModelForMaskedLM.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    before = AutoModelForMaskedLM.from_pretrained(folder).get_output_embeddings().bias / 2
    after = model.get_output_embeddings().bias
    ids = word_ids(fast_tokeniser(folder), WORDS, "tiny")
    moved = torch.ones(len(before), dtype=torch.bool)
    moved[[t for w in ids for t in w]] = False
    assert torch.equal(after[moved], before[moved]) and before[moved].std() > 0.01
    assert not torch.isclose(after[~moved], before[~moved]).any(), "label words were trained"
    (first, second) = ids[0]
    apart = [(b[first] - b[second]).item() for b in (before, after)]
    assert apart[1] == pytest.approx(apart[0], abs=1e-6), "what was not trained stays"


def test_a_stock_pipeline_fills_the_mask_with_the_label_words(askable, tmp_path):
    from transformers import pipeline

    words = {"bad": ("terrible",), "good": ("great",)}
    made = askable["bert"]
    _, (expected, *_), _ = written("hf", made, TEMPLATES[0], tmp_path / "m", cold=2.0, words=words)
    fill = pipeline("fill-mask", model=str(tmp_path / "m"))
    found = fill(f"{ODD[0]} it was [MASK] .", targets=["terrible", "great"])
    score = {f["token_str"]: f["score"] for f in found}
    assert score["terrible"] / sum(score.values()) == pytest.approx(expected[0], abs=1e-5)


# Whole runs


ASK = ("prompt", "random-1", {"min_steps": 12, "epochs": 1, "template": 1})


@pytest.mark.parametrize("name", ["hf", "onnx"])
@pytest.mark.parametrize(
    ("task", "trial"),
    [
        ("five", ASK),
        ("pair", ("prompt", "random-2", {"min_steps": 12, "epochs": 1})),
        ("two", ("zero_shot", "random-1", {})),
    ],
)
def test_a_trained_point_gives_the_learners_probabilities(make_run, tmp_path, name, task, trial):
    made = make_run(task, trial)
    record = made.records[0]
    run = open_trained(record.config, made.world.place)
    done = export_point(run, record, record.points[0], name, tmp_path / "m", command="x")
    rows = run.data.splits["test"]
    found = run.run.learner.predict(rows, {}, phase="test")
    opened = open_model(tmp_path / "m")
    got = opened.probabilities(list(rows.text), None if rows.pair is None else list(rows.pair))
    np.testing.assert_allclose(got, softmax(found / np.float32(done.temperature)), atol=1e-4)
    template = run.data.task.templates[record.hyper.get("template", 0)]
    assert opened.manifest.template == template
    card = (tmp_path / "m" / "README.md").read_text()
    assert "class 0: terrible; class 1: great" in card
    assert ("made without a label" in card) == (trial[0] == "zero_shot")
    assert ("Not scored." in card) == (trial[0] == "zero_shot")
    assert ("pipeline_tag: fill-mask" in card) == (name == "hf")


def test_the_int8_twin_of_a_prompted_point_is_scored(make_run, tmp_path):
    made = make_run("two", ASK)
    record = made.records[0]
    run = open_trained(record.config, made.world.place)
    done = export_point(
        run, record, record.points[0], "onnx", tmp_path / "m", command="x", int8=True
    )
    assert [e["split"] for e in done.events] == ["validation", "test"]
    kept = run.kept_logits(done.events[0]["point_id"])
    plain = run.kept_logits(record.points[0].point_id)
    assert 0 < np.abs(kept - plain).mean() < 0.3 * np.abs(plain).mean(), "one scale"


def test_predict_labels_a_table(make_run, say):
    made = make_run("two", ASK)
    code, out, err = say("export", made.out, made.records[0].id, "--to", "m", "--format", "onnx")
    assert code == 0, err
    table = Path("in.csv")
    table.write_text("text\nred the of\n[MASK] green\n\n" + "the of " * 80 + "\n")
    code, _, err = say("predict", "m", table, "-o", "out.csv")
    assert code == 0, err
    rows = [line.split(",") for line in Path("out.csv").read_text().splitlines()[1:]]
    texts = ["red the of", "[MASK] green", "the of " * 80]
    expected = open_model(Path("m")).probabilities(texts)
    found = [[float(x) for x in r[2:]] for r in rows if r[0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("trial", [ASK, ("finetune", "random-1", {})])
def test_what_is_measured_is_the_trained_graph(make_run, tmp_path, trial):
    from raysearch.export import measured

    made = make_run("two", trial)
    run = open_trained(made.records[0].config, made.world.place)
    graph = run.graph(made.records[0].points[0])
    threads = torch.get_num_threads()
    measured._write(run, [graph], tmp_path, threads)
    (model,) = measured._read(tmp_path)
    texts = ODD[:6]
    prepared = model.prepare(texts, None)
    rows = Rows("some", np.arange(len(texts)), texts)
    expected = graph.logits(rows, run.tokeniser())
    np.testing.assert_allclose(model.infer(prepared), expected, atol=1e-6)
    if graph.kind == "cloze":
        flat, _ = Pattern(graph.template).encode(run.tokeniser().fast, rows, run.tokeniser().limit)
        assert prepared.flat.tolist() == flat.tolist(), "the pattern is laid out in `prepare`"
        assert np.ptp(expected) > 0


# Strangers


@pytest.mark.slow
@pytest.mark.parametrize("template", [TEMPLATES[0], TEMPLATES[5]])
@pytest.mark.parametrize("name", ["hf", "onnx"])
def test_the_cards_own_lines_run(askable, tmp_path, name, template):
    written(name, askable["roberta"], template, tmp_path / "m")
    opened = open_model(tmp_path / "m")
    (code,) = re.findall(r"```python\n(.*?)```", export.get(name).use(opened.manifest), re.S)
    *before, last = code.strip().splitlines()
    *more, last = last.split("; ")
    text, second = "red [MASK] <mask> " * 40, "the second"
    program = "\n".join([*before, *more, f"print(({last})[0].tolist())"])
    program = program.replace("a text", text).replace("a second text", second)
    program = "import sys; sys.modules['raysearch'] = None\n" + program
    ran = subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=tmp_path / "m", capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    expected = opened.probabilities([text], [second] if opened.manifest.pair else None)
    np.testing.assert_allclose(json.loads(ran.stdout), expected[0], atol=1e-5)


# Folders that cannot be trusted


@pytest.fixture(scope="module")
def good(askable, tmp_path_factory):
    """A good folder of a format, written once; not to be changed."""
    home, made = tmp_path_factory.mktemp("good"), {}

    def make(name):
        if name not in made:
            written(name, askable["bert"], TEMPLATES[0], home / name)
            made[name] = home / name
        return made[name]

    return make


@pytest.fixture
def folder(good, tmp_path):
    """Copies a good folder of a format: free to be spoilt."""
    return lambda name: shutil.copytree(good(name), tmp_path / "m")


@pytest.mark.parametrize("name", ["hf", "onnx"])
@pytest.mark.parametrize("file", ["prompt.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b"[]", b'{"a": 1}'])
def test_each_file_of_the_layout_is_needed(folder, tmp_path, name, file, content):
    home = folder(name)
    (home / file).unlink()
    if content is not None:
        (home / file).write_bytes(content)
    with pytest.raises(InputError, match=file) as e:
        open_model(home)
    assert "\n" not in str(e.value) and str(tmp_path) not in str(e.value)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"pieces": [[2], {"field": "text", "space": True}]}, "hold the mask and each text once"),
        ({"pieces": [[2, 4, 4], {"field": "text", "space": True}]}, "hold the mask"),
        ({"pieces": [[2, 4]]}, "hold the mask and each text once"),
        ({"pieces": [[4], {"field": "label", "space": True}]}, "hold the mask"),
        ({"pieces": [[4, -1], {"field": "text", "space": True}]}, "-1 is no token id"),
        ({"pieces": ["[MASK]", 3]}, "does not load"),
        ({"mask_id": "4"}, "'4' is no token id"),
        ({"mask_id": True}, "True is no token id"),
        ({"max_length": 3}, "no room for a text"),
        ({"word_ids": [[30], [31], []]}, "class without a word"),
        ({"word_ids": [[30], [31]]}, "does not fit raysearch.json"),
        ({"word_ids": [[30], [31], [10**6]]}, "model.safetensors or config.json"),
    ],
)
def test_a_prompt_that_lies_is_one_line(folder, change, part):
    home = folder("hf")
    path = home / "prompt.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=re.escape(part)) as e:
        open_model(home)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(("name", "file"), [("hf", "model.safetensors"), ("onnx", "model.onnx")])
def test_torn_weights_are_one_line(folder, tmp_path, name, file):
    home = folder(name)
    path = home / file
    whole = path.read_bytes()
    for wrong in (whole[: len(whole) // 2], b""):
        path.write_bytes(wrong)
        with pytest.raises(InputError) as e:
            open_model(home)
        assert "\n" not in str(e.value) and str(tmp_path) not in str(e.value)


def test_a_pair_in_the_manifest_alone_is_one_line(folder):
    home = folder("onnx")
    path = home / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pair": True}))
    with pytest.raises(InputError, match="prompt.json: does not fit raysearch.json"):
        open_model(home)


def test_formats_that_hold_it_are_named(askable):
    graph, _ = graph_of(*askable["bert"], TEMPLATES[0])
    with pytest.raises(InputError, match="kind cloze; --format may be hf or onnx"):
        writing.choose("native", graph, int8=False)
    assert writing.choose(None, graph, int8=False).name == "hf"
    assert writing.choose(None, graph, int8=True).name == "onnx"


def test_wrong_files_are_not_left(askable, tmp_path, monkeypatch):
    """The check on real texts sees a layout that differs from the trained one."""
    monkeypatch.setattr(layout.Layout, "rows", spaceless(layout.Layout.rows))
    with pytest.raises(writing.ParityError, match="probabilities differ"):
        written("onnx", askable["roberta"], "{mask} {text}", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def spaceless(rows):
    def wrong(self, texts, pairs=None):
        self.pieces = [p if isinstance(p, list) else {**p, "space": False} for p in self.pieces]
        return rows(self, texts, pairs)

    return wrong
