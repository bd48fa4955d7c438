"""Early exit: what is trained, who leaves where, what it costs, and whose labels calibrate."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from raysearch.config import catalog
from raysearch.config.catalog import find_rung, method_spaces
from raysearch.config.space import Proposal
from raysearch.data.rows import Rows
from raysearch.encoders import exits
from raysearch.encoders.exits import ExitClassifier, ExitHeads
from raysearch.encoders.models import open_encoder, pool
from raysearch.errors import Infeasible
from raysearch.methods import early_exit
from raysearch.methods import get as find_method
from raysearch.outputs import exit_rules
from raysearch.outputs.calibration import nll
from raysearch.record import TrialRecord
from raysearch.training.exits_head import exit_loss
from raysearch.trial.context import lengths_sample, parse_knobs
from raysearch.trial.run import TrialRun
from raysearch.trial.setup import TrialSetup
from raysearch.trial.trained import TrainedModel
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("deep_ladder")
LAYERS = 4


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """Rungs of four layers, of each family of encoders."""
    home = tmp_path_factory.mktemp("deep")
    kinds = ("bert", "roberta", "distilbert")
    made = {k: tiny.write_encoder(home / k, layers=LAYERS, hidden=32, kind=k) for k in kinds}
    return {f"deep-{k}": tiny.rung(f"deep-{k}", folder) for k, folder in made.items()}


@pytest.fixture
def deep_ladder(deep, monkeypatch):
    known = catalog.ladder()
    small = dataclasses.replace(known["hash-16"], ladders=("tiny",))
    models = {**known, "hash-16": small, **deep}
    monkeypatch.setattr(catalog, "_ladder", lambda path: models)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("early")


def config_of(w, rung="deep-bert", labels=40, **hyper):
    first = {**method_spaces()["early_exit"].default_config, "epochs": 2, "min_steps": 6, **hyper}
    return w.configure(Proposal("early_exit", rung, labels, first))


def world(home, name="two", **sizes):
    return tiny.world(tiny.write_task(home / f"{name}{sizes}", name, **sizes), home / f"out-{name}")


@pytest.fixture(scope="module")
def _trained(home, deep):
    """A trained trial over every family, made once."""
    made = {}

    def of(rung):
        if rung not in made:
            w = world(home, train=160, test=60)
            config = config_of(w, rung, labels=80, learning_rate=1e-3, epochs=30)
            made[rung] = tiny.finish(TrialRun(config, w.place))
        return made[rung]

    return of


@pytest.fixture
def trained(_trained, deep_ladder):
    return _trained


every_family = pytest.mark.parametrize("rung", ["deep-bert", "deep-roberta", "deep-distilbert"])
FAST_FAMILIES = [
    "deep-bert",
    *(pytest.param(f"deep-{k}", marks=pytest.mark.slow) for k in ("roberta", "distilbert")),
]
SOME = [
    {"criterion": "confidence", "threshold": t} for t in (0.0, 0.55, 0.7, 0.9, 0.99, "never")
] + [{"criterion": "entropy", "threshold": 0.3}, {"criterion": "patience", "threshold": 1}]


@pytest.mark.slow
@every_family
def test_segments_one_by_one_are_the_model_as_its_library_runs_it(trained, rung):
    """Every exit's logits from transformers' own hidden states, layer by layer."""
    run = trained(rung)
    module = run.learner._fit.module
    rows = run.setup.data.splits["test"]
    encoded = run.learner._head.encode(rows)
    batch = encoded.batch(np.arange(len(rows)), torch.device("cpu"))
    module.eval()
    with torch.no_grad():
        ours = module(batch)
        body = module.encoder.body
        seen = body(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            output_hidden_states=True,
            **(batch.types_argument() if rung == "deep-bert" else {}),
        ).hidden_states
        vectors = [pool(h, batch, module.pooling) for h in seen[1:]]
        theirs = torch.stack(
            [module.exits(vectors[:n], k) for k, n in enumerate(module.exits.layers)], dim=1
        )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert ours.shape == (60, LAYERS, 2)


@pytest.mark.processor_seconds(4)  # the first of a process trains the model
@pytest.mark.parametrize("rung", FAST_FAMILIES)
@pytest.mark.parametrize("knobs", SOME, ids=lambda k: f"{k['criterion']}-{k['threshold']}")
def test_a_batch_without_those_that_left_is_each_text_for_itself(trained, rung, knobs):
    """Compaction at batch 60 and one text at a time: like logits, and the same exit.

    But where the signal lies within 1e-5 of the threshold.
    """
    run = trained(rung)
    rows = run.setup.data.splits["test"]
    together = run.learner._exit_results(rows, knobs)
    alone = [run.learner._exit_results(rows.take(np.array([i])), knobs) for i in range(len(rows))]
    cached = run.learner.raw(rows, phase="measure")
    at = exit_rules.exits_for(cached, knobs)
    one = np.concatenate([a.at for a in alone])
    near = np.zeros(len(rows), np.bool_)
    if knobs["threshold"] != "never":
        signal = exit_rules.signal(cached.calibrated, knobs["criterion"])
        near = (np.abs(signal - knobs["threshold"]) < 1e-5).any(axis=1)
    assert near.mean() < 0.1 or knobs["criterion"] == "patience"
    for other in (one, at):
        assert ((together.at == other) | near).all()
    same = together.at == one
    found = np.concatenate([a.logits for a in alone])
    np.testing.assert_allclose(together.logits[same], found[same], rtol=1e-4, atol=1e-5)


def test_texts_leave_at_different_exits(trained):
    """Else the tests of compaction would show nothing."""
    run = trained("deep-bert")
    sure = [
        run.learner._exit_results(run.setup.data.splits["test"], knobs).at.tolist()
        for knobs in SOME[:6]
    ]
    assert max(len(set(at)) for at in sure) > 1


@pytest.mark.slow
@every_family
def test_expected_flops_are_those_of_a_real_pass(trained, rung):
    """The closed form against torch's counter, over single texts, to the digit."""
    run = trained(rung)
    rows = run.setup.data.splits["validation"].take(np.arange(12))
    for knobs in SOME:
        predicted = run.learner.infer_flops(rows, knobs)
        with FlopCounterMode(display=False) as seen:
            for i in range(len(rows)):
                run.learner._exit_results(rows.take(np.array([i])), knobs)
        assert predicted.sum() == seen.get_total_flops()


