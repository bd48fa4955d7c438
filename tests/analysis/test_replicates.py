"""What fresh draws settle: a model with exits costs what its draws cost, not what was chosen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from raysearch.analysis import read_run
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.replicates import average_over_replicates, draws_of, matching_point
from raysearch.run.records import read_records
from tests.support.exiting import exiting


@pytest.mark.slow
def test_a_confirmed_point_costs_what_its_draws_cost_on_the_mean(tmp_path: Path) -> None:
    run = exiting(tmp_path / "run")
    written = {r.id: r for r in read_records(tmp_path / "run" / "records.jsonl").trials}
    found = draws_of(tuple(written.values()), run.study)
    moved = 0
    for record in run.records:
        for point, own in zip(record.points, written[record.id].points, strict=True):
            if point.point_id not in found or not own.exits:
                assert point == own
                continue
            _, _, fresh = found[point.point_id]
            twins = [matching_point(r, own) for r in fresh.values()]
            assert len(twins) == 3
            costs = [t.infer_flops for t in twins if t is not None and t.infer_flops is not None]
            assert point.infer_flops == pytest.approx(np.mean(costs))
            shares = np.mean([t.exits for t in twins if t is not None], axis=0)
            assert point.exits == pytest.approx(shares.tolist())
            moved += point.infer_flops != own.infer_flops
    assert moved > 20
    table = run.table.set_index("point_id")["infer_flops"]
    for estimate in confirmation(run).estimates:
        point = next(p for r in run.records for p in r.points if p.point_id == estimate.point_id)
        assert table[estimate.point_id] == point.infer_flops


def test_too_few_draws_settle_nothing(tmp_path: Path) -> None:
    exiting(tmp_path / "run", draws=2)
    records = read_records(tmp_path / "run" / "records.jsonl").trials
    assert average_over_replicates(records, {}) == tuple(records)


@pytest.mark.parametrize("gone", [None, float("nan")])
def test_a_draw_without_the_number_is_left_out(tmp_path: Path, gone: float | None) -> None:
    exiting(tmp_path / "run", labels=(640,), tries=1, depths=())
    path = tmp_path / "run" / "records.jsonl"
    lines = [json.loads(x) for x in path.read_text().splitlines()]
    draw = next(x for x in lines if x["phase"] == "confirm")
    for point in draw["points"]:
        point["infer_flops"] = gone
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    run = read_run(tmp_path / "run")
    found = draws_of(run.records, run.study)
    for record, point, fresh in found.values():
        costs = [
            t.infer_flops for r in fresh.values() if (t := matching_point(r, point)) is not None
        ]
        known = [c for c in costs if c is not None and np.isfinite(c)]
        assert len(known) == 2 and point.infer_flops == pytest.approx(np.mean(known))
        assert record.phase == "search"
