"""The ledger: charges add up by phase and payer, and nothing is taken back."""

from __future__ import annotations

import json
import time
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.ledger import OWN, PHASES, TRAINING, Charge, Ledger

AMOUNTS = ("flops", "seconds", "texts", "tokens", "labels")
whole = st.integers(0, 10**18)
charges = st.lists(
    st.fixed_dictionaries(
        {"phase": st.sampled_from(PHASES), "payer": st.sampled_from([OWN, "t1", "t2"])},
        optional={
            "flops": whole,
            "seconds": st.integers(0, 10**6).map(float),
            "texts": whole,
            "tokens": whole,
            "labels": whole,
        },
    ),
    max_size=12,
)


def filled(rows):
    book = Ledger()
    for row in rows:
        book.charge(**row)
    return book


@settings(max_examples=80, deadline=None)
@given(charges)
def test_charges_add_up_to_the_digit(rows):
    sums = defaultdict(lambda: dict.fromkeys(AMOUNTS, 0))
    for row in rows:
        for name in AMOUNTS:
            sums[row["phase"], row["payer"]][name] += row.get(name, 0)
    book = filled(rows)
    assert {(c.phase, c.payer): {a: getattr(c, a) for a in AMOUNTS} for c in book.bill()} == sums
    assert book.flops() == sum(s["flops"] for s in sums.values())
    for phase in PHASES:
        for payer in (OWN, "t1"):
            assert book.flops(phase, payer=payer) == sums[phase, payer]["flops"]
    assert book.flops(*TRAINING) == sum(s["flops"] for k, s in sums.items() if k[0] in TRAINING)


@settings(max_examples=80, deadline=None)
@given(charges, charges)
def test_a_bill_travels_as_json(rows, other):
    book = filled(rows)
    text = json.dumps(book.to_json(), allow_nan=False)
    assert Ledger.from_json(json.loads(text)).bill() == book.bill()
    again = filled(other)
    again.restore(json.loads(text))
    assert again.bill() == book.bill()
    again.charge("train", flops=1)
    assert again.flops() == book.flops() + 1, "a restored ledger is a book of its own"


@settings(max_examples=60, deadline=None)
@given(charges, charges)
def test_an_inherited_bill_keeps_its_sums_and_names_its_payer(own, teacher):
    given_up, book = filled(teacher), filled(own)
    before = given_up.bill()
    book.inherit(given_up.bill(), "T")
    assert given_up.bill() == before
    assert book.flops() == filled(own).flops() + given_up.flops()
    assert book.flops(payer=OWN) == filled(own).flops(payer=OWN)
    assert book.flops(payer="T") == given_up.flops(payer=OWN)
    for who in ("t1", "t2"):
        both = filled(own).flops(payer=who) + given_up.flops(payer=who)
        assert book.flops(payer=who) == both, "a teacher's teacher keeps its name"


def test_the_bill_stands_in_the_order_of_the_phases():
    book = filled([{"phase": p, "payer": w, "flops": 1} for p in reversed(PHASES) for w in "ba"])
    assert [c.phase for c in book.bill()] == [p for p in PHASES for _ in "ab"]
    assert [c.payer for c in book.bill()] == ["a", "b"] * len(PHASES)


def test_training_leaves_out_test_and_measuring_alone():
    assert set(PHASES) - set(TRAINING) == {"test", "measure"}
    assert [p for p in PHASES if p in TRAINING] == list(TRAINING)


@pytest.mark.parametrize("phase", ["training", "", "Train", "own"])
def test_an_unknown_phase_is_refused_with_the_known_ones(phase):
    book = Ledger()
    with pytest.raises(ValueError, match=f"no phase '{phase}'. Known: adapt, generate") as e:
        book.charge(phase, flops=1)
    assert "\n" not in str(e.value) and book.bill() == []


@pytest.mark.parametrize("name", AMOUNTS)
def test_nothing_is_taken_back(name):
    book = filled([{"phase": "train", "flops": 5}])
    with pytest.raises(ValueError, match="cannot be negative"):
        book.charge("train", **{"flops": 7, name: -1})
    assert book.bill() == [Charge("train", OWN, flops=5)], "a refused charge leaves nothing behind"


def test_a_bill_cannot_be_changed():
    book = filled([{"phase": "train", "flops": 5}])
    book.bill().clear()
    book.to_json()[0]["flops"] = 0
    with pytest.raises(AttributeError):
        book.bill()[0].flops = 0
    assert book.flops() == 5


def test_flops_beyond_a_double_are_exact():
    book = filled([{"phase": "train", "flops": 2**60 + 1}, {"phase": "train", "flops": 2**60 + 2}])
    assert book.flops("train") == 2**61 + 3
    assert Ledger.from_json(json.loads(json.dumps(book.to_json()))).flops() == 2**61 + 3


def test_nothing_charged_is_an_empty_bill():
    assert Ledger().bill() == [] == Ledger().to_json() and Ledger().flops() == 0


def test_zero_amounts_are_left_out_of_the_json():
    book = filled([{"phase": "label", "labels": 3}, {"phase": "train"}])
    assert book.to_json() == [
        {"phase": "label", "payer": OWN, "labels": 3},
        {"phase": "train", "payer": OWN},
    ]


def test_time_is_charged_also_when_the_work_breaks():
    book = Ledger()
    with pytest.raises(RuntimeError), book.timed("train"):
        time.sleep(0.02)
        raise RuntimeError
    with book.timed("train", "t1"):
        pass
    own, other = book.bill()
    assert 0.02 <= own.seconds < 2 and 0 <= other.seconds < own.seconds
    assert (own.flops, other.payer) == (0, "t1")


@pytest.mark.parametrize(
    "row", [{"phase": "trian"}, {"phase": "train", "flops": -1}, {"phase": "train", "joule": 1}]
)
def test_json_that_is_no_bill_is_refused(row):
    book = filled([{"phase": "train", "flops": 5}])
    with pytest.raises((TypeError, ValueError)):
        book.restore([row])
    assert book.flops() == 5