def test_a_batch_pays_for_what_it_executes_and_no_more(trained):
    run = trained("deep-bert")
    rows = run.setup.data.splits["test"]
    spent = []
    for knobs in SOME[:6]:
        with FlopCounterMode(display=False) as seen:
            left = run.learner._exit_results(rows, knobs)
        assert left.flops == seen.get_total_flops()
        spent.append(left.flops)
    assert spent == sorted(spent) and spent[0] < spent[-1] / 2


def test_one_exit_at_the_top_that_nothing_mixes_is_fine_tuning(deep):
    """The same weights in the plain classifier give the same logits."""
    from raysearch.encoders.classifier import Classifier

    rung = deep["deep-bert"]
    from pathlib import Path

    folder = Path(rung.source.removeprefix("file:"))
    device = torch.device("cpu")
    generator = torch.Generator().manual_seed(3)
    heads = ExitHeads((LAYERS,), 32, 3, dropout=0.1, generator=generator)
    classifier = ExitClassifier(open_encoder(rung, folder, device), heads, "mean").eval()
    plain = Classifier(
        open_encoder(rung, folder, device), 3, pooling="mean", dropout=0.1, generator=generator
    ).eval()
    plain.head.load_state_dict(heads.heads[0].state_dict())
    ids = torch.randint(5, 30, (6, 9))
    mask = torch.arange(9) < torch.tensor([9, 3, 5, 9, 4, 7])[:, None]
    from raysearch.encoders.tokens import Batch

    batch = Batch(ids, mask, None, False)
    with torch.no_grad():
        torch.testing.assert_close(classifier(batch)[:, 0], plain(batch), rtol=1e-5, atol=1e-6)


