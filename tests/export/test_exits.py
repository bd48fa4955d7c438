"""A model with exits comes out segment by segment, and texts leave it where they left in torch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raysearch.data.rows import Rows
from raysearch.encoders.batches import evaluation_batches
from raysearch.encoders.exit_graph import ExitGraph, ExitRule
from raysearch.encoders.exits import ExitClassifier, ExitHeads
from raysearch.encoders.models import open_encoder
from raysearch.encoders.tokens import Tokeniser
from raysearch.errors import InputError
from raysearch.export import exits_runtime, onnx_exits
from raysearch.export import write as writing
from raysearch.export.manifest import FILE, Manifest, read_manifest
from raysearch.export.model import Model
from raysearch.export.opening import open_model
from raysearch.export.point import export_point
from raysearch.outputs import exit_rules
from raysearch.outputs.calibration import softmax
from raysearch.outputs.exit_rules import NEVER
from raysearch.record import point_id
from raysearch.storage.store import Store
from raysearch.trial.run import TrialRun
from raysearch.trial.trained import TrainedModel, open_trained
from tests.support import tiny

LIMIT = 40
EARLY = ("early_exit", "random-2", {"epochs": 2, "min_steps": 12})
RULES = [
    ("confidence", NEVER),
    ("confidence", 0.0),
    ("confidence", 0.7),
    ("confidence", 0.9),
    ("entropy", 0.1),
    ("entropy", 0.6),
    ("patience", 0),
    ("patience", 1),
    ("patience", 2),
]


@pytest.fixture(scope="session")
def deep(tmp_path_factory):
    """(folder, rung) of a three-layer random encoder, by model type."""
    home = tmp_path_factory.mktemp("deep")
    out = {}
    for kind in ("bert", "roberta", "distilbert"):
        folder = tiny.write_encoder(home / kind, layers=3, hidden=32, kind=kind, seed=4)
        out[kind] = folder, tiny.rung(kind, folder)
    return out


TEXTS = [tiny.text_of(tiny.SIGNAL[i % 5], np.random.default_rng(i), 4 + i) for i in range(60)]


def graph_of(base, rung, *, classes=3, layers=(1, 2, 3), pooling="mean", rule=("confidence", 0.7)):
    """Exits that mix layers and differ in what they say of a text; each of another temperature."""
    g = torch.Generator().manual_seed(classes)
    encoder = open_encoder(rung, base, torch.device("cpu"))
    exits = ExitHeads(layers, encoder.hidden, classes, dropout=0.1, generator=g).eval()
    with torch.no_grad():
        for moved in exits.moved:
            moved.copy_(0.01 * torch.randn(moved.shape, generator=g))
    graph = ExitGraph(encoder, exits, pooling, ExitRule(*rule, np.ones(len(layers))), rung)
    tokens = Tokeniser(base, Store(base), {}, "", LIMIT)
    z = torch.from_numpy(exit_logits(graph, tokens.encode(Rows("more", np.arange(60), TEXTS))))
    with torch.no_grad():  # random layers tell texts apart by little: louder, and about no class
        for k, head in enumerate(exits.heads):
            loud = 1.2 / z[:, k].std(dim=0)
            head.weight.mul_(loud[:, None])
            head.bias.copy_(-z[:, k].mean(dim=0) * loud)
    cold = np.linspace(0.7, 1.6, len(layers))
    return replace(graph, rule=replace(graph.rule, temperature=cold))


def written(graph, base, texts, target, *, pair=False, cold=1.0, **more):
    """Write a graph; (parity, what the tokeniser makes of the texts, second texts)."""
    tokens = Tokeniser(base, Store(target.parent / "s"), {}, "", LIMIT)
    manifest = Manifest(
        "onnx_exits",
        "task",
        "accuracy",
        labels=tuple(f"l{i}" for i in range(graph.classes)),
        pair=pair,
        max_length=LIMIT,
        pooling=graph.pooling,
        criterion=graph.rule.criterion,
        threshold=str(graph.rule.threshold),
        exits=",".join(map(str, graph.exits.layers)),
        temperature=cold,
        layers=3,
    )
    model = Model(graph.with_temperature(cold), replace(manifest, **more), tokens.fast)
    rows = Rows("some", np.arange(len(texts)), texts, texts[::-1] if pair else None)
    fmt = writing.choose(None, graph, int8=False)
    parity = writing.write(fmt, model, target, rows, tokens, lambda predictor, parity: "card")
    return parity, tokens.encode(rows), None if rows.pair is None else list(rows.pair)


def same_as_torch(predictor, graph, encoded, texts, pairs):
    """The exits that texts leave at, having compared them and the logits with torch's."""
    rule = graph.rule
    named = rule.criterion, str(rule.threshold)
    predictor.change_rule(named[1], named[0])
    got, at = predictor.exit_results(predictor.prepare(texts, pairs))
    expected = graph.exit_results(encoded)
    unlike = np.flatnonzero(at != expected.at)
    for i in unlike:  # each of them must lie at the threshold itself
        assert rule.criterion != "patience"
        k = min(at[i], expected.at[i])
        z = exit_logits(graph, encoded)[i : i + 1, : k + 1]
        assert abs(exit_rules.signal(z, rule.criterion)[0, k] - float(rule.threshold)) < 1e-5
    like = at == expected.at
    assert like.mean() > 0.9
    np.testing.assert_allclose(
        got[like], graph.encoded_logits(encoded)[like], atol=2e-5 * np.abs(got).max() + 1e-6
    )
    return at


