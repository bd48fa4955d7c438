"""When texts leave: the rule, the grid of thresholds, and what may be asked for."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from raysearch.errors import InputError
from raysearch.outputs import exit_rules, stored
from raysearch.outputs.exit_rules import Exits

RNG = np.random.default_rng(0)
Z = RNG.normal(0, 2, (200, 5, 3)).astype(np.float32)


def thresholds(criterion: str) -> list[float]:
    known = {k["threshold"] for k in exit_rules.grid(3, 5) if k["criterion"] == criterion}
    return sorted(float(t) for t in known - {exit_rules.NEVER}) + [math.inf]


@pytest.mark.parametrize("criterion", exit_rules.CRITERIA)
def test_a_higher_threshold_never_lets_a_text_leave_earlier(criterion):
    found = [exit_rules.exit_index(Z, criterion, t) for t in thresholds(criterion)]
    for low, high in zip(found, found[1:], strict=False):
        assert (high >= low).all()
    assert len({tuple(f) for f in found}) > 2


@pytest.mark.parametrize("criterion", exit_rules.CRITERIA)
def test_the_ends_are_the_first_and_the_last_exit(criterion):
    assert (exit_rules.exit_index(Z, criterion, 0.0) == 0).all()
    for never in (exit_rules.NEVER, math.inf):
        assert (exit_rules.exit_index(Z, criterion, never) == 4).all()


def test_a_guess_is_enough_at_one_over_the_classes():
    tied = np.zeros((7, 4, 3), np.float32)  # float32: 3 * (1 / 3) may fall short of 1
    assert (exit_rules.exit_index(tied, "confidence", 1 / 3) == 0).all()
    assert (exit_rules.exit_index(tied, "confidence", 0.34) == 3).all()


def test_a_certain_softmax_is_not_never():
    """A gap of 40 is a probability of exactly 1.0: a threshold of 1 leaves, `never` does not."""
    sure = np.zeros((3, 2, 2), np.float32)
    sure[:, :, 0] = 40
    assert (exit_rules.exit_index(sure, "confidence", 1.0) == 0).all()
    assert (exit_rules.exit_index(sure, "confidence", "never") == 1).all()


def test_patience_counts_agreements_in_a_row():
    answers = [0, 1, 1, 1, 0]
    z = np.eye(2, dtype=np.float32)[answers][None] * 3
    assert exit_rules.signal(z, "patience").tolist() == [[0, 0, 1, 2, 0]]
    assert exit_rules.exit_index(z, "patience", 1).tolist() == [2]
    assert exit_rules.exit_index(z, "patience", 2).tolist() == [3]
    assert exit_rules.exit_index(z, "patience", 3).tolist() == [4]


def test_entropy_and_confidence_agree_in_order_for_two_classes():
    two = Z[:, :, :2]
    confidence, entropy = (exit_rules.signal(two, c) for c in ("confidence", "entropy"))
    order = np.argsort(confidence, axis=None)
    assert (np.diff(entropy.ravel()[order]) >= -1e-12).all()


def test_a_temperature_keeps_every_exits_answer():
    cold = Exits(Z, np.array([0.3, 1.0, 2.0, 5.0, 0.7]))
    assert (cold.calibrated.argmax(axis=2) == Z.argmax(axis=2)).all()


def test_answers_are_those_of_the_exit_and_shares_sum_to_one():
    exits = Exits(Z, np.linspace(0.5, 2, 5))
    for knobs in exit_rules.grid(3, 5):
        at = exit_rules.exits_for(exits, knobs)
        found = exit_rules.answers(exits, knobs)
        for i in (0, 17, 199):
            assert np.array_equal(found[i], exits.calibrated[i, at[i]])
        assert sum(exit_rules.shares(at, 5)) == pytest.approx(1)


def test_the_grid_begins_with_the_whole_model_and_names_no_threshold_twice():
    for classes, exits in ((2, 2), (3, 6), (14, 24)):
        found = exit_rules.grid(classes, exits)
        assert found[0] == {"criterion": "confidence", "threshold": "never"}
        texts = [json.dumps(k, sort_keys=True) for k in found]
        assert len(texts) == len(set(texts))
        for knobs in found:
            criterion = str(knobs["criterion"])
            assert exit_rules.threshold_of(knobs["threshold"], criterion) == knobs["threshold"]


def test_points_of_one_cost_are_one_point():
    costs = [100.0, 99.5, 90.0, 89.5, 50.0, 89.9, 50.2]
    criteria = ["confidence"] * 5 + ["entropy"] * 2
    assert exit_rules.prune_close_points(costs, criteria, 100.0) == [0, 2, 4, 5, 6]


@pytest.mark.parametrize(
    ("text", "criterion", "message"),
    [
        ("1.2", "confidence", "from 0 to 1"),
        ("-0.1", "entropy", "from 0 to 1"),
        ("nan", "confidence", "from 0 to 1"),
        ("high", "confidence", "threshold 'high'"),
        ("1.5", "patience", "whole number"),
        ("-1", "patience", "whole number"),
        ("0.5", "confidense", "Did you mean 'confidence'"),
    ],
)
def test_a_threshold_that_is_none_is_one_line(text, criterion, message):
    with pytest.raises(InputError, match=message) as e:
        exit_rules.threshold_of(text, criterion)
    assert "\n" not in str(e.value)


def test_thresholds_as_people_write_them():
    assert exit_rules.threshold_of("inf") == exit_rules.threshold_of(" Never ") == "never"
    assert exit_rules.threshold_of("0.9") == 0.9 and exit_rules.threshold_of("2", "patience") == 2


@pytest.mark.parametrize(
    ("exits", "message"),
    [
        ("2,9", "layer 9 is not one of the model's 6"),
        ("0,2", "layer 0 is not"),
        ("6", "one exit, two are the fewest"),
        ("some", "must be all, half, or layers"),
        ("1.5", "must be all, half"),
    ],
)
def test_exits_that_cannot_be_are_one_line(exits, message):
    with pytest.raises(InputError, match=message) as e:
        exit_rules.exits_of(exits, 6)
    assert "\n" not in str(e.value)
    with pytest.raises(InputError, match="one exit"):
        exit_rules.exits_of("all", 1)


def test_logits_of_a_point_are_read_off_what_every_exit_says(tmp_path):
    exits = Exits(Z, np.linspace(0.5, 2, 5))
    knobs = {"criterion": "entropy", "threshold": 0.4}
    home, entry = tmp_path / "exits" / "ab-test", tmp_path / "logits" / "cd-test"
    for folder in (home, entry):
        folder.mkdir(parents=True)
    stored.write_raw(home, exits, np.arange(200), np.zeros(200, np.int64))
    (home / "manifest.json").write_text("{}")
    (entry / "manifest.json").write_text(json.dumps({"exits": "ab-test", "knobs": knobs}))
    logits, ids, labels = stored.read_logits(entry)
    assert np.array_equal(logits, exit_rules.answers(exits, knobs))
    assert len(ids) == len(labels) == 200
    (entry / "manifest.json").write_text(json.dumps({"exits": "../../x", "knobs": knobs}))
    with pytest.raises(ValueError, match="cannot name an entry"):
        stored.read_logits(entry)


def test_the_grid_is_what_runs_on_disk_were_confirmed_by():
    """A draw finds its points by these numbers: who changes one raises the method's behaviour."""
    grid = exit_rules.grid(2, 6)
    by = {c: [k["threshold"] for k in grid if k["criterion"] == c] for c in exit_rules.CRITERIA}
    near = [0.99995, 0.99991, 0.99984, 0.99972, 0.9995, 0.99911, 0.99842, 0.99719, 0.995]
    near += [0.99111, 0.98419, 0.97188]
    far = [0.91667, 0.875, 0.83333, 0.79167, 0.75, 0.70833, 0.66667, 0.625, 0.58333, 0.54167]
    assert by["confidence"] == ["never", *near, *far, 0.0]
    assert by["entropy"] == [
        *(0.99982, 0.99944, 0.99822, 0.99438, 0.98222, 0.94377),
        *(0.75, 0.58333, 0.41667, 0.25, 0.08333),
    ]
    assert by["patience"] == [4, 3, 2, 1]


@pytest.mark.parametrize("exits", [2, 6])
def test_no_more_exits_can_agree_in_a_row_than_there_are(exits):
    assert exit_rules.threshold_of(exits - 1, "patience", exits) == exits - 1
    with pytest.raises(InputError, match=f"from 0 to {exits - 1} by patience"):
        exit_rules.threshold_of("999", "patience", exits)
    assert exit_rules.threshold_of("999", "patience") == 999


@pytest.mark.parametrize("facts", [{"exits": "ab-test"}, {"exits": "ab-test", "knobs": {}}])
def test_an_entry_without_its_knobs_is_not_whole(tmp_path, facts):
    home, entry = tmp_path / "exits" / "ab-test", tmp_path / "logits" / "cd-test"
    for folder in (home, entry):
        folder.mkdir(parents=True)
    stored.write_raw(home, Exits(Z, np.ones(5)), np.arange(200), np.zeros(200, np.int64))
    (home / "manifest.json").write_text("{}")
    (entry / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="no knobs of exits"):
        stored.read_logits(entry)