def test_the_mix_moves_from_the_first_step(home):
    """In arXiv:2004.07453's released code none ever moved: each forward made them anew."""
    w = world(home)
    run = TrialRun(config_of(w, learning_rate=1e-3, warmup=0.0), w.place)
    run.begin()
    module = run.learner._fit.module
    before = [module.exits.mix(k).detach().clone() for k in range(LAYERS)]
    assert [b.tolist() for b in before] == [[0.0] * k + [1.0] for k in range(LAYERS)]
    run.learner.step()
    for k, old in enumerate(before):
        assert ((module.exits.mix(k) - old).abs() > 1e-3).all(), f"exit {k}"


def test_losses_weigh_the_exits_and_the_last_may_teach():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, 3, 4, generator=generator, requires_grad=True)
    label = torch.tensor([0, 1, 2, 3, 0])
    each = [torch.nn.functional.cross_entropy(z[:, k], label) for k in range(3)]
    weight = torch.tensor([0.5, 1.0, 1.5])
    torch.testing.assert_close(exit_loss(z, label, weight), 0.5 * each[0] + each[1] + 1.5 * each[2])
    only = torch.tensor([1.0, 1.0, 0.0])
    exit_loss(z, label, only, follow=True).backward()
    assert z.grad is not None and (z.grad[:, 2] == 0).all(), "the last exit learns from no pupil"
    same = z.detach()[:, 2:].expand(5, 3, 4)
    torch.testing.assert_close(
        exit_loss(same, label, weight, follow=True), exit_loss(same, label, weight)
    )
    from raysearch.methods.early_exit import WEIGHTINGS

    for of in WEIGHTINGS.values():
        assert sum(of((1, 2, 3, 6))) == pytest.approx(4)


def test_temperatures_lower_the_nll_of_their_own_rows_and_change_no_answer(trained):
    run = trained("deep-bert")
    calibration = run.setup.calibration
    found = run.learner.raw(calibration, phase="measure")
    assert len(calibration) == 30 and not set(calibration.ids.tolist()) & set(
        run.setup.train.ids.tolist()
    )
    assert len(set(found.temperature.tolist())) == LAYERS and (found.temperature != 1).all()
    cold = found.calibrated
    for k in range(LAYERS):
        assert nll(cold[:, k], calibration.label) < nll(found.logits[:, k], calibration.label)
        assert (cold[:, k].argmax(axis=1) == found.logits[:, k].argmax(axis=1)).all()


def test_the_pass_is_by_calibrated_logits(trained):
    """What the real pass answers is what every exit says, over its temperature."""
    run = trained("deep-bert")
    rows = run.setup.data.splits["test"]
    outputs = run.learner.raw(rows, phase="measure")
    raw = dataclasses.replace(outputs, temperature=np.ones(LAYERS))
    apart = 0
    for knobs in SOME:
        left = run.learner._exit_results(rows, knobs)
        apart += int((left.at != exit_rules.exits_for(raw, knobs)).sum())
        index = np.arange(len(rows))
        np.testing.assert_allclose(
            left.logits, outputs.calibrated[index, left.at], rtol=1e-3, atol=1e-4
        )
    assert apart, "the temperatures move nobody: this test cannot fail"


@pytest.mark.slow
def test_temperatures_are_fitted_where_there_are_rows_enough(home):
    w = world(home, train=400, test=60)
    config = config_of(w, labels=200, learning_rate=1e-3, epochs=8)
    run = tiny.finish(TrialRun(config, w.place))
    assert len(run.setup.calibration) == 40
    temperature = run.learner.raw(run.setup.validation, phase="measure").temperature
    assert len(set(temperature.tolist())) == LAYERS and (temperature != 1).all()


@pytest.mark.slow
def test_calibration_reads_neither_validation_nor_test_labels(home, monkeypatch):
    """With all of their labels turned round, training and temperatures are the same to the bit."""
    w = world(home, train=160, test=60)
    config = config_of(w, labels=80)

    def turned(rows):
        return dataclasses.replace(rows, label=1 - rows.label)

    plain = TrialRun(config, w.place, "confirm")
    other = TrialRun(config, dataclasses.replace(w.place, store=str(home / "other")), "confirm")
    other.setup.validation = turned(other.setup.validation)
    splits = {**other.setup.data.splits, "test": turned(other.setup.data.splits["test"])}
    other.setup.data = dataclasses.replace(other.setup.data, splits=splits)
    for run in (plain, other):
        tiny.finish(run)
    a, b = (r.learner.state() for r in (plain, other))
    assert a.keys() == b.keys()
    for name, value in a.items():
        same = torch.equal(value, b[name]) if torch.is_tensor(value) else value == b[name]
        assert same, name
    points, theirs = (r.record().points for r in (plain, other))
    assert [p.knobs for p in points] == [p.knobs for p in theirs]
    assert [p.infer_flops for p in points] == [p.infer_flops for p in theirs]
    assert [p.scores for p in points] != [p.scores for p in theirs]