def exit_logits(graph, encoded):
    """What each exit says (n, K, C), calibrated, by the pass that runs all layers."""
    module = ExitClassifier(graph.encoder, graph.exits, graph.pooling).eval()
    with torch.no_grad():
        z = module(encoded.batch(np.arange(len(encoded.rows)), torch.device("cpu"))).numpy()
    return np.asarray(z / graph.rule.temperature[:, None], np.float32)


# What comes out


@pytest.mark.parametrize(
    ("kind", "pooling", "classes", "layers", "pair"),
    [
        ("bert", "mean", 3, (1, 2, 3), False),
        ("bert", "cls", 2, (1, 3), True),
        ("roberta", "mean", 2, (1, 3), False),
        ("roberta", "cls", 5, (1, 2, 3), True),
        ("distilbert", "mean", 4, (2, 3), False),
        ("distilbert", "cls", 3, (1, 2, 3), True),
    ],
)
def test_texts_leave_where_they_left_in_torch(
    deep, texts, tmp_path, kind, pooling, classes, layers, pair
):
    base, rung = deep[kind]
    graph = graph_of(base, rung, classes=classes, layers=layers, pooling=pooling)
    parity, encoded, pairs = written(graph, base, texts, tmp_path / "m", pair=pair, cold=1.4)
    assert parity.texts > 35 and parity.difference < 1e-5 and parity.same == 1.0
    predictor = open_model(tmp_path / "m")
    seen = set()
    for criterion, threshold in RULES:
        if criterion == "patience" and threshold >= len(layers):
            continue  # so many cannot agree: refused
        ruled = graph.with_knobs({"criterion": criterion, "threshold": threshold}).with_temperature(
            1.4
        )
        at = same_as_torch(predictor, ruled, encoded, texts, pairs)
        seen |= set(at.tolist())
        if threshold == NEVER:
            assert (at == len(layers) - 1).all()
        if threshold == 0:
            assert (at == 0).all()
    assert seen == set(range(len(layers))), "some text leaves at each exit"


@pytest.mark.slow
def test_the_whole_grid_of_a_trials_points(deep, texts, tmp_path):
    base, rung = deep["bert"]
    graph = graph_of(base, rung)
    _, encoded, _ = written(graph, base, texts, tmp_path / "m")
    predictor = open_model(tmp_path / "m")
    grid = exit_rules.grid(3, 3)
    assert len(grid) > 30
    for knobs in grid:
        same_as_torch(predictor, graph.with_knobs(knobs), encoded, texts, None)


@pytest.mark.parametrize("rule", [("confidence", 0.7), ("entropy", 0.3), ("patience", 1)])
def test_one_text_alone_is_answered_as_among_many(deep, texts, tmp_path, rule):
    base, rung = deep["roberta"]
    graph = graph_of(base, rung, rule=rule)
    written(graph, base, texts, tmp_path / "m")
    predictor = open_model(tmp_path / "m")
    among, at = predictor.exit_results(predictor.prepare(texts))
    assert len(set(at.tolist())) > 1
    for i in range(0, 40, 3):
        alone, at_alone = predictor.exit_results(predictor.prepare([texts[i]]))
        assert at_alone.tolist() == [at[i]]
        np.testing.assert_allclose(alone[0], among[i], atol=1e-4)
    assert predictor.probabilities([]).shape == (0, 3)
    assert np.isfinite(predictor.probabilities(["", "red \ud800 the"])).all()


