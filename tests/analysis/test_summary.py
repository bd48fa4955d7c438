"""What a search found as JSON, and intervals by formula."""

import json
import math
from dataclasses import replace

import pytest

from raysearch.analysis import frontier, summary, to_table
from raysearch.analysis.intervals import difference, interval
from raysearch.analysis.summary import labels_bought
from raysearch.config.trial import DataBudget
from raysearch.record import TrialRecord
from raysearch.score_intervals import SHARE
from tests.support.synthetic import TEACHER, records

METHODS = ("ngram_linear", "embed_linear", "finetune", "distill", "early_exit")
MADE = records(120, methods=METHODS)
TABLE = to_table(MADE)


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


@pytest.mark.parametrize("status", [None, "FAILED"])
def test_nothing_to_choose_from_is_an_empty_summary(status: str | None) -> None:
    made = [] if status is None else [replace(r, status=status, points=()) for r in MADE[:4]]
    out = summary(to_table(made))
    assert out["frontier"] == [] and out["trials"] == ({status: 4} if status else {})


def test_negative_correlations_get_an_interval() -> None:
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
    low, high = difference(0.8, 100, 0.8, 100, SHARE)
    assert low == pytest.approx(-high) and math.isfinite(low)
    with pytest.raises(ValueError, match="1 row"):
        interval(0.5, 0)