def test_calibration_rows_are_labels_and_said_to_be(home):
    w = world(home, train=160, test=60)
    run = tiny.finish(TrialRun(config_of(w, labels=80), w.place))
    labels = {c.phase: c.labels for c in run.ledger.bill()}
    assert labels["train"] == 50 and labels["calibrate"] == 30
    assert labels["train"] + labels["calibrate"] + labels["validate"] == run.record().labels_used
    assert run.ledger.flops("calibrate") > 0
    assert w.predicted_cost(run.config).labels == run.record().labels_used


def test_a_class_without_a_calibration_row_is_infeasible_not_a_crash(home, monkeypatch):
    w = world(home, "five", train=160, test=60)
    config = config_of(w, labels=80)
    rows = TrialSetup._rows

    def without(self):
        train, validation, unlabelled = rows(self)
        return train.take(np.flatnonzero(train.label != 3)), validation, unlabelled

    monkeypatch.setattr(TrialSetup, "_rows", without)
    with pytest.raises(Infeasible, match="30 of 64 labelled rows are held back, none of class"):
        TrialRun(config, w.place)


def test_fewer_calibration_rows_than_classes_are_infeasible_before_a_trial_is_run(
    home, monkeypatch
):
    monkeypatch.setattr(early_exit, "FEWEST", 1)
    with pytest.raises(Infeasible, match="2 of 10 labelled rows are held back, for 5 classes"):
        config_of(world(home, "five", train=160, test=60), labels=10)


def test_few_labels_calibrate_nothing_and_train_with_all(home):
    w = world(home, train=160, test=60)
    run = tiny.finish(TrialRun(config_of(w, labels=40), w.place))
    assert len(run.setup.calibration) == 0 and len(run.setup.train) == 40
    assert "calibrate" not in {c.phase for c in run.ledger.bill()}
    assert (run.learner.raw(run.setup.validation, phase="measure").temperature == 1).all()


def test_one_trial_is_a_curve(home):
    w = world(home, train=400, test=60)
    config = config_of(w, labels=200, learning_rate=1e-3, epochs=4)
    run = tiny.finish(TrialRun(config, w.place))
    record = run.record()
    points = record.points
    assert 8 <= len(points) <= 45
    assert points[0].knobs == {"criterion": "confidence", "threshold": "never"}
    whole = points[0].infer_flops
    sample = lengths_sample(run.setup.data)
    lengths = run.learner._head.encode(sample).lengths
    rung = find_rung("deep-bert")
    flops = exits.text_flops(rung, tuple(range(1, LAYERS + 1)), 2, lengths)
    assert whole == flops[:, -1].mean()
    for name in exit_rules.CRITERIA:
        of = [p.infer_flops for p in points if p.knobs["criterion"] == name]
        assert of == sorted(of, reverse=True)
        gaps = -np.diff(of)
        assert (gaps >= 0.01 * whole).all()
    for p in points:
        assert sum(p.exits) == pytest.approx(1) and len(p.exits) == LAYERS
        assert p.rows == {"validation": len(run.setup.validation)}
    assert any(p.exits[0] == 1 for p in points)
    assert TrialRecord.from_json(record.to_json()).to_json() == record.to_json()


def test_a_confirming_draw_has_every_point_that_the_search_may_keep(home):
    w = world(home, train=160, test=60)
    config = config_of(w, labels=80)
    search = tiny.finish(TrialRun(config, w.place)).record()
    draw = tiny.finish(TrialRun(config.with_seed(1), w.place, "confirm")).record()
    tried = [dict(p.knobs) for p in draw.points]
    assert len(tried) == len(exit_rules.grid(2, LAYERS))
    assert all(dict(p.knobs) in tried for p in search.points)
    assert all({"validation", "test"} == set(p.scores) for p in draw.points)
    tested = [c for c in draw.bill if c.phase == "test"]
    assert sum(c.texts for c in tested) == 60, "one pass for all points"


