"""The close look at one point: per class, calibrated, by labels, by row; and which point it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from raysearch.analysis import Run, read_run
from raysearch.analysis.classification_report import (
    confusion,
    furthest,
    hardest,
    normalised,
    per_class,
)
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.point_lookup import find, name_of
from raysearch.analysis.report import report
from raysearch.analysis.report_text import RowName, summary, title, to_json
from raysearch.data.own import own_task
from raysearch.errors import InputError
from raysearch.recommend.recommended import look, recommended_id
from tests.support import tiny
from tests.support.judged import RECIPES, Recipe, own_csv, write_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    write_run(tmp_path / "run", tiny.write_task(tmp_path / "two", "two", test=200))
    return read_run(tmp_path / "run")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_per_class_is_what_scikit_learn_says(pairs: list[tuple[int, int]]) -> None:
    label, predicted = (np.array(v) for v in zip(*pairs, strict=True))
    before = label.copy(), predicted.copy()
    counts = confusion(predicted, label, 4)
    assert np.array_equal(counts, confusion_matrix(label, predicted, labels=range(4)))
    theirs = precision_recall_fscore_support(
        label, predicted, labels=range(4), zero_division=np.nan
    )
    ours = per_class(counts)
    present = counts.sum(axis=0) + counts.sum(axis=1) > 0
    assert np.allclose(ours[:, 1], theirs[1], equal_nan=True)  # recall
    assert np.allclose(ours[present, 2], np.nan_to_num(theirs[2][present]))  # F1
    assert np.isnan(ours[~present, :3]).all()
    assert np.array_equal(ours[:, 3], theirs[3])
    shares = normalised(counts)
    assert np.allclose(shares[counts.sum(axis=1) > 0].sum(axis=1), 1)
    assert np.array_equal(before[0], label) and np.array_equal(before[1], predicted)


def test_hardest_leaves_out_rows_that_no_draw_gets_wrong() -> None:
    ids, same = np.arange(4), np.zeros(4, np.int64)
    assert hardest(ids, same, same, np.ones(4)) == []
    assert len(furthest(ids, np.zeros(4), np.arange(4.0), most=2)) == 2


def test_a_report_stands_on_the_fresh_draws(run: Run) -> None:
    best = recommended_id(run)
    assert best is not None and name_of(*find(run, best)) == "ngram_linear, hash-16, 32 labels"
    made = report(run, best)
    assert [d.draw for d in made.about.draws] == [1, 2, 3] and made.about.confirmed
    assert made.estimate is not None
    assert made.scores["accuracy"].mean == pytest.approx(made.estimate.score)
    assert made.scores["accuracy"].low == pytest.approx(min(made.estimate.per_draw))
    assert made.confusion.sum() == 3 * 200 and made.rows == 200
    assert [c.support for c in made.classes] == [100, 100]
    assert sum(c.recall.mean for c in made.classes) / 2 == pytest.approx(
        made.scores["accuracy"].mean
    )
    calibration = made.calibration
    assert calibration is not None and calibration.fitted == 3
    assert sum(b.count for b in calibration.before) == 600
    assert [p.labels for p in made.curve] == [32, 64] and all(p.draws == 3 for p in made.curve)
    wrong = [h.wrong for h in made.hard]
    assert wrong == sorted(wrong, reverse=True) and wrong[0] >= 2
    assert "3 fresh draws" in summary(made)[0] and title(made).startswith("ngram_linear")


def test_the_best_of_the_unconfirmed_is_said_to_be_one_draw(tmp_path: Path) -> None:
    task = tiny.write_task(tmp_path / "five", "five", test=60)
    write_run(tmp_path / "run", task, draws=0)
    made = look(read_run(tmp_path / "run"))
    assert made is not None and not made.about.confirmed and made.estimate is None
    assert "one draw: not confirmed" in summary(made)[0]
    assert made.confusion.shape == (5, 5) and made.confusion.sum() == 60
    assert [p.draws for p in made.curve] == [0, 0]


def test_two_draws_are_too_few_for_an_interval(tmp_path: Path) -> None:
    task = tiny.write_task(tmp_path / "two", "two")
    write_run(tmp_path / "run", task, draws=2)
    made = look(read_run(tmp_path / "run"))
    assert made is not None and made.estimate is None and len(made.about.draws) == 2
    assert "2 fresh draws: too few" in summary(made)[0]


def test_folds_judge_every_row_and_are_taken_together(tmp_path: Path) -> None:
    task = own_task(str(own_csv(tmp_path / "own.csv")))
    data = write_run(tmp_path / "run", task)
    run = read_run(tmp_path / "run")
    made = look(run)
    assert made is not None and data.pool is not None
    assert made.about.folds == len(made.about.draws) > 2
    assert made.rows == made.confusion.sum() == len(data.pool)
    assert made.estimate is not None
    assert made.scores["accuracy"].mean == pytest.approx(made.estimate.score)
    assert "Cross-fitted" in summary(made)[1]


def test_regression_has_residuals_and_no_classes(tmp_path: Path) -> None:
    task = tiny.write_task(tmp_path / "number", "number")
    write_run(tmp_path / "run", task)
    made = look(read_run(tmp_path / "run"))
    assert made is not None and made.about.regression
    assert made.classes == () and made.calibration is None and made.confusion.size == 0
    assert made.fit is not None and len(made.fit[0]) == 30
    assert set(made.scores) == {"pearson", "spearman", "mse"}
    gaps = [h.confidence for h in made.hard]
    assert gaps == sorted(gaps, reverse=True)


def test_json_is_plain_and_names_rows(run: Run) -> None:
    made = look(run)
    assert made is not None
    first = made.hard[0].id
    value = to_json(made, {first: RowName("ab" * 8, "a <b>text</b>")})
    assert value["hardest"][0]["hash"] == "ab" * 8
    assert value["hardest"][0]["text"] == "a <b>text</b>" and "text" not in value["hardest"][1]
    assert value["hardest"][0]["label"] in ("class 0", "class 1")
    assert value["draws"] == [1, 2, 3] and value["estimate"]["low"] < value["estimate"]["high"]


def test_a_class_that_nobody_sees_has_no_number(tmp_path: Path) -> None:
    task = tiny.write_task(tmp_path / "five", "five", test=3)
    write_run(tmp_path / "run", task, recipes=[Recipe(right=1.0, labels=16)])
    made = look(read_run(tmp_path / "run"))
    assert made is not None
    value = to_json(made, {})
    assert value["classes"][4]["recall"]["mean"] is None and value["classes"][4]["support"] == 0


def test_points_are_found_by_the_start_of_an_id(run: Run) -> None:
    best = recommended_id(run)
    assert best is not None
    record, point = find(run, best[:6])
    assert point.point_id == best and find(run, record.id[:8])[1].point_id == best
    with pytest.raises(InputError, match="Did you mean '" + best):
        find(run, best[:15] + ("0" if best[15] != "0" else "1"))
    with pytest.raises(InputError, match="at least 4 digits"):
        find(run, best[:3])


def test_what_cannot_be_reported_is_one_sentence(run: Run) -> None:
    untested = find_untested(run)
    with pytest.raises(InputError, match="not scored on test"):
        report(run, untested)
    best = recommended_id(run)
    assert best is not None
    made = confirmation(run)
    assert made.at(best) is not None
    for entry in (run.folder / "store" / "logits").iterdir():
        (entry / "manifest.json").unlink()
    gone = read_run(run.folder)
    with pytest.raises(InputError, match="not in the run's store"):
        report(gone, best)
    assert look(gone) is None


def find_untested(run: Run) -> str:
    rows = run.table
    trials = rows[rows["model"].eq("random-2") & rows["phase"].eq("search")]
    assert not RECIPES[-1].tested
    return str(trials["point_id"].iloc[0])
