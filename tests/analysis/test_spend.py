"""What the search cost, every FLOP once, and the curves against it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from raysearch.analysis import (
    best_over_spend,
    frontier,
    hypervolume_over_spend,
    reference_point,
    search_flops,
    to_table,
    unbilled,
)
from raysearch.errors import InputError
from raysearch.ledger import TRAINING, Charge
from raysearch.objectives import View, train_flops
from raysearch.record import OperatingPoint
from tests.support.synthetic import TEACHER, TEACHER_BILL, records

METHODS = ("ngram_linear", "embed_linear", "finetune", "distill", "early_exit")
MADE = records(120, methods=METHODS)
TABLE = to_table(MADE)
THREE = ("score", "train_flops_full", "infer_flops")
STUDY = {"reference": {"score": 0.509, "train_flops_full": 1e15, "infer_flops": 1e10}}
TEACHER_FLOPS = sum(c.flops for c in TEACHER_BILL)


def own(method: str | None = None) -> float:
    return sum(
        train_flops(View(r, OperatingPoint("", 0))) or 0.0
        for r in MADE
        if method in (None, r.config.method)
    )


def test_every_trial_once_and_the_teacher_once_under_its_method() -> None:
    spent = search_flops(TABLE)
    assert set(spent) == set(METHODS)
    assert {r.status for r in MADE} >= {"FAILED", "STOPPED"}
    for method in METHODS:
        teacher = TEACHER_FLOPS if method == "finetune" else 0
        assert spent[method] == pytest.approx(own(method) + teacher)


def test_a_teacher_that_is_a_trial_pays_for_itself() -> None:
    teacher = replace(
        MADE[0], id=TEACHER.id, config=TEACHER, status="DONE", points=(), bill=TEACHER_BILL
    )
    for order in ([teacher, *MADE], [*MADE, teacher]):
        table = to_table(order)
        assert sum(search_flops(table).values()) == pytest.approx(own() + TEACHER_FLOPS)
        curve = best_over_spend(table)
        last = curve[curve["method"] == "all"]["spend"].iloc[-1]
        assert last == pytest.approx(own() + TEACHER_FLOPS)


def test_answers_to_one_set_of_texts_are_paid_once_and_another_set_again() -> None:
    """Labelling happens in a student's trial, and the teacher's own bill does not hold it."""
    teacher = replace(
        MADE[0], id=TEACHER.id, config=TEACHER, status="DONE", points=(), bill=TEACHER_BILL
    )
    student = next(r for r in MADE if r.config.method == "distill" and r.status == "DONE")
    own_ = [c for c in student.bill if c.payer == "own"]

    def taught(name: str, labelling: int):
        label = Charge("label", TEACHER.id, labelling)
        given = [replace(c, payer=TEACHER.id) for c in TEACHER_BILL if c.phase != "label"]
        return replace(student, id=name, bill=(*own_, *given, label))

    alone = search_flops(to_table([teacher, replace(student, bill=tuple(own_))]))
    one = float(sum(alone.values()))
    twice = float(alone["distill"])
    for sets, labelling in (((7, 7), 7), ((7, 9), 16)):
        made = to_table([teacher, *(taught(f"s{i}", n) for i, n in enumerate(sets))])
        assert sum(search_flops(made).values()) == pytest.approx(one + twice + labelling, abs=0.5)
        curve = best_over_spend(made)
        last = curve[curve["method"] == "all"]["spend"].iloc[-1]
        assert last == pytest.approx(one + twice + labelling, abs=0.5)


def test_test_scoring_and_confirming_are_no_search() -> None:
    assert "test" not in TRAINING
    more = to_table(records(120, methods=METHODS, confirm=2))
    assert (more["phase"] == "confirm").any()
    assert search_flops(more) == search_flops(TABLE)
    pd.testing.assert_frame_equal(best_over_spend(more), best_over_spend(TABLE))


def test_curves_never_fall_and_end_at_the_frontier() -> None:
    before = TABLE.copy(deep=True)
    ref = reference_point(TABLE, THREE, STUDY)
    curve = hypervolume_over_spend(TABLE, THREE, ref)
    assert list(curve.columns) == ["spend", "hypervolume", "method"]
    assert set(curve["method"]) == {"all", *METHODS}
    for _, part in curve.groupby("method"):
        assert part["spend"].is_monotonic_increasing
        assert part["hypervolume"].is_monotonic_increasing
    whole = curve[curve["method"] == "all"]
    assert len(whole) == TABLE["id"].nunique()
    front = frontier(TABLE, THREE).members
    short = hypervolume_over_spend(front, THREE, ref, by_method=False)
    assert whole["hypervolume"].iloc[-1] == pytest.approx(short["hypervolume"].iloc[-1])
    assert whole["spend"].iloc[-1] == pytest.approx(sum(search_flops(TABLE).values()))
    pd.testing.assert_frame_equal(TABLE, before)


def test_a_stopped_trial_spends_and_finds_nothing() -> None:
    record = next(r for r in MADE if r.status == "DONE")
    best = replace(record.points[0], scores={"validation": {"accuracy": 1.0}})
    table = to_table([replace(record, status="STOPPED", points=(best,))])
    assert best_over_spend(table)["score"].isna().all()
    assert best_over_spend(table)["spend"].gt(0).all()
    volume = hypervolume_over_spend(table, ("score", "infer_flops"), (0.5, 1e10))
    assert volume["hypervolume"].eq(0).all()


def test_a_teacher_s_test_scoring_is_not_inherited() -> None:
    student = next(r for r in MADE if r.config.method == "distill" and r.status == "DONE")
    more = replace(student, bill=(*student.bill, Charge("test", TEACHER.id, 10**15)))
    assert search_flops(to_table([more])) == search_flops(to_table([student]))


def test_a_student_s_curve_pays_the_teacher_once() -> None:
    curve = best_over_spend(TABLE)
    last = curve[curve["method"] == "distill"]["spend"].iloc[-1]
    assert last == pytest.approx(own("distill") + TEACHER_FLOPS)


def test_the_best_so_far_is_the_best_so_far() -> None:
    curve = best_over_spend(TABLE, by_method=False)
    done = TABLE[TABLE["status"] == "DONE"]
    assert curve["score"].iloc[-1] == done["score"].max()
    assert (np.diff(curve["score"].dropna()) >= 0).all()
    failed = to_table([r for r in MADE if r.status == "FAILED"])
    assert best_over_spend(failed)["score"].isna().all()
    assert (best_over_spend(failed)["spend"] > 0).all()


def test_plain_and_log_volumes_by_hand() -> None:
    """One point 0.4 above the reference; costs 9 of 99 make one decade of log10(1 + cost)."""
    record = next(r for r in MADE if r.status == "DONE")
    point = replace(record.points[0], scores={"validation": {"accuracy": 0.9}}, infer_flops=9.0)
    table = to_table([replace(record, points=(point,))])
    names = ("score", "infer_flops")
    log = hypervolume_over_spend(table, names, [0.5, 99.0], by_method=False)
    plain = hypervolume_over_spend(table, names, [0.5, 99.0], by_method=False, log_costs=False)
    assert log["hypervolume"].tolist() == pytest.approx([0.4])
    assert plain["hypervolume"].tolist() == pytest.approx([0.4 * 90])
    with pytest.raises(InputError, match="2 objectives"):
        hypervolume_over_spend(table, names, [0.5])


def test_reference_is_predicted_or_said_to_be_observed() -> None:
    written = reference_point(TABLE, THREE, STUDY)
    assert written.values == (0.509, 1e15, 1e10) and written.predicted
    assert "predicted before the first trial" in written.caption
    observed = reference_point(TABLE, THREE, {})
    assert not observed.predicted and "worst observed" in observed.caption
    assert observed.values[0] == TABLE["score"].min()
    assert observed.values[2] == TABLE["infer_flops"].max()
    mixed = reference_point(TABLE, ("score", "params"), STUDY)
    assert not mixed.predicted and "but params the worst observed" in mixed.caption


def test_an_empty_table_has_empty_curves() -> None:
    table = to_table([])
    ref = reference_point(table, THREE)
    assert ref.values == (0.0, 0.0, 0.0)
    assert len(hypervolume_over_spend(table, THREE, ref)) == 0
    assert len(best_over_spend(table)) == 0
    assert search_flops(table) == {}


def test_a_killed_trial_without_a_bill_is_unknown_not_free() -> None:
    killed = [replace(r, status="FAILED", points=(), bill=()) for r in MADE[:3]]
    refused = [replace(r, status="INFEASIBLE", points=(), bill=()) for r in MADE[3:5]]
    table = to_table([*killed, *refused, *MADE[5:]])
    first = table.drop_duplicates("id").set_index("id")
    assert first.loc[[r.id for r in killed], "train_flops"].isna().all()
    assert first.loc[[r.id for r in refused], "train_flops"].eq(0).all(), "it did nothing"
    assert unbilled(table) == 3 + unbilled(to_table(MADE[5:]))
    assert np.isfinite(sum(search_flops(table).values()))
