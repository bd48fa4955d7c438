"""Zero-shot beside the confirmed points: one draw, rows resampled alike, no score to choose by."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from raysearch.analysis import Run, read_run
from raysearch.analysis.bootstrap import Judged, features, replicates
from raysearch.analysis.confirmation import (
    confirmation,
    fresh_draws,
    judged_draw,
    stored_logits,
)
from raysearch.analysis.label_free import with_label_free
from tests.support.crossed import crossed
from tests.support.synthetic import records, write_run

FEW = {"models": ("bert_tiny", "bert_mini"), "labels": (10, 100)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    procedures = ("finetune", "prompt", "zero_shot")
    return crossed(tmp_path_factory.mktemp("free") / "run", procedures=procedures, **FEW)


def test_they_are_resampled_as_if_all_had_been_asked_together(run: Run) -> None:
    made = confirmation(run)
    both = with_label_free(run, made)
    assert (len(made.estimates), len(both.estimates)) == (8, 10)
    assert both.estimates[:8] == made.estimates and both.drawn == made.drawn == (0, 1, 2)
    found = fresh_draws(run)
    choices = []
    for e in made.estimates:
        record, point, fresh = found[e.point_id]
        choices.append([judged_draw(run.folder, fresh[d], point, d, "accuracy") for d in (0, 1, 2)])
    for e in both.estimates[8:]:
        logits, ids, labels = stored_logits(run.folder, e.point_id, "test")
        sums = features(logits, labels, "accuracy")
        choices.append([Judged(d, ids, sums) for d in (0, 1, 2)])
    joint = replicates(choices, "accuracy")
    np.testing.assert_allclose(both.resampled, joint.resampled, rtol=0, atol=1e-12)
    for i in range(10):
        for j in range(10):
            if i != j:
                value = joint.estimate[i] - joint.estimate[j]
                want = [value, *joint.difference(i, j)]
                np.testing.assert_allclose(both.difference[i, j], want, rtol=0, atol=1e-9)


def test_an_estimate_without_labels_has_one_draw_and_an_interval_of_its_rows(run: Run) -> None:
    free = with_label_free(run, confirmation(run)).estimates[8:]
    shown = run.table.set_index("point_id")["score_test"]
    for e in free:
        assert e.draws == 1 and e.validation_rows == 0 and np.isnan(e.validation)
        assert e.score == pytest.approx(shown[e.point_id]) and e.low < e.score < e.high
        assert e.high - e.low == pytest.approx(4 * (0.25 * 0.95 / e.test_rows) ** 0.5, rel=0.1)


def test_nothing_is_added_where_there_is_nothing_to_pair_with(tmp_path: Path, run: Run) -> None:
    search = read_run(write_run(tmp_path / "search", records(30, confirm=3)))
    made = confirmation(search)
    assert made.estimates and with_label_free(search, made) is made
    once = crossed(tmp_path / "once", draws=1, **FEW)
    assert with_label_free(once, confirmation(once)) is confirmation(once)


@pytest.mark.parametrize("fate", ["gone", "short", "broken"])
def test_one_whose_answers_are_not_there_is_left_out(tmp_path: Path, run: Run, fate: str) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    copy = read_run(tmp_path / "run")
    free = with_label_free(run, confirmation(run)).estimates[8:]
    entry = tmp_path / "run" / "store" / "logits" / f"{free[0].point_id}-test"
    if fate == "gone":
        shutil.rmtree(entry)
    for name in ("logits", "ids", "labels"):
        if fate == "short":
            np.save(entry / f"{name}.npy", np.load(entry / f"{name}.npy")[1:])
        if fate == "broken":
            (entry / f"{name}.npy").write_bytes(b"")
    both = with_label_free(copy, confirmation(copy))
    assert [e.point_id for e in both.estimates[8:]] == [free[1].point_id]
