"""Score against a cost: a pane a label budget, a pane a way to count training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from raysearch.analysis import Run, to_table
from raysearch.panels import accountings, cost_by_labels
from raysearch.panels.panes import half_decades
from tests.support.crossed import LABELS, MODELS, PROCEDURES, crossed


def test_each_pane_holds_its_budget_and_what_needs_no_labels(crossed_run: Run) -> None:
    info = cost_by_labels.info(crossed_run)
    assert [p.budget for p in info.panes] == list(LABELS)
    for pane in info.panes:
        assert {c.budget for c in pane.cells} == {0, pane.budget} and len(pane.cells) == 13
        on = [pane.cells[i] for i in pane.line]
        assert on and all(c.budget for c in on)
        cost = [c.costs["infer_flops"] for c in on]
        seen = [c.validation for c in on]
        assert cost == sorted(set(cost)) and seen == sorted({s for s in seen if s is not None})
        for c in pane.cells:  # nothing as cheap as a member is better on validation
            cheap = [m for m in on if m.costs["infer_flops"] <= c.costs["infer_flops"]]
            assert c.validation is None or max(m.validation or 0 for m in cheap) >= c.validation


def test_a_cost_that_was_not_measured_leaves_points_out_and_counts_them(crossed_run: Run) -> None:
    info = cost_by_labels.info(crossed_run, cost="latency_ms")
    assert info.panes == () and not cost_by_labels.draw(info).data
    assert "Points without latency_ms left out: 53." in info.caption
    assert "No finished point of this crossed_run has a score on test yet" not in info.caption


def test_panes_share_their_axes_and_their_legend(crossed_run: Run) -> None:
    figure = cost_by_labels.draw(cost_by_labels.info(crossed_run))
    axes = [figure.layout[f"xaxis{k or ''}"] for k in ("", 2, 3, 4, 5)]
    assert [a.matches for a in axes] == [None, "x", "x", "x", "x"]
    assert len([t for t in figure.data if t.showlegend is None]) == len(PROCEDURES)
    assert {t.line.shape for t in figure.data if t.mode == "lines"} == {"hv"}  # never a diagonal


def test_the_three_ways_share_their_points_and_move_the_distilled(crossed_run: Run) -> None:
    info = accountings.info(crossed_run)
    own, full, shared = info.panes
    assert len(info.cells) == 50 and len(info.free) == 3
    for c, a, b, s in zip(info.cells, own.x, full.x, shared.x, strict=True):
        assert s == pytest.approx(a + (b - a) / 8)
        assert (a < s < b) if "from" in c.procedure else (a == s == b)
    assert shared.title.startswith("shared by 8")
    figure = accountings.draw(info)
    ghosts = [t for t in figure.data if t.line.shape == "hv" and t.line.dash == "dot"]
    assert [(t.xaxis, t.x) for t in ghosts] == [
        (k, tuple(own.x[i] for i in own.line)) for k in ("x2", "x3")
    ]


def test_a_teachers_bill_takes_its_student_off_the_frontier(tmp_path: Path) -> None:
    def of(procedure: str, model: str, labels: int) -> float:
        if procedure == "finetune":
            return 0.94 if model == MODELS[-1] else 0.7
        return 0.86

    procedures = ("finetune", "distill from finetune")
    info = accountings.info(crossed(tmp_path, labels=(1000,), procedures=procedures, of=of))
    on = [{info.cells[i].procedure for i in pane.line} for pane in info.panes]
    assert on == [set(procedures), {"finetune"}, set(procedures)]


def test_what_nobody_shares_is_counted_in_two_ways(crossed_run: Run) -> None:
    alone = dataclasses.replace(
        crossed_run,
        study={**crossed_run.study, "shared_by": 1},
        table=to_table(crossed_run.records),
    )
    assert [p.cost for p in accountings.info(alone).panes] == ["train_flops", "train_flops_full"]


def test_without_teachers_there_is_one_way_to_count(search_run: Run) -> None:
    info = accountings.info(search_run)
    assert [p.cost for p in info.panes] == ["train_flops_full"]
    assert "No point has a teacher" in info.caption


def test_half_decades_hold_what_they_are_asked_to() -> None:
    for low, high in ((1.0, 1.0), (10.0, 32.0), (9.9, 33.0), (2e9, 7e13), (0.4, 6.0)):
        made = half_decades(low, high)
        assert made[0] <= low and made[-1] >= high
        assert all(3 < b / a < 3.3 for a, b in zip(made, made[1:], strict=False))
        assert made[1:2] == [] or made[1] > low
