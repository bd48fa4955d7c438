"""Objectives: every one has a unit, a direction and a sentence, and what is absent stays absent."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch import objectives
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.errors import InputError
from raysearch.ledger import OWN, PHASES, TRAINING, Charge, Ledger
from raysearch.objectives import OBJECTIVES, Objective, View, get, objective
from raysearch.record import OperatingPoint, TrialRecord

CONFIG = TrialConfig("pets", "d1", "finetune", "bert-tiny", DataBudget(32, 16))
BILL = (
    Charge("train", OWN, flops=100, seconds=7.0, labels=32),
    Charge("train", "T", flops=1000, seconds=40.0),
    Charge("validate", OWN, flops=10, seconds=2.0, labels=16),
    Charge("validate", "T", flops=60, seconds=1.0),
    Charge("test", OWN, flops=10**6, seconds=500.0),
    Charge("test", "T", flops=10**6, seconds=500.0),
    Charge("measure", OWN, flops=10**6, seconds=500.0),
)
POINT = OperatingPoint(
    "p1",
    3,
    scores={"validation": {"macro_f1": 0.5, "accuracy": 0.75}, "test": {"macro_f1": 0.25}},
    rows={"validation": 16},
    infer_flops=5e6,
    params=4000,
    params_trained=200,
    bytes=16000,
    measured={"latency_ms": 1.5, "tokenise_ms": 0.25, "throughput": 900.0, "peak_memory": 3e8},
)
RECORD = TrialRecord(
    CONFIG.id,
    CONFIG,
    "DONE",
    points=(POINT,),
    bill=BILL,
    labels_used=48,
    unlabelled_used=70,
    synthetic_used=9,
    score="macro_f1",
    made_by={"device": "cpu"},
)
PRICES = {"cpu_hour": 0.36, "gpu_hour": 3.6, "label": 0.5}
BARE = OperatingPoint("p0", 0)

each_objective = pytest.mark.parametrize("name", sorted(OBJECTIVES))


def value(name, record=RECORD, point=POINT, **more):
    return get(name).of(View(record, point, **more))


def test_the_study_and_the_pages_find_what_they_name():
    assert {"score", "train_flops", "train_flops_full", "train_flops_shared"} <= set(OBJECTIVES)
    assert {"infer_flops", "latency_ms", "params", "bytes", "labels", "dollars"} <= set(OBJECTIVES)


@each_objective
def test_every_objective_is_described(name):
    o = OBJECTIVES[name]
    assert isinstance(o, Objective) and o.name == name and get(name) is o
    assert o.tldr and o.tldr.endswith(".") and "\n" not in o.tldr
    assert o.unit == o.unit.strip() and (o.unit or name == "score"), "only a score has no unit"
    assert o.maximise is (name in {"score", "throughput"})


@each_objective
def test_every_objective_is_a_finite_number_where_all_is_known(name):
    found = value(name, prices=PRICES)
    assert isinstance(found, float) and math.isfinite(found) and found > 0


EXPECTED = {
    "score": 0.5,
    "train_flops": 110,
    "train_flops_full": 1170,
    "train_flops_shared": 110 + 1060 / 4,
    "infer_flops": 5e6,
    "params": 4000,
    "params_trained": 200,
    "bytes": 16000,
    "labels": 48,
    "unlabelled": 70,
    "synthetic": 9,
    "train_seconds": 50,
    "latency_ms": 1.5,
    "tokenise_ms": 0.25,
    "throughput": 900,
    "peak_memory": 3e8,
    "dollars": 50 / 3600 * 0.36 + 48 * 0.5,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_values_by_hand(name):
    assert value(name, shared_by=4, prices=PRICES) == pytest.approx(EXPECTED[name], rel=1e-12)


MEASURED = ("latency_ms", "tokenise_ms", "throughput", "peak_memory")
BUILT = ("infer_flops", "params", "params_trained", "bytes")


@pytest.mark.parametrize("name", ["score", *BUILT, *MEASURED])
def test_what_a_point_does_not_hold_is_absent(name):
    assert value(name, point=BARE) is None


@pytest.mark.parametrize("name", MEASURED)
def test_one_measurement_does_not_make_another(name):
    others = {k: v for k, v in POINT.measured.items() if k != name}
    assert value(name, point=replace(POINT, measured=others)) is None


def test_a_score_on_another_split_or_of_another_name_is_no_score():
    assert value("score", point=replace(POINT, scores={"test": {"macro_f1": 0.9}})) is None
    assert value("score", point=replace(POINT, scores={"validation": {"accuracy": 0.9}})) is None
    assert value("score", record=replace(RECORD, score="accuracy")) == 0.75


def test_seconds_that_nobody_took_are_absent():
    untimed = tuple(replace(c, seconds=0.0) for c in BILL if c.phase in TRAINING)
    assert value("train_seconds", record=replace(RECORD, bill=untimed)) is None
    assert value("dollars", record=replace(RECORD, bill=untimed), prices=PRICES) is None
    test_only = tuple(c for c in BILL if c.phase not in TRAINING)
    assert value("train_seconds", record=replace(RECORD, bill=test_only)) is None


@pytest.mark.parametrize(
    ("device", "prices", "dollars"),
    [
        ("cpu", {}, None),
        ("cpu", {"label": 0.5}, None),
        ("cpu", {"cpu_hour": 0.36}, None),
        ("cpu", {"gpu_hour": 3.6, "label": 0.5}, None),
        ("cuda", {"cpu_hour": 0.36, "label": 0.5}, None),
        ("cuda:0", PRICES, 50 / 3600 * 3.6 + 24),
        ("cpu", {"cpu_hour": 0.0, "label": 0.5}, 24.0),
    ],
)
def test_dollars_want_every_price_they_need(device, prices, dollars):
    record = replace(RECORD, made_by={"device": device})
    found = value("dollars", record=record, prices=prices)
    assert found is None if dollars is None else found == pytest.approx(dollars)


bills = st.lists(
    st.tuples(st.sampled_from(PHASES), st.sampled_from([OWN, "T", "G"]), st.integers(0, 10**15)),
    max_size=10,
)


@settings(max_examples=100, deadline=None)
@given(bills, st.integers(1, 50))
def test_own_full_and_shared_are_three_sums_of_one_bill(rows, k):
    book = Ledger()
    for phase, payer, flops in rows:
        book.charge(phase, payer=payer, flops=flops)
    record = replace(RECORD, bill=tuple(book.bill()))
    own = sum(f for phase, payer, f in rows if phase in TRAINING and payer == OWN)
    inherited = sum(f for phase, payer, f in rows if phase in TRAINING and payer != OWN)
    assert value("train_flops", record=record) == own
    assert value("train_flops_full", record=record) == own + inherited
    shared = value("train_flops_shared", record=record, shared_by=k)
    assert shared == pytest.approx(own + inherited / k)
    assert own <= shared <= own + inherited
    full = value("train_flops_full", record=record)
    assert value("train_flops_shared", record=record, shared_by=1) == full


def test_sharing_with_more_students_is_cheaper_and_never_below_the_own_cost():
    costs = [value("train_flops_shared", shared_by=k) for k in (1, 2, 8, 10**9)]
    assert costs == sorted(costs, reverse=True) and len(set(costs)) == 4
    assert costs[-1] == pytest.approx(value("train_flops"))
    assert {value("train_flops", shared_by=k) for k in (1, 8)} == {110.0}


def test_looking_changes_nothing():
    before = RECORD.to_json()
    for name in OBJECTIVES:
        value(name, prices=PRICES)
    assert RECORD.to_json() == before


@pytest.mark.parametrize(
    ("wrong", "near"), [("train_flop", "train_flops"), ("Latency_ms", "latency_ms")]
)
def test_an_unknown_objective_gets_the_nearest_name(wrong, near):
    with pytest.raises(InputError, match=f"no objective '{wrong}'. Did you mean '{near}'") as e:
        get(wrong)
    assert "\n" not in str(e.value) and all(name in str(e.value) for name in OBJECTIVES)


def test_nothing_near_is_no_guess():
    with pytest.raises(InputError) as e:
        get("zzzz")
    assert "Did you mean" not in str(e.value) and "Known: " in str(e.value)


def test_one_decorated_function_is_an_objective(monkeypatch):
    """The promise: to add an objective you write one function and nothing else."""
    monkeypatch.setattr(objectives, "OBJECTIVES", dict(OBJECTIVES))

    @objective("texts", maximise=True)
    def rows_seen(view):
        """Texts of the training phases.

        More words.
        """
        return float(sum(c.texts for c in view.record.bill)) or None

    found = get("rows_seen")
    assert (
        found.unit == "texts" and found.maximise and found.tldr == "Texts of the training phases."
    )
    assert found.of(View(RECORD, POINT)) is None
