"""Who is scored on test after a search: winners, the frontier, and what used no labels."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from raysearch.config.study import Study
from raysearch.record import TrialRecord
from raysearch.tune.scoring import unscored
from tests.support.synthetic import records, zero_shots


def due(*found: TrialRecord) -> set[tuple[str, str]]:
    """(method, rung) of what is still to be scored."""
    desk: Any = SimpleNamespace(records={r.id: r for r in found}, study=Study(name="s"))
    return {(c.method, c.rung) for c, _ in unscored(desk)}


def untested(record: TrialRecord) -> TrialRecord:
    return replace(record, points=tuple(replace(p, scores={}, rows={}) for p in record.points))


def test_what_used_no_labels_is_scored_once_and_never_chosen() -> None:
    tiny, small = zero_shots({"bert_tiny": 0.6, "bert_small": 0.7})
    ours = ("zero_shot", "bert_tiny")
    scored = [r for r in records(60) if r.status == "DONE" and "test" in r.points[0].scores]
    before = due(*scored)
    assert due(*scored, untested(tiny), small) == before | {ours}
    assert due(untested(tiny)) == {ours}
    assert due(tiny, small) == set()


def test_only_finished_trials_of_the_search_are_scored() -> None:
    bare = untested(zero_shots({"bert_tiny": 0.6})[0])
    for changed in (
        replace(bare, status="STOPPED"),
        replace(bare, status="FAILED", points=()),
        replace(bare, phase="confirm"),
        replace(bare, labels_used=1),
    ):
        assert due(changed) == set(), changed.status
