"""What every method promises, asked of all that are found by file name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from raysearch import methods
from raysearch.config.catalog import find_rung, method_spaces
from raysearch.config.ladder import ModelSize
from raysearch.costs import flops
from raysearch.ledger import TRAINING
from raysearch.ngrams import bag, dan_numpy
from raysearch.training.linear import LinearModel
from raysearch.trial.context import ExecutionContext, lengths_sample, parse_knobs
from raysearch.trial.run import TrialRun
from raysearch.trial.setup import TrialSetup
from raysearch.trial.trained import TrainedModel, score_points
from tests.support import tiny

RUNGS = {"encoder": ("random-1", "random-2"), "ngram": ("hash-16",), "dan": ("table-400",)}
LAYERS = {
    "random-1": ModelSize("random-1", "encoder", layers=1, hidden=32, intermediate=64),
    "random-2": ModelSize("random-2", "encoder", layers=2, hidden=48, intermediate=80),
    "hash-16": ModelSize("hash-16", "ngram", buckets=2**16),
    "table-400": ModelSize("table-400", "dan", buckets=400, hidden=8),
}
TASKS = ("two", "five", "number")
CASES = [
    (name, rung, task)
    for name in methods.names()
    for family in methods.get(name).families
    for rung in RUNGS[family]
    for task in TASKS
    if methods.get(name).regression or task != "number"
    if not methods.get(name).check_model(methods.get(name).knobs(), LAYERS[rung])
]
SHORT = {"min_steps": 4, "epochs": 3}
"""Knobs that only say how long to train, where a method has them: six steps show what fifty do."""


def few(cases):
    """One case of each method and family: the tasks and rungs take turns."""
    kinds: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for case in cases:
        kinds.setdefault((case[0], LAYERS[case[1]].family), []).append(case)
    return {found[i % len(found)] for i, found in enumerate(kinds.values())}


FEW = few(CASES)
every_case = pytest.mark.parametrize(
    ("method", "rung", "task", "whole"),
    [
        *(pytest.param(*c, False, id="-".join(c) + "-few") for c in CASES if c in FEW),
        *(pytest.param(*c, True, id="-".join(c), marks=pytest.mark.slow) for c in CASES),
    ],
)
"""The few are the fast ones: of a trial with dozens of points they see some. The rest see all."""
POINTS = 5
every_method = pytest.mark.parametrize("method", methods.names())
pytestmark = pytest.mark.usefixtures("tiny_ladder")


def test_the_loop_is_not_empty():
    known = "dan distill early_exit embed_linear finetune prompt sparse_distill zero_shot".split()
    assert set(known) <= set(methods.names())
    assert {c[0] for c in CASES} == set(methods.names())
    kinds = {(name, family) for name in methods.names() for family in methods.get(name).families}
    assert {(name, LAYERS[rung].family) for name, rung, _ in FEW} == kinds
    assert {task for _, _, task in FEW} == set(TASKS)
    assert {rung for _, rung, _ in FEW} == set(LAYERS)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """A world a task; the store of each is shared by the cases."""
    home = tmp_path_factory.mktemp("worlds")
    return {
        name: tiny.world(tiny.write_task(home / name, name), home / f"out-{name}") for name in TASKS
    }


def some(points):
    """The first point, the last, and a few between them."""
    places = np.linspace(0, len(points) - 1, min(len(points), POINTS))
    return [points[i] for i in places.round().astype(int)]


@pytest.fixture
def trial(worlds, method, rung, task, whole, monkeypatch):
    """Opens the case's trial; `other` gives it an empty store of its own."""
    build = TrialSetup.learner

    def build_few(setup, ledger):
        learner = build(setup, ledger)
        points = learner.points
        learner.points = lambda sample=None: some(points(sample))
        return learner

    if not whole:
        monkeypatch.setattr(TrialSetup, "learner", build_few)

    def open_trial(other=None):
        world = worlds[task]
        place = world.place if other is None else dataclasses.replace(world.place, store=str(other))
        known = {f.name for f in dataclasses.fields(methods.get(method).knobs)}
        short = {k: v for k, v in SHORT.items() if k in known}
        return TrialRun(tiny.configure(world, method, rung, **short), place)

    return open_trial


@pytest.fixture(scope="module")
def kept():
    """Finished trials by case, each with the folder of its store."""
    return {}


