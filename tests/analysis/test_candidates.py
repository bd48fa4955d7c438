"""Which confirmed points are timed: of a long curve some, and what something hangs on."""

from __future__ import annotations

from raysearch.analysis.candidates import to_measure
from raysearch.analysis.table import to_table
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.record import OperatingPoint, TrialRecord


def record(method: str, costs: list[float], scores: list[float]) -> TrialRecord:
    config = TrialConfig("t", "s", method, "minilm-6", DataBudget(100, 100))
    points = [
        OperatingPoint(
            f"{method}{i}",
            9,
            {"threshold": i} if len(costs) > 1 else {},
            {"validation": {"accuracy": score}},
            {"validation": 100},
            cost,
            exits=[1.0] if len(costs) > 1 else [],
        )
        for i, (cost, score) in enumerate(zip(costs, scores, strict=True))
    ]
    return TrialRecord(config.id, config, "DONE", points=tuple(points), score="accuracy")


def test_a_long_curve_is_timed_at_both_ends_between_and_where_a_choice_hangs() -> None:
    costs = [100.0 - i for i in range(40)]
    scores = [0.7] * 40
    scores[13] = 0.9  # the best of its cell
    table = to_table([record("early_exit", costs, scores), record("finetune", [50.0], [0.6])])
    ids = set(table["point_id"].astype(str))
    timed = to_measure(table, ids)
    assert {"early_exit0", "early_exit39", "early_exit13", "finetune0"} <= timed <= ids
    assert len([p for p in timed if p.startswith("early_exit")]) <= 8 + 2
    along = sorted(int(p.removeprefix("early_exit")) for p in timed if p.startswith("early"))
    assert max(b - a for a, b in zip(along, along[1:], strict=False)) <= 6


def test_what_is_not_confirmed_is_not_timed() -> None:
    table = to_table([record("early_exit", [3.0, 2.0, 1.0], [0.7, 0.8, 0.6])])
    assert to_measure(table, {"early_exit0"}) == {"early_exit0"}
    assert to_measure(table, set()) == set()


def test_few_points_are_all_timed() -> None:
    table = to_table([record("early_exit", [3.0, 2.0, 1.0], [0.7, 0.8, 0.6])])
    assert to_measure(table, set(table["point_id"])) == set(table["point_id"])
