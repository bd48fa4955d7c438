"""The sentences after a search, and the same facts as JSON."""

import json
import math
from dataclasses import replace

import pytest

from raysearch.analysis import frontier, summary, to_table, verdict
from raysearch.analysis.verdict import difference, interval, labels_bought
from raysearch.plan.config import DataBudget
from raysearch.record import TrialRecord
from tests.synthetic import TEACHER, records

METHODS = ("ngram_linear", "embed_linear", "finetune", "distill", "early_exit")
MADE = records(120, methods=METHODS)
TABLE = to_table(MADE)
STUDY = {"reference": {"score": 0.509}}


def trial(
    number: int, validation: float, test: float | None, infer: float, labels: int = 100
) -> TrialRecord:
    record = next(r for r in MADE if r.config.method == "finetune" and r.status == "DONE")
    config = replace(
        record.config,
        init_seed=9000 + number,
        data=DataBudget(train=labels, validation=labels),
    )
    scores = {"validation": {"accuracy": validation}}
    rows = {"validation": labels}
    if test is not None:
        scores["test"] = {"accuracy": test}
        rows["test"] = 872
    point = replace(
        record.points[0], point_id=f"p{number}", scores=scores, rows=rows, infer_flops=infer
    )
    return replace(record, id=config.id, config=config, points=(point,), labels_used=2 * labels)


def test_best_cheaper_tie_and_cost_are_said() -> None:
    made = [
        trial(0, 0.90, 0.88, 1e9),
        trial(1, 0.85, 0.87, 1e6),
        trial(2, 0.70, 0.60, 1e3),
        trial(3, 0.80, 0.87, 1e2, labels=200),  # as good, but dearer in labels
    ]
    lines = verdict(to_table(made), STUDY)
    text = "\n".join(lines)
    assert lines[0].startswith("Not confirmed yet")
    assert "0.900 on validation (100 rows), which chose it; 0.880 [" in text
    assert "on test (872 rows)" in text
    assert "Cheaper and not distinguishable" in text and "0.010 lower on test" in text
    assert "each text 1,000x cheaper" in text and "one draw, unpaired" in text
    assert "Search cost" in lines[-1] and "pretraining of public checkpoints" in lines[-1]
    assert all(line and "\n" not in line for line in lines)


def test_a_tie_that_did_better_on_test_reads_as_higher() -> None:
    text = "\n".join(verdict(to_table([trial(0, 0.9, 0.86, 1e9), trial(1, 0.8, 0.88, 1e6)]), {}))
    assert "0.020 higher on test [-0.0" in text


def test_no_tie_when_the_gap_is_wide_or_the_test_is_missing() -> None:
    wide = verdict(to_table([trial(0, 0.9, 0.9, 1e9), trial(1, 0.6, 0.6, 1e6)]), {})
    assert any(line.startswith("No cheaper point") for line in wide)
    hidden = verdict(to_table([trial(0, 0.9, None, 1e9), trial(1, 0.6, 0.6, 1e6)]), {})
    assert any("not shown on test yet" in line for line in hidden)
    assert any("before test is scored" in line for line in hidden)


def test_no_better_than_the_majority_is_said() -> None:
    text = "\n".join(verdict(to_table([trial(0, 0.6, 0.52, 1e9)]), STUDY))
    assert "Not distinguishable from the majority class (0.509)" in text


def test_statuses_and_absent_costs_are_counted() -> None:
    lost = sum(r.status != "DONE" for r in MADE)
    text = "\n".join(verdict(TABLE, STUDY))
    assert f"{lost} of 120 trials did not end as DONE (FAILED" in text
    bare = [replace(r, points=tuple(replace(p, infer_flops=None) for p in r.points)) for r in MADE]
    text = "\n".join(verdict(to_table(bare), STUDY))
    assert "points without infer_flops left out" in text and "Best on validation" in text


def test_confirming_draws_are_said_to_be_left_aside() -> None:
    more = verdict(to_table(records(60, confirm=2)), STUDY)
    assert "confirming draws are not in these figures" in more[0]
    assert more[1:3] == verdict(to_table(records(60)), STUDY)[1:3]


@pytest.mark.parametrize("status", [None, "FAILED"])
def test_nothing_to_choose_from_is_said(status: str | None) -> None:
    made = [] if status is None else [replace(r, status=status, points=()) for r in MADE[:4]]
    lines = verdict(to_table(made), {})
    assert lines[0].startswith("No trial ended with a validation score")
    assert lines[-1].startswith("Search cost")
    out = summary(to_table(made))
    assert out["frontier"] == [] and out["trials"] == ({status: 4} if status else {})


def test_negative_correlations_get_an_interval() -> None:
    text = "\n".join(verdict(to_table(records(60, score="pearson")), {}))
    assert "pearson" in text
    low, high = interval(-0.3, 100, "pearson")
    assert -1 < low < -0.3 < high < 0


def test_summary_is_plain_json_without_unmeasured_costs() -> None:
    out = summary(TABLE)
    text = json.dumps(out, allow_nan=False)
    assert json.loads(text) == out
    members = frontier(TABLE).members
    assert [f["point_id"] for f in out["frontier"]] == list(members["point_id"])
    first = out["frontier"][0]
    assert set(first) == {
        "id", "point_id", "method", "model", "labels", "hyper", "point", "scores", "costs",
    }  # fmt: skip
    assert "tokenise_ms" not in first["costs"] and "score" not in first["costs"]
    assert first["costs"]["infer_flops"] == members["infer_flops"].iloc[0]
    assert sum(out["trials"].values()) == 120
    assert out["spent"]["flops"] > 0 and out["spent"]["seconds"] > 0
    three = summary(TABLE, ("score", "train_flops_full", "infer_flops"))
    assert len(three["frontier"]) >= len(out["frontier"])


def test_labels_are_bought_once_a_seed() -> None:
    def budget(number: int, n: int, v: int, seed: int) -> TrialRecord:
        old = trial(number, 0.8, None, 1.0)
        config = replace(old.config, data=DataBudget(n, v, seed=seed))
        return replace(old, id=config.id, config=config)

    nested = [budget(0, 32, 32, 0), budget(1, 100, 50, 0), budget(2, 100, 50, 0)]
    assert labels_bought(to_table(nested)) == 150
    assert labels_bought(to_table([*nested, budget(3, 32, 32, 1)])) == 150 + 64
    none = [replace(budget(4, 999, 99, 7), status="INFEASIBLE", points=())]
    assert labels_bought(to_table([*nested, *none])) == 150
    fresh = [replace(budget(5, 999, 99, 8), phase="confirm")]
    assert labels_bought(to_table([*nested, *fresh])) == 150
    student = next(r for r in MADE if r.config.method == "distill" and r.config.data.seed == 0)
    own = student.config.data
    teacher = TEACHER.data
    assert labels_bought(to_table([student])) == max(own.train, teacher.train) + max(
        own.validation, teacher.validation
    )


def test_intervals_hold_the_score_and_shrink_with_rows() -> None:
    for p in (0.0, 0.5, 0.93, 1.0):
        small, large = interval(p, 50), interval(p, 5000)
        assert 0 <= small[0] <= p <= small[1] <= 1
        assert large[1] - large[0] < small[1] - small[0]
    low, high = difference(0.8, 100, 0.8, 100)
    assert low == pytest.approx(-high) and math.isfinite(low)
    with pytest.raises(ValueError, match="1 row"):
        interval(0.5, 0)