@pytest.fixture
def finished(trial, kept, tmp_path_factory, method, rung, task, whole):
    """The case's finished trial and its store, for the questions that only look."""
    case = method, rung, task, whole
    if case not in kept:
        store = tmp_path_factory.mktemp("kept")
        kept[case] = tiny.finish(trial(store)), store
    return kept[case]


def timeless(record):
    """A record without what differs between two runs of the same computation."""
    value = record.to_json()
    value["made_by"] = {k: v for k, v in value["made_by"].items() if k not in ("started", "ended")}
    value["bill"] = [{k: v for k, v in c.items() if k != "seconds"} for c in value["bill"]]
    return value


def logits(run, split="test"):
    """Logits of every point of a finished trial over a whole split."""
    rows = run.setup.data.splits[split]
    return [run.learner.predict(rows, knobs, phase="test") for knobs in run.learner.points()]


class Counted:
    """FLOPs of a block: torch's counter, and by formula those it cannot see."""

    def __init__(self) -> None:
        self.torch: FlopCounterMode | None = None
        self.formula = 0

    @property
    def flops(self) -> int:
        return self.torch.get_total_flops() + self.formula


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    out = Counted()
    fit, predict = flops.logistic_regression, LinearModel.logits

    def counted_fit(nonzeros, classes, iterations):
        out.formula += fit(nonzeros, classes, iterations)
        return fit(nonzeros, classes, iterations)

    def counted_predict(self, x):
        stored = x.nnz if hasattr(x, "nnz") else x.size
        out.formula += 2 * int(stored) * self.weight.shape[1]
        return predict(self, x)

    mean, means, dense = bag._mean, dan_numpy.means, dan_numpy.dense

    def counted_mean(ids, table, offsets):
        out.formula += 2 * len(ids) * table.shape[1]  # forward, and back to the rows
        return mean(ids, table, offsets)

    def counted_means(table, scale, ids, offsets):
        out.formula += len(ids) * table.shape[1]
        return means(table, scale, ids, offsets)

    def counted_dense(tensors, vectors):
        made = dense(tensors, vectors)
        for name in ("hidden.weight",) * len(vectors) + ("head.weight",):
            out.formula += 2 * len(made) * tensors[name].size
        return made

    with monkeypatch.context() as patch, FlopCounterMode(display=False) as counter:
        patch.setattr(flops, "logistic_regression", counted_fit)
        patch.setattr(LinearModel, "logits", counted_predict)
        patch.setattr(bag, "_mean", counted_mean)
        patch.setattr(dan_numpy, "means", counted_means)
        patch.setattr(dan_numpy, "dense", counted_dense)
        out.torch = counter
        yield out


@every_case
def test_same_config_same_record(trial, tmp_path):
    first, second = tiny.finish(trial(tmp_path / "a")), tiny.finish(trial(tmp_path / "b"))
    assert first.record().status == "DONE"
    assert timeless(first.record()) == timeless(second.record())
    for a, b in zip(logits(first), logits(second), strict=True):
        assert np.array_equal(a, b)