def test_a_temperature_on_top_moves_probabilities_and_no_exit(deep, texts, tmp_path):
    base, rung = deep["bert"]
    graph = graph_of(base, rung)
    made = {}
    for cold in (1.0, 2.5):
        written(graph, base, texts, tmp_path / f"m{cold}", cold=cold)
        predictor = open_model(tmp_path / f"m{cold}")
        made[cold] = (
            *predictor.exit_results(predictor.prepare(texts)),
            predictor.probabilities(texts),
        )
    assert (made[1.0][1] == made[2.5][1]).all() and len(set(made[1.0][1].tolist())) > 1
    np.testing.assert_allclose(made[1.0][0] / 2.5, made[2.5][0], atol=1e-6)
    np.testing.assert_allclose(made[2.5][2], softmax(made[1.0][0] / np.float32(2.5)), atol=1e-6)
    same = [(tmp_path / f"m{c}" / "segment_1.onnx").read_bytes() for c in (1.0, 2.5)]
    assert same[0] == same[1], "the segments hold the exits' own temperatures alone"


def test_who_has_left_is_in_no_later_batch(deep, texts, tmp_path, monkeypatch):
    base, rung = deep["bert"]
    written(graph_of(base, rung), base, texts, tmp_path / "m")
    predictor = open_model(tmp_path / "m")
    fed = []

    class Spy:
        def __init__(self, k, session):
            self.k, self.session = k, session

        def run(self, names, given):
            fed.append((self.k, *given["attention_mask"].shape, given["attention_mask"]))
            if self.k:
                assert given["hidden"].shape[:2] == given["attention_mask"].shape
                assert given["vectors"].shape[:2] == (len(given["hidden"]), self.k)
            return self.session.run(names, given)

    model = predictor._model
    spies = [Spy(k, s) for k, s in enumerate(model._segments)]
    monkeypatch.setattr(model, "_segments", spies)
    prepared = predictor.prepare(texts)
    _, at = predictor.exit_results(prepared)
    for k in range(3):
        assert sum(rows for j, rows, *_ in fed if j == k) == (at >= k).sum()
    for _, rows, width, mask in fed:
        assert width == mask.sum(axis=1).max() and rows
    assert predictor.summary() == f"{(at + 1).mean():.2f} of 3 layers a text"
    fed.clear()
    first = next(i for i in range(40)[::-1] if not at[i])
    on = [i for i in range(first) if at[i]][:3]
    _, again = predictor.exit_results(predictor.prepare([texts[i] for i in (first, *on)]))
    assert again.tolist() == [0, *at[on]]
    assert fed[1][2] == prepared.lengths[on].max() < fed[0][2] == prepared.lengths[first]
    fed.clear()
    predictor.change_rule("0", None)
    predictor.exit_results(prepared)
    assert {k for k, *_ in fed} == {0}, "later segments are not run for nobody"


def test_a_text_at_the_threshold_itself_is_no_reason_to_refuse(deep, texts, tmp_path, monkeypatch):
    base, rung = deep["bert"]
    graph = graph_of(base, rung)
    tokens = Tokeniser(base, Store(tmp_path / "s"), {}, "", LIMIT)
    encoded = tokens.encode(Rows("some", np.arange(len(texts)), texts))
    sure = exit_rules.signal(exit_logits(graph, encoded), "confidence")[:, 0]
    graph = graph.with_knobs({"criterion": "confidence", "threshold": float(sure[7])})
    run = exits_runtime.surety
    # as another machine's rounding might have it
    monkeypatch.setattr(exits_runtime, "surety", lambda z, c: run(z, c) - 2e-7)
    parity, _, _ = written(graph, base, texts, tmp_path / "m")
    assert parity.texts == 39 and parity.difference < 1e-5


