"""What the fresh draws say: estimates, pairs, and a plain word where they say nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raysearch.analysis import Run, read_run
from raysearch.analysis.confirmation import (
    Confirmation,
    confirmation,
    fresh_draws,
    stored_logits,
)
from raysearch.analysis.replicates import matching_point
from raysearch.analysis.selection_bias import selection_bias
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.point_text import verdict
from raysearch.recommend.points import Points
from raysearch.recommend.sentences import details, footer, headline, interval_note
from raysearch.recommend.words import text
from tests.support.choices import ROWS, Choice, write_choices
from tests.support.judged import own_csv, write_run
from tests.support.synthetic import records
from tests.support.synthetic import write_run as write_synthetic

pytestmark = pytest.mark.statistics

A = Choice("a", 0.9, 0.85, (0.80, 0.82, 0.81), flops=10.0)
B = Choice("b", 0.8, 0.82, (0.86, 0.85, 0.88), flops=100.0)


def logits_of(folder: Path, choice: Choice, draw: int) -> Path:
    from raysearch.record import point_id

    name = point_id([choice.config.with_seed(draw).id], 1, choice.knobs)
    return folder / "store" / "logits" / f"{name}-test"


def test_an_estimate_is_the_mean_of_its_draws_and_of_nothing_else(tmp_path: Path) -> None:
    made = confirmation(write_choices(tmp_path, [A, B]))
    assert [e.point_id for e in made.estimates] == [A.point, B.point]
    for choice, e in zip((A, B), made.estimates, strict=True):
        assert e.per_draw == pytest.approx(choice.draws) and e.draws == 3
        assert e.score == pytest.approx(np.mean(choice.draws)), "the search's trial stays out"
        assert e.low < e.score < e.high
        assert (e.test_rows, e.validation_rows) == (ROWS, 32)
        assert e.validation == pytest.approx(np.mean(choice.draws))
    gap = made.difference[1, 0]
    assert gap[0] == pytest.approx(made.estimates[1].score - made.estimates[0].score)
    assert gap[1] < gap[0] < gap[2] and gap[1] > 0, "told apart: rows and draws are paired"
    assert made.difference[0, 1] == pytest.approx([-gap[0], -gap[2], -gap[1]])
    assert not made.difference[0, 0].any()
    assert (made.lost, dict(made.begun), made.why, made.folds) == (0, {}, "", 0)
    assert made.drawn == (1, 2, 3)
    assert made.at(B.point) == 1 and made.at("nobody") is None


def test_the_lucky_trial_changes_no_estimate(tmp_path: Path) -> None:
    plain = confirmation(write_choices(tmp_path / "a", [A, B]))
    lucky = [replace(A, validation=1.0, test=1.0), replace(B, validation=0.1, test=None)]
    assert confirmation(write_choices(tmp_path / "b", lucky)).estimates == plain.estimates


def test_without_draws_there_is_nothing(tmp_path: Path) -> None:
    made = confirmation(write_choices(tmp_path, [replace(A, draws=()), replace(B, draws=())]))
    assert isinstance(made, Confirmation)
    assert (made.estimates, made.why, made.lost, dict(made.begun)) == ((), "", 0, {})
    assert selection_bias(read_run(tmp_path).table, made) is None


@pytest.mark.parametrize("n", [1, 2])
def test_below_three_draws_nothing_has_an_interval(tmp_path: Path, n: int) -> None:
    made = confirmation(write_choices(tmp_path, [replace(A, draws=A.draws[:n]), B]))
    assert [e.point_id for e in made.estimates] == [B.point]
    assert dict(made.begun) == {A.point: n}
    alone = confirmation(write_choices(tmp_path / "b", [replace(A, draws=A.draws[:n])]))
    assert alone.estimates == () and dict(alone.begun) == {A.point: n} and alone.why == ""
    points = collect(read_run(tmp_path / "b"))
    assert points.begun == 1 and points.place.tolist() == [-1] and points.draws.tolist() == [0]
    assert "1 point with too few draws not confirmed" in footer(points, answer(points))
    assert text(headline(points, answer(points))[0]).startswith("Not confirmed yet")


def test_failed_draws_are_counted_and_take_no_part(tmp_path: Path) -> None:
    some = replace(A, draws=(0.80, None, 0.81, 0.82))
    made = confirmation(write_choices(tmp_path, [some, replace(B, draws=(0.86, 0.85, 0.88, 0.87))]))
    assert made.lost == 1 and made.drawn == (1, 3, 4)
    assert [e.draws for e in made.estimates] == [3, 3], "compared on the draws both have"
    assert made.estimates[1].score == pytest.approx((0.86 + 0.88 + 0.87) / 3, abs=1e-3)
    points = collect(read_run(tmp_path))
    assert "1 confirming draws failed" in footer(points, answer(points))
    few = confirmation(write_choices(tmp_path / "few", [replace(A, draws=(0.80, None, 0.81)), B]))
    assert dict(few.begun) == {A.point: 2} and few.lost == 1
    assert [e.point_id for e in few.estimates] == [B.point]
    none = confirmation(write_choices(tmp_path / "none", [replace(A, draws=(None,) * 3)]))
    assert (none.estimates, none.lost, dict(none.begun)) == ((), 3, {})


def test_choices_with_other_draws_are_compared_on_those_they_share(tmp_path: Path) -> None:
    five = replace(A, draws=(0.80, 0.82, 0.81, 0.70, 0.70))
    made = confirmation(write_choices(tmp_path, [five, B]))
    assert made.drawn == (1, 2, 3) and [e.draws for e in made.estimates] == [3, 3]
    assert made.estimates[0].score == pytest.approx(0.81, abs=1e-3)


def test_a_choice_with_draws_of_its_own_is_compared_with_nobody(tmp_path: Path) -> None:
    later = replace(A, first=4)
    c = Choice("c", 0.7, 0.7, (0.70, 0.71, 0.72))
    made = confirmation(write_choices(tmp_path, [later, B, c]))
    assert [e.point_id for e in made.estimates] == [B.point, c.point]
    assert dict(made.begun) == {A.point: 0} and made.drawn == (1, 2, 3)


@pytest.mark.parametrize("what", ["folder", "manifest.json", "logits.npy", "labels.npy"])
def test_where_logits_are_gone_nothing_is_estimated_and_it_is_said(
    tmp_path: Path, what: str
) -> None:
    write_choices(tmp_path, [A, B])
    gone = logits_of(tmp_path, A, 2)
    if what == "folder":
        shutil.rmtree(gone)
    else:
        (gone / what).unlink()
    made = confirmation(read_run(tmp_path))
    assert made.estimates == () and made.why.startswith("the draws of 2 choices have no interval")
    assert "\n" not in made.why and gone.name in made.why
    points = collect(read_run(tmp_path))
    line = " ".join(text(s) for s in headline(points, answer(points)))
    assert "Confirming draws have run, but the draws of 2 choices" in line
    assert line.startswith("Not confirmed yet") and points.place.max() == -1


@pytest.mark.parametrize(
    "body",
    [
        b"half",
        b"",
    ],
)
def test_damaged_logits_are_said_not_thrown(tmp_path: Path, body: bytes) -> None:
    write_choices(tmp_path, [A, B])
    path = logits_of(tmp_path, A, 2) / "logits.npy"
    path.write_bytes(path.read_bytes()[:200] if body else body)
    made = confirmation(read_run(tmp_path))
    assert made.estimates == () and "\n" not in made.why and made.why


def test_logits_of_other_lengths_are_not_whole(tmp_path: Path) -> None:
    write_choices(tmp_path, [A])
    np.save(logits_of(tmp_path, A, 1) / "ids.npy", np.arange(3))
    assert "are not whole" in confirmation(read_run(tmp_path)).why


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a b", ""])
def test_a_name_never_leaves_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises((ValueError, OSError)):
        stored_logits(tmp_path, name, "test")


def test_pickled_logits_are_refused(tmp_path: Path) -> None:
    write_choices(tmp_path, [A])
    bad = np.array([{"a": 1}] * ROWS, dtype=object)
    np.save(logits_of(tmp_path, A, 1) / "logits.npy", bad, allow_pickle=True)
    assert confirmation(read_run(tmp_path)).why


def test_the_order_of_rows_in_the_store_does_not_matter(tmp_path: Path) -> None:
    expected = confirmation(write_choices(tmp_path, [A, B]))
    for draw in (1, 2):
        entry = logits_of(tmp_path, A, draw)
        for name in ("logits", "ids", "labels"):
            np.save(entry / f"{name}.npy", np.load(entry / f"{name}.npy")[::-1])
    again = confirmation(read_run(tmp_path))
    assert again.estimates == expected.estimates
    assert np.array_equal(again.difference, expected.difference)


def test_choices_judged_on_other_rows_are_not_compared(tmp_path: Path) -> None:
    write_choices(tmp_path, [A, B])
    for draw in (1, 2, 3):
        entry = logits_of(tmp_path, A, draw)
        np.save(entry / "ids.npy", np.load(entry / "ids.npy") + 1)
    assert "different draws or rows" in confirmation(read_run(tmp_path)).why


# Operating points of one trial


def exits(*draws: tuple[float, float, float], first: float = 0.9) -> list[Choice]:
    """A trial of two exit thresholds."""
    return [
        Choice("a", first - 0.1 * k, 0.8, d, method="early_exit", flops=10.0 + k, knobs={"exit": t})
        for k, (t, d) in enumerate(zip((0.6, 0.95), draws, strict=True))
    ]


def test_operating_points_are_matched_by_their_knobs(tmp_path: Path) -> None:
    fast, slow = exits((0.70, 0.71, 0.72), (0.80, 0.81, 0.82))
    run = write_choices(tmp_path, [fast, slow])
    assert len(run.records) == 4, "one trial and its three draws, of two points each"
    made = confirmation(run)
    ends = {e.point_id: e.score for e in made.estimates}
    assert ends == pytest.approx({fast.point: 0.71, slow.point: 0.81}, abs=1e-3)
    found = fresh_draws(run)
    for choice in (fast, slow):
        record, point, fresh = found[choice.point]
        for drawn in fresh.values():
            other = matching_point(drawn, point)
            assert other is not None and other.knobs == choice.knobs
            assert other.point_id != point.point_id


def test_a_point_whose_twin_was_not_scored_has_one_draw_less(tmp_path: Path) -> None:
    fast, slow = exits((0.70, 0.71, 0.72), (0.80, 0.81, 0.82))
    write_choices(tmp_path, [fast, slow])
    path = tmp_path / "records.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for event in lines:
        if event["config"]["data"].get("seed") == 2:
            event["points"] = [p for p in event["points"] if p["knobs"]["exit"] == 0.6]
    path.write_text("".join(json.dumps(e) + "\n" for e in lines))
    made = confirmation(read_run(tmp_path))
    assert [e.point_id for e in made.estimates] == [fast.point]
    assert dict(made.begun) == {slow.point: 2}


def test_early_exit_of_a_whole_study(tmp_path: Path) -> None:
    made = records(60, seed=1, methods=("early_exit", "finetune"), confirm=3)
    run = read_run(write_synthetic(tmp_path, made))
    of = {p.point_id: (r, p) for r in run.records for p in r.points}
    seen = confirmation(run)
    assert len(seen.estimates) > 10 and seen.why == ""
    for e in seen.estimates:
        record, point = of[e.point_id]
        draws = [
            t.scores["test"]["accuracy"]
            for r in run.records
            if r.phase == "confirm" and r.config.seedless_id == record.config.seedless_id
            if (t := matching_point(r, point)) is not None
        ]
        assert e.per_draw == pytest.approx(draws) and len(draws) == 3
    with_curves = [r for r in run.records if r.phase == "search" and len(r.points) == 3]
    assert any(sum(seen.at(p.point_id) is not None for p in r.points) == 3 for r in with_curves)


# Cross-fitting, and other scores


def test_cross_fitted_draws_are_pooled_over_all_rows(tmp_path: Path) -> None:
    from raysearch.data.evaluate import scores
    from raysearch.data.task_data import own_task

    task = own_task(str(own_csv(tmp_path / "mine.csv")))
    data = write_run(tmp_path / "run", task, draws=3)
    run = read_run(tmp_path / "run")
    made = confirmation(run)
    assert made.folds >= 3 and len(made.estimates) == 3
    assert data.pool is not None
    for e in made.estimates:
        assert (e.draws, e.test_rows) == (made.folds, len(data.pool))
        _, point, fresh = fresh_draws(run)[e.point_id]
        parts = [
            stored_logits(run.folder, matching_point(r, point).point_id, "test")
            for r in fresh.values()
        ]
        whole = [np.concatenate(p) for p in zip(*parts, strict=True)]
        assert sorted(whole[1]) == sorted(data.pool.ids), "every row once"
        assert e.score == pytest.approx(scores(whole[0], whole[2])[task.score])
    points = collect(run)
    assert f"{made.folds}-fold cross-fitting" in footer(points, answer(points))
    assert f"over the {len(data.pool)} test texts" in interval_note(points, answer(points))


@pytest.mark.parametrize("score", ["accuracy", "pearson"])
def test_what_is_estimated_is_what_the_records_say(tmp_path: Path, score: str) -> None:
    made = records(40, seed=2, confirm=4, score=score)
    run = read_run(write_synthetic(tmp_path, made))
    seen = confirmation(run)
    assert len(seen.estimates) > 5
    for e in seen.estimates:
        _, point, fresh = fresh_draws(run)[e.point_id]
        stored = [matching_point(fresh[d], point).scores["test"][score] for d in sorted(fresh)]
        assert e.per_draw == pytest.approx(stored, abs=1e-5)
        assert e.score == pytest.approx(np.mean(stored), abs=1e-5) and e.low < e.score < e.high


def test_a_score_without_bootstrap_is_said(tmp_path: Path) -> None:
    run = write_choices(tmp_path, [A, B], score="f_beta")
    made = confirmation(run)
    assert made.estimates == () and "score 'f_beta': no interval is known" in made.why


def test_a_run_is_read_once(tmp_path: Path) -> None:
    run = write_choices(tmp_path, [A, B])
    assert confirmation(run) is confirmation(run)
    other = read_run(tmp_path)
    assert confirmation(other) is not confirmation(run)
    before = run.table.copy()
    confirmation(other)
    assert run.table.equals(before)


# The false winner


FALSE = Choice("a", 0.97, 0.80, (0.80, 0.79, 0.81), judged=(0.81, 0.78, 0.80), flops=10.0)
TRUE = Choice("b", 0.88, 0.86, (0.87, 0.86, 0.87), judged=(0.88, 0.84, 0.87), flops=50.0)


def bare(run: Run) -> Run:
    """The same search before its draws."""
    from raysearch.analysis import to_table

    search = tuple(r for r in run.records if r.phase == "search")
    return replace(run, records=search, table=to_table(search))


def chosen(points: Points) -> str:
    i = answer(points).choice
    assert i is not None
    return points.models[points.model[i]]


def test_a_false_winner_is_taken_back(tmp_path: Path) -> None:
    """A won by luck on 32 rows of validation; fresh draws say so, and how far it fell."""
    run = write_choices(tmp_path, [FALSE, TRUE])
    before = collect(bare(run))
    given = answer(before)
    assert given.best is not None and before.models[before.model[given.best]] == "a"
    assert text(headline(before, given)[0]).startswith("Not confirmed yet, one draw each")

    points = collect(run)
    after = answer(points)
    assert chosen(points) == "b"
    line = " ".join(text(s) for s in (*headline(points, after), *details(points, after)))
    assert line.startswith("Train b, finetune, 64 labels: accuracy 0.87 [")
    a, b = (points.ids.index(c.point) for c in (FALSE, TRUE))
    assert verdict(points, a, b) == "worse" and "Runner-up: a, finetune" in line
    assert "worse" in line and after.beaten is None

    fallen = selection_bias(run.table, confirmation(run))
    assert fallen is not None
    assert fallen.fall == pytest.approx(0.17, abs=2e-3) and fallen.worst == fallen.fall
    assert (fallen.members, fallen.confirmed) == (1, 1), "by validation A alone is the frontier"
    assert fallen.survived == 1, "it is still the cheapest"
    assert f"moved by {-fallen.fall:+.3f} on average" in fallen.sentence()


def test_a_false_winner_that_is_no_worse_is_not_called_so(tmp_path: Path) -> None:
    equal = replace(TRUE, draws=(0.80, 0.80, 0.80), judged=(0.81, 0.80, 0.80))
    run = write_choices(tmp_path, [FALSE, equal])
    points = collect(run)
    given = answer(points)
    a, b = (points.ids.index(c.point) for c in (FALSE, equal))
    assert verdict(points, a, b) == "not distinguishable"
    assert given.flat and chosen(points) == "a", "of equals the cheaper is named"
    fallen = selection_bias(run.table, confirmation(run))
    assert fallen is not None and fallen.fall > 0.1


@pytest.mark.slow
def test_a_false_winner_of_the_toy_task_is_taken_back(tmp_path: Path) -> None:
    """True trials: of many knob sets, 16 rows of validation choose one that was lucky."""
    from raysearch.config.catalog import find_task
    from raysearch.config.study import Study
    from raysearch.run.records import RecordWriter
    from raysearch.run.study_file import StudyManifest, write_study_manifest
    from raysearch.search.replicates import plan_replicates
    from raysearch.trial.run import TrialRun
    from raysearch.trial.trained import TrainedModel
    from tests.support import tiny

    out = tmp_path / "run"
    w = tiny.world(find_task("toy"), out, labels=(16,))
    write_study_manifest(out, StudyManifest(w.study, find_task("toy"), w.data.digest))
    writer = RecordWriter(out / "records.jsonl")
    made = []
    for ngrams in (1, 2, 3):
        for c in (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0):
            for weighting in ("tfidf", "tf"):
                knobs = {"ngrams": ngrams, "c": c, "weighting": weighting}
                config = tiny.configure(w, "ngram_linear", "hash-16", 16, **knobs)
                run = tiny.finish(TrialRun(config, w.place))
                writer.append(run.record().to_json())
                for event in (TrainedModel(run).score(p, "test") for p in run.record().points):
                    writer.append(event)
                made.append(run.record())
    before = collect(read_run(out))
    first = before.ids[answer(before).choice or 0]
    study = Study(name="s", objectives=("score", "infer_flops"))
    for config in plan_replicates(made, study, 5).draws:
        writer.append(tiny.finish(TrialRun(config, w.place, "confirm")).record().to_json())
    writer.close()
    run = read_run(out)
    seen = confirmation(run)
    fallen = selection_bias(run.table, seen)
    assert fallen is not None and seen.at(first) is not None
    assert fallen.fall > 0, fallen
    e = seen.estimates[seen.at(first) or 0]
    (lucky,) = (p for r in run.records for p in r.points if p.point_id == first)
    assert lucky.scores["validation"]["accuracy"] > e.score, "the winner's own score was too good"
    assert e.draws == 5 and e.low < e.score < e.high