@every_case
def test_saved_and_restored_goes_on_as_if_nothing_had_happened(trial, tmp_path, whole):
    straight = trial(tmp_path / "whole")
    steps = 1
    while straight.step(0.0):
        steps += 1
    expected = logits(straight)
    bill = {(c.phase, c.payer): c.flops for c in straight.record().bill}
    for stop in sorted({0, 1, steps // 2, steps} if whole else {steps // 2}):
        home = tmp_path / str(stop)
        store = home / "store" if whole else tmp_path / "whole"  # its teacher's answers are there
        before = trial(store)
        for _ in range(stop):
            before.step(0.0)
        before.save(home / "checkpoint")
        before.close()
        after = trial(store)
        after.load(home / "checkpoint")
        tiny.finish(after)
        for a, b in zip(expected, logits(after), strict=True):
            assert np.array_equal(a, b), f"stopped after {stop} of {steps}"
        del bill[("test", "own")]
        assert {
            (c.phase, c.payer): c.flops for c in after.record().bill if c.phase != "test"
        } == bill, f"stopped after {stop} of {steps}"
        bill["test", "own"] = 0
        assert after.record().points == straight.record().points


@every_case
def test_every_step_and_prediction_is_paid_for_to_the_digit(trial, monkeypatch):
    run = trial()
    run.begin()
    learner, paid = run.learner, run.ledger.flops(*TRAINING)
    more = True
    for _ in range(12):
        with counted(monkeypatch) as seen:
            more = learner.step()
        charged = run.ledger.flops(*TRAINING) - paid
        assert charged == seen.flops
        assert charged > 0 or not run.setup.method.labelled
        paid += charged
        if not more:
            break
    while more:
        more = learner.step()
    assert not run.ledger.flops("test")
    for phase, rows in (
        ("validate", run.setup.validation),
        ("test", run.setup.data.splits["test"]),
    ):
        for knobs in learner.points():
            before = run.ledger.flops(phase)
            with counted(monkeypatch) as seen:
                learner.predict(rows, knobs, phase=phase)
            assert run.ledger.flops(phase) - before == seen.flops
            assert seen.flops > 0 or not len(rows)


@every_case
def test_infer_flops_are_those_of_one_text_on_its_own(finished, monkeypatch):
    run, _ = finished
    learner = run.learner
    rows = run.setup.data.splits["validation"].take(np.arange(6))
    for knobs in learner.points():
        predicted = learner.infer_flops(rows, knobs)
        assert predicted.shape == (6,)
        for i in range(6):
            with counted(monkeypatch) as seen:
                learner.predict(rows.take(np.array([i])), knobs, phase="measure")
            assert predicted[i] == seen.flops
    sample = lengths_sample(run.setup.data)
    for point in run.record().points:
        assert point.infer_flops == learner.infer_flops(sample, point.knobs).mean()


@every_case
def test_price_is_within_twice_the_bill(finished, worlds, task):
    run, _ = finished
    billed = run.ledger.flops(*TRAINING)
    price = worlds[task].predicted_cost(run.config)
    assert billed / 2 <= price.flops <= billed * 2
    assert price.labels == run.record().labels_used == (62 if run.setup.method.labelled else 0)
    assert 0 < price.seconds < 60


@every_case
def test_logits_are_finite_and_in_the_order_of_the_rows(finished):
    run, _ = finished
    rows = run.setup.data.splits["test"]
    width = run.setup.data.task.classes
    turned = np.random.default_rng(0).permutation(len(rows))
    for knobs in run.learner.points():
        straight = run.learner.predict(rows, knobs, phase="test")
        mixed = run.learner.predict(rows.take(turned), knobs, phase="test")
        assert straight.shape == (len(rows), width) and straight.dtype == np.float32
        assert np.isfinite(straight).all()
        np.testing.assert_allclose(mixed, straight[turned], rtol=1e-4, atol=1e-4)
        if not run.setup.data.task.regression:
            p = torch.from_numpy(straight).softmax(dim=1).numpy()
            assert ((p >= 0) & (p <= 1)).all()
            np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(straight, axis=0).max() > 0, "the same answer for every text"


@every_case
def test_padding_changes_no_prediction(finished):
    run, _ = finished
    rows = run.setup.data.splits["test"].take(np.arange(8))
    assert len({len(t.split()) for t in rows.text}) > 2
    for knobs in run.learner.points():
        together = run.learner.predict(rows, knobs, phase="test")
        for i in range(len(rows)):
            alone = run.learner.predict(rows.take(np.array([i])), knobs, phase="test")
            np.testing.assert_allclose(alone[0], together[i], rtol=1e-4, atol=1e-4)


class Poison:
    """Texts or labels that must not be read."""

    def __len__(self) -> int:
        return 30

    def _read(self, *_: object) -> None:
        raise AssertionError("the test split was read")

    __getitem__ = __iter__ = __array__ = _read


@every_case
def test_the_test_split_is_never_read(trial, tmp_path, monkeypatch):
    open_task = ExecutionContext.open_task

    def poisoned(place):
        data = open_task(place)
        test = dataclasses.replace(data.splits["test"], text=Poison(), label=Poison())
        return dataclasses.replace(data, splits={**data.splits, "test": test})

    monkeypatch.setattr(ExecutionContext, "open_task", poisoned)
    run = tiny.finish(trial(tmp_path))
    assert run.record().status == "DONE"
    with pytest.raises(AssertionError, match="test split was read"):
        TrainedModel(run).score(run.record().points[0], "test")


@every_case
def test_kept_weights_predict_the_same(finished, trial, tmp_path):
    run, store = finished
    expected = logits(run)
    scored = [TrainedModel(run).score(p, "test")["scores"] for p in run.record().points]
    again = trial(store)
    assert again.restore_weights()
    for a, b in zip(expected, logits(again), strict=True):
        assert np.array_equal(a, b)
    place = dataclasses.replace(run.place, store=str(tmp_path / "empty"))
    for point, scores in zip(run.record().points, scored, strict=True):
        assert score_points(run.config, run.place, [point], "test")[0]["scores"] == scores
        (retrained,) = score_points(run.config, place, [point], "test")
        assert retrained["scores"] == scores and retrained["point_id"] == point.point_id
    assert not trial(tmp_path / "nothing").restore_weights()


@every_case
def test_the_graph_computes_what_the_learner_predicts(finished, trial, tmp_path):
    """From kept weights and from none: an export computes what was scored."""
    run, store = finished
    rows = run.setup.data.splits["test"]
    for again in (run, trial(store), trial(tmp_path / "empty")):
        for point in run.record().points:
            expected = run.learner.predict(rows, point.knobs, phase="test")
            graph = TrainedModel(again).graph(point)
            found = graph.logits(rows, TrainedModel(again).tokeniser())
            assert found.shape == expected.shape and graph.classes == expected.shape[1]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
            cold = graph.with_temperature(2.0).logits(rows, TrainedModel(again).tokeniser())
            np.testing.assert_allclose(cold, expected / 2, rtol=1e-4, atol=1e-4)
    for a, b in zip(logits(run), logits(again), strict=True):
        assert np.array_equal(a, b), "taking the graph moved the learner"


@every_case
def test_what_is_restored_can_be_saved_again(finished, trial):
    run, store = finished
    expected = logits(run)
    again = trial(store)
    again.restore_weights()
    third = trial(store)
    third.learner = third.setup.learner(third.ledger)
    third.learner.restore(again.learner.state())
    for a, b in zip(expected, logits(third), strict=True):
        assert np.array_equal(a, b)


@every_case
def test_the_points_say_their_costs(finished):
    run, _ = finished
    for point in run.record().points:
        assert point.params >= point.params_trained and point.bytes > 0
        if not run.setup.method.labelled:
            assert not point.scores and point.params_trained == 0
            continue
        assert point.params_trained > 0
        assert set(point.scores) == {"validation"} and point.rows == {"validation": 30}
        assert run.setup.data.task.score in point.scores["validation"]


@every_method
def test_the_search_space_names_real_knobs(method):
    described = methods.get(method)
    space = method_spaces()[method]
    known = {f.name for f in dataclasses.fields(described.knobs)}
    assert set(space.knobs) <= known and set(space.knobs) == set(space.default_config)
    assert described.knobs.__dataclass_params__.frozen
    knobs = parse_knobs(described, space.default_config)
    assert {k: getattr(knobs, k) for k in space.default_config} == dict(space.default_config)
    assert described.horizon(knobs, 32) >= 0


@every_method
def test_every_option_of_a_knob_is_accepted(method, worlds):
    """Each end or option of each knob makes a configuration with an id and a price of its own."""
    described, space = methods.get(method), method_spaces()[method]
    rung = RUNGS[described.families[0]][-1]
    first = tiny.configure(worlds["two"], method, rung)
    for knob, domain in space.knobs.items():
        top = domain.high - 1 if domain.kind.endswith("randint") else domain.high
        for value in domain.options or (type(space.default_config[knob])(domain.low), top):
            hyper = {**space.default_config, knob: value}
            config = tiny.configure(worlds["two"], method, rung, **{knob: value})
            # what the task cannot tell apart (more texts than there are) is one computation
            made = [parse_knobs(described, h) for h in (hyper, space.default_config)]
            task, left = worlds["two"].data.task, worlds["two"]._texts(32)
            # a stage writes texts, however many the task has
            written = set(config.upstream) & set(described.inputs_of(made[0], "texts"))
            texts = [described.unlabelled(k) if written else left for k in made]
            one, other = (
                described.resolve_knobs(k, task, n) for k, n in zip(made, texts, strict=True)
            )
            assert (config.id == first.id) == (one == other)
            assert worlds["two"].predicted_cost(config).flops > 0


@every_method
def test_the_description_is_whole(method):
    described = methods.get(method)
    assert described.name == method
    assert described.tldr and "\n" not in described.tldr and described.source
    assert set(described.families) <= set(RUNGS) and described.behaviour >= 1
    module = __import__(f"raysearch.methods.{method}", fromlist=["METHOD"])
    assert described is module.METHOD
    for field in dataclasses.fields(described.knobs):
        assert field.default is not dataclasses.MISSING, f"{field.name} has no default"


def test_the_rungs_of_these_tests_are_what_they_say():
    for names in RUNGS.values():
        for name in names:
            assert find_rung(name).family in RUNGS