def test_files_that_compute_something_else_are_not_left(deep, texts, tmp_path, monkeypatch):
    base, rung = deep["bert"]
    graph = graph_of(base, rung, rule=("confidence", 0.0))
    whole = onnx_exits._segment

    def wrong(graph, encoder, k):  # nothing of it shows at the first exit
        hot = replace(graph, rule=replace(graph.rule, temperature=graph.rule.temperature + 0.1 * k))
        return whole(hot, encoder, k)

    monkeypatch.setattr(onnx_exits, "_segment", wrong)
    with pytest.raises(writing.ParityError, match="format 'onnx_exits': probabilities differ"):
        written(graph, base, texts, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_tokeniser_without_segments_was_trained_without(deep, texts, tmp_path):
    base, rung = deep["bert"]
    bare = shutil.copytree(base, tmp_path / "bare")
    facts = json.loads((bare / "tokenizer_config.json").read_text())
    facts["model_input_names"] = ["input_ids", "attention_mask"]
    (bare / "tokenizer_config.json").write_text(json.dumps(facts))
    graph = graph_of(bare, rung)
    parity, encoded, pairs = written(graph, bare, texts, tmp_path / "m", pair=True)
    assert encoded.types is None and parity.difference < 1e-5
    same_as_torch(open_model(tmp_path / "m"), graph, encoded, texts, pairs)


# The rule in numpy is the package's


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("criterion", exit_rules.CRITERIA)
def test_the_folders_own_rule_is_the_packages(classes, criterion):
    assert exits_runtime.CRITERIA == exit_rules.CRITERIA
    rng = np.random.default_rng(classes)
    z = (3 * rng.standard_normal((200, 5, classes))).astype(np.float32)
    z[0], z[1, :, 0] = 0.0, 500.0
    expected = exit_rules.signal(z, criterion)
    for k in range(5):
        found = exits_runtime.surety(z[:, : k + 1], criterion)
        np.testing.assert_array_equal(found, expected[:, k])
    for text in ("never", "inf", "0", "1", "0.5", 0.25, "1e-9", 1 / classes, "2", "3", 1):
        try:
            goal = exit_rules.threshold_of(text, criterion)
        except InputError as e:
            with pytest.raises(ValueError, match="threshold") as own:
                exits_runtime.goal(text, criterion, classes)
            assert str(own.value) == str(e)
            continue
        reached = exits_runtime.goal(text, criterion, classes)
        at = exit_rules.exit_index(z, criterion, goal)
        sure = np.stack([exits_runtime.surety(z[:, : k + 1], criterion) for k in range(5)], axis=1)
        sure = np.hstack([sure[:, :-1], np.full((200, 1), np.inf)])
        assert ((sure >= reached).argmax(axis=1) == at).all(), text


@pytest.mark.parametrize("text", ["x", "", "-0.1", "-1", "1.5", "nan", "1e400", "-inf", "0,9"])
@pytest.mark.parametrize("criterion", exit_rules.CRITERIA)
def test_what_is_no_threshold_is_said_alike(text, criterion):
    with pytest.raises(InputError) as e:
        exit_rules.threshold_of(text, criterion)
    with pytest.raises(ValueError, match="threshold '") as own:
        exits_runtime.goal(text, criterion, 3)
    assert str(own.value) == str(e.value)


@pytest.mark.parametrize("longest", [3, 60, 900, 6000])
def test_batches_are_the_packages(longest):
    rng = np.random.default_rng(longest)
    for n in (0, 1, 65, 500):
        lengths = rng.integers(1, longest, n)
        ours, theirs = list(exits_runtime.batches(lengths)), list(evaluation_batches(lengths))
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert (a == b).all()


# From a trial


@pytest.mark.slow
def test_a_trials_point_comes_out_by_default(make_run, tmp_path):
    made = make_run("five", EARLY)
    record = made.records[0]
    run = open_trained(record.config, made.world.place)
    rows = run.data.splits["test"]
    run.train()
    points = list(record.points)
    for knobs in ({"criterion": "entropy", "threshold": 0.9}, {"criterion": "patience"}):
        knobs = {"threshold": 1, **knobs}
        name = point_id([record.id], record.step, knobs)
        points.append(replace(points[0], point_id=name, knobs=knobs))
    for point in points:
        target = tmp_path / point.point_id
        done = export_point(run, record, point, None, target, command="x", force=True)
        manifest = read_manifest(target)
        assert manifest.format == "onnx_exits" and manifest.exits == "1,2"
        assert manifest.criterion == point.knobs["criterion"]
        assert manifest.threshold == str(point.knobs["threshold"])
        assert manifest.temperature == done.temperature and done.calibration is not None
        assert done.parity.difference < 1e-5
        found = run.run.learner.predict(rows, point.knobs, phase="test")
        got = open_model(target).probabilities(list(rows.text))
        expected = softmax(found / np.float32(done.temperature))
        assert (np.abs(got - expected).max(axis=1) < 1e-4).mean() > 0.95
        assert set(manifest.files) == {
            "segment_0.onnx",
            "segment_1.onnx",
            "tokenizer.json",
            "model.py",
            "README.md",
        }
        text = (target / "README.md").read_text()
        for part in ("after layers 1, 2.", manifest.criterion, "--threshold never", "onnxruntime"):
            assert part in text
    for name in ("hf", "onnx", "native"):
        with pytest.raises(InputError, match="of kind exits; --format may be onnx_exits$") as e:
            export_point(run, record, point, name, tmp_path / "n", command="x")
        assert f"--format {name}: holds " in str(e.value)
    for name in (None, "onnx_exits"):
        with pytest.raises(InputError, match="int8"):
            export_point(run, record, point, name, tmp_path / "n", command="x", int8=True)
    assert not (tmp_path / "n").exists()


def test_weights_that_no_file_holds_are_refused(deep, monkeypatch):
    graph = graph_of(*deep["bert"])
    monkeypatch.setattr(onnx_exits, "LIMIT", 10_000)
    with pytest.raises(InputError, match="more than one ONNX file holds; no format can"):
        writing.choose("onnx_exits", graph, int8=False)
    with pytest.raises(InputError, match="no format can hold this model"):
        writing.choose(None, graph, int8=False)


def test_weights_stand_in_one_segment_each(deep, texts, tmp_path):
    base, rung = deep["bert"]
    graph = graph_of(base, rung)
    written(graph, base, texts, tmp_path / "m")
    expected = 4 * sum(p.numel() for m in (graph.encoder, graph.exits) for p in m.parameters())
    found = open_model(tmp_path / "m").bytes
    assert expected < found < 1.5 * expected
    sizes = [(tmp_path / "m" / f"segment_{k}.onnx").stat().st_size for k in range(3)]
    assert found == sum(sizes) and abs(sizes[1] - sizes[2]) < 0.1 * sizes[1]


@pytest.mark.real
def test_a_real_checkpoint_on_real_sentences(tmp_path):
    from raysearch.config.catalog import find_task
    from raysearch.config.space import Proposal
    from raysearch.config.study import Study
    from raysearch.data.task_data import load_task
    from raysearch.planning.planner import Planner

    shared = Path(__file__).resolve().parents[3] / "shared"
    data_dir = Path(os.environ.get("RAYSEARCH_DATA_DIR", shared / "data"))
    models_dir = Path(os.environ.get("RAYSEARCH_MODELS_DIR", shared / "models"))
    data = load_task(find_task("sst2_sent"), data_dir=data_dir)
    study = Study(name="real", precision="fp32", labels=(64,))
    world = Planner(study, data, out=tmp_path, data_dir=data_dir, models_dir=models_dir)
    hyper = {"epochs": 1, "min_steps": 8}
    trial = TrialRun(world.configure(Proposal("early_exit", "minilm-3", 64, hyper)), world.place)
    record = tiny.finish(trial).record()
    run = TrainedModel(trial)
    done = export_point(run, record, record.points[0], None, tmp_path / "m", command="x")
    assert done.parity.texts == 256 and done.parity.difference < 1e-5
    rows = data.splits["test"].take(np.arange(200))
    tokens = run.tokeniser()
    assert tokens is not None
    encoded, predictor = tokens.encode(rows), open_model(tmp_path / "m")
    graph = run.graph(record.points[0]).with_temperature(done.temperature)
    for point in record.points:
        same_as_torch(predictor, graph.with_knobs(point.knobs), encoded, list(rows.text), None)


# The folder alone

ALONE = """
import sys


class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "raysearch", "scipy", "pandas", "ray"}:
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Nothing())
sys.path.insert(0, sys.argv.pop(1))
"""
ASK = """
import json
from model import Model
model, texts = Model(sys.argv[1]), json.load(sys.stdin)
out = [model.probabilities(texts, **kind).tolist() for kind in json.loads(sys.argv[2])]
print(json.dumps(out))
"""


def alone(code, home, *args, stdin=""):
    return subprocess.run(
        [sys.executable, "-I", "-B", "-c", ALONE + code, str(home), *args],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=home.parent,
    )


@pytest.fixture(scope="module")
def folder(deep, texts, tmp_path_factory):
    """A good folder, not to be changed."""
    base, rung = deep["bert"]
    target = tmp_path_factory.mktemp("alone") / "m"
    written(graph_of(base, rung), base, texts, target, cold=1.3)
    return target


def test_the_folder_predicts_without_torch_or_us(folder, texts, tmp_path):
    home = shutil.copytree(folder, tmp_path / "moved")
    assert "Error" in alone("import raysearch", home).stderr
    kinds = [{}, {"threshold": "never"}, {"threshold": 0}, {"criterion": "patience"}]
    kinds[3]["threshold"] = 1
    ran = alone(ASK, home, str(home), json.dumps(kinds), stdin=json.dumps(texts))
    assert ran.returncode == 0, ran.stderr[-2000:]
    predictor = open_model(folder)
    for kind, found in zip(kinds, json.loads(ran.stdout), strict=True):
        threshold = kind.get("threshold", 0.7)
        predictor.change_rule(str(threshold), kind.get("criterion", "confidence"))
        np.testing.assert_allclose(found, predictor.probabilities(texts), atol=1e-6)


RUN = "import runpy\nrunpy.run_path(sys.argv[0] + '/model.py', run_name='__main__')"


@pytest.mark.slow
def test_the_folder_is_a_program(folder, texts, tmp_path):
    lines = "\n".join(texts[:5])
    run = RUN.replace("sys.argv[0]", repr(str(folder)))
    predictor = open_model(folder)
    for args, rule in (
        ((), (None, None)),
        (("--threshold", "never", "--batch", "2"), ("never", None)),
        (("--threshold", "1", "--criterion", "patience"), ("1", "patience")),
    ):
        ran = alone(run, folder, *args, stdin=lines)
        assert ran.returncode == 0, ran.stderr[-2000:]
        predictor.change_rule("0.7", "confidence")
        predictor.change_rule(*rule)
        _, at = predictor.exit_results(predictor.prepare(texts[:5]))
        p = predictor.probabilities(texts[:5])
        found = [json.loads(line) for line in ran.stdout.splitlines()]
        assert [f["layers"] for f in found] == (at + 1).tolist()
        assert [f["label"] for f in found] == [f"l{i}" for i in p.argmax(axis=1)]
        np.testing.assert_allclose([list(f["probabilities"].values()) for f in found], p, atol=1e-6)
    for args, part in (
        (("--threshold", "2"), "must be from 0 to 1 by confidence"),
        (("--criterion", "hope"), "no criterion 'hope'"),
        (("--criterion", "patience"), "needs a threshold of its own"),
    ):
        ran = alone(run, folder, *args, stdin=lines)
        assert ran.returncode == 2 and part in ran.stderr and "Traceback" not in ran.stderr


def test_the_cards_own_lines_run(folder):
    (code,) = re.findall(r"```python\n(.*?)```", onnx_exits._use(read_manifest(folder)), re.S)
    *before, last = code.strip().splitlines()
    home = folder
    ran = subprocess.run(
        [sys.executable, "-B", "-c", "\n".join([*before, f"print(({last})[0])"])],
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = [float(x) for x in re.findall(r"\d\.\d+(?:e-?\d+)?", ran.stdout)][:3]
    np.testing.assert_allclose(found, open_model(folder).probabilities(["a text"])[0], atol=1e-4)


# Folders that cannot be trusted, and rules that are none


def test_code_in_the_folder_is_never_run(folder, tmp_path):
    home = shutil.copytree(folder, tmp_path / "m")
    (home / "model.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    open_model(home).probabilities(["red"])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["segment_0.onnx", "segment_2.onnx", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"", b"{", "half"])
def test_a_torn_file_is_one_line(folder, tmp_path, name, content):
    home = shutil.copytree(folder, tmp_path / "m")
    whole = (home / name).read_bytes()
    (home / name).unlink()
    if content is not None:
        (home / name).write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(InputError, match=name) as e:
        open_model(home)
    assert "\n" not in str(e.value) and str(tmp_path) not in str(e.value)


@pytest.mark.parametrize("fact", ["pair", "temperature", "max_length", "labels", "exits"])
def test_a_fact_that_is_gone_is_said(folder, tmp_path, fact):
    home = shutil.copytree(folder, tmp_path / "m")
    facts = json.loads((home / FILE).read_text())
    del facts[fact]
    (home / FILE).write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=f"raysearch.json: no '{fact}'"):
        exits_runtime.Model(home)
    alone = subprocess.run(
        [sys.executable, str(home / "model.py")], input="red", capture_output=True, text=True
    )
    assert alone.returncode == 2 and "Traceback" not in alone.stderr
    assert f"error: raysearch.json: no '{fact}'" in alone.stderr


def test_a_segment_that_takes_other_numbers_is_one_line(folder, tmp_path):
    import onnx

    home = shutil.copytree(folder, tmp_path / "m")
    made = onnx.load(home / "segment_1.onnx")
    for value in made.graph.input:
        if value.name == "hidden":
            value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(made, home / "segment_1.onnx")
    with pytest.raises(InputError, match=r"segment_1\.onnx: (is no such segment|does not load)"):
        open_model(home)


def test_segments_that_have_changed_places_are_one_line(folder, tmp_path):
    for a, b in (("segment_0", "segment_1"), ("segment_1", "segment_2")):
        home = shutil.copytree(folder, tmp_path / a)
        (home / "x").write_bytes((home / f"{a}.onnx").read_bytes())
        (home / f"{a}.onnx").write_bytes((home / f"{b}.onnx").read_bytes())
        (home / "x").replace(home / f"{b}.onnx")
        with pytest.raises(InputError, match=f"{a}.onnx: is no such segment"):
            open_model(home)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"exits": ""}, "raysearch.json: exits '': must be as 2,4,6"),
        ({"exits": "1,x"}, "exits '1,x'"),
        ({"exits": "2,1"}, "exits '2,1'"),
        ({"exits": "3"}, "exits '3'"),
        ({"exits": "1,2"}, "segment_1.onnx: is no such segment"),
        ({"exits": "1,2,3,4"}, "no segment_3.onnx in it"),
        ({"exits": "1,4,5"}, "segment_2.onnx: does not fit"),
        ({"exits": [1, 2]}, "must be str"),
        ({"labels": ["a", "b"]}, "does not fit raysearch.json"),
        ({"criterion": "hope"}, "raysearch.json: early exit: no criterion 'hope'"),
        ({"threshold": "2"}, "raysearch.json: threshold '2': must be from 0 to 1"),
        ({"threshold": 0.5}, "threshold is 0.5, must be str"),
    ],
)
def test_a_manifest_that_lies_is_one_line(folder, tmp_path, change, part):
    home = shutil.copytree(folder, tmp_path / "m")
    facts = json.loads((home / FILE).read_text())
    (home / FILE).write_text(json.dumps(facts | change))
    with pytest.raises(InputError) as e:
        open_model(home)
    assert part in str(e.value) and "\n" not in str(e.value)


def test_a_rule_that_is_none_leaves_the_old_one(folder, texts):
    predictor = open_model(folder)
    before = predictor.probabilities(texts)
    for rule, part in (
        (("1.5", None), "must be from 0 to 1 by confidence"),
        (("x", None), "threshold 'x'"),
        (("0.5", "hope"), "no criterion 'hope'. Known: confidence, entropy, patience"),
        ((None, "hope"), "no criterion 'hope'"),
        ((None, "entropy"), "needs --threshold too; m's own, 0.7, is by confidence"),
        (("0.5", "patience"), "a whole number from 0 to 2 by patience"),
        (("3", "patience"), "threshold '3': must be a whole number from 0 to 2 by patience"),
    ):
        with pytest.raises(InputError) as e:
            predictor.change_rule(*rule)
        assert part in str(e.value)
    assert np.array_equal(predictor.probabilities(texts), before)
    predictor.change_rule(None, "confidence")
    assert np.array_equal(predictor.probabilities(texts), before)
    predictor.change_rule("never", None)
    predictor.change_rule(None, "patience")
    _, at = predictor.exit_results(predictor.prepare(texts))
    assert (at == 2).all()