def test_scores_of_points_are_those_of_their_logits(trained):
    from pathlib import Path

    from raysearch.analysis.confirmation import stored_logits

    run = trained("deep-bert")
    folder = Path(run.place.store).parent
    for p in run.record().points:
        logits, ids, labels = stored_logits(folder, p.point_id, "validation")
        assert p.scores["validation"]["accuracy"] == float((logits.argmax(1) == labels).mean())
        assert np.array_equal(ids, run.setup.validation.ids)
        assert np.array_equal(TrainedModel(run).kept_logits(p.point_id), logits)


@pytest.mark.slow
def test_an_early_exit_learns(home):
    w = world(home, train=400, test=60)
    config = config_of(w, labels=120, learning_rate=1e-3, epochs=20, self_distil=True)
    run = tiny.finish(TrialRun(config, w.place))
    scores = {p.knobs["threshold"]: p.scores["validation"]["accuracy"] for p in run.record().points}
    assert scores["never"] > 0.9
    first = min(run.record().points, key=lambda p: p.infer_flops)
    assert first.exits[0] > 0.9 and first.scores["validation"]["accuracy"] > 0.7


def test_prices_know_what_calibrates(home):
    w = world(home, train=160, test=60)
    method = find_method("early_exit")
    config = config_of(w, labels=80)
    knobs = parse_knobs(method, config.hyper)
    assert method.calibration(knobs, 80) == 30
    assert config.horizon == method.horizon(knobs, 80) == max(6, 2 * 4)
    run = tiny.finish(TrialRun(config, w.place))
    spent = {phase: run.ledger.flops(phase) for phase in ("train", "calibrate", "validate")}
    assert w.predicted_cost(config).flops == pytest.approx(sum(spent.values()), rel=0.1)
    sample = len(lengths_sample(w.data))
    assert sum(c.texts for c in run.ledger.bill() if c.phase == "validate") == sample + len(
        run.setup.validation
    )


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"exits": "2,9"}, "layer 9 is not one of the model's 4"),
        ({"exits": "4"}, "one exit"),
        ({"calibration": 1.5}, "calibration: 1.5 is no share from 0 to 0.5"),
        ({"weighting": "steep"}, "weighting: no 'steep'. Known: uniform, depth"),
        ({"pooling": "max"}, "pooling: no 'max'. Known: cls, mean"),
    ],
)
def test_exits_that_the_model_cannot_have_are_infeasible(home, hyper, message):
    with pytest.raises(Infeasible, match=message) as e:
        config_of(world(home), **hyper)
    assert "\n" not in str(e.value)


def test_a_model_without_layers_is_infeasible(home):
    w = world(home)
    with pytest.raises(Infeasible, match="cannot train a model of family ngram"):
        config_of(w, "hash-16")


def test_the_graph_leaves_where_the_learner_leaves(trained):
    run = trained("deep-bert")
    rows = run.setup.data.splits["test"]
    for knobs in SOME:
        point = next(iter(run.record().points))
        graph = TrainedModel(run).graph(dataclasses.replace(point, knobs=knobs))
        assert graph.kind == "exits"
        encoded = run.learner._head.encode(rows)
        left = graph.exit_results(encoded)
        assert np.array_equal(left.at, run.learner._exit_results(rows, knobs).at)
        cold = graph.with_temperature(2.0).logits(rows, TrainedModel(run).tokeniser())
        np.testing.assert_allclose(cold, left.logits / 2, rtol=1e-5)
        assert np.array_equal(graph.with_temperature(2.0).exit_results(encoded).at, left.at)


def test_empty_rows_are_nobody(trained):
    run = trained("deep-bert")
    none = Rows("test", np.empty(0, np.int64), [])
    left = run.learner._exit_results(none, SOME[2])
    assert left.logits.shape == (0, 2) and left.flops == 0
