"""The first page's arithmetic: chosen on validation, shown on test, ties named cheap."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from raysearch.analysis import Run, frontier, read_run, to_table
from raysearch.analysis.intervals import interval
from raysearch.errors import InputError
from raysearch.panels.controls import controls
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.differences import band_of, distinguishable, interval_of
from raysearch.recommend.points import Points
from raysearch.recommend.sentences import footer, headline, why
from raysearch.recommend.words import WORDS, format_fixed, format_short, text
from raysearch.record import TrialRecord
from tests.support.synthetic import records, write_run

ALL = ("ngram_linear", "embed_linear", "finetune", "distill", "early_exit")


def made(folder: Path, n: int = 150, study: dict[str, object] | None = None, **more: object) -> Run:
    return read_run(write_run(folder, records(n, methods=ALL, **more), **(study or {})))


def scored(
    tests: list[tuple[str, str, int, float, float, float]], rows: int = 1000, **study: object
) -> Run:
    """A run of (method, model, labels, validation, test, infer_flops)."""
    base = next(r for r in records(40) if r.status == "DONE" and len(r.points) == 1)
    out: list[TrialRecord] = []
    for k, (method, model, labels, validation, test, cost) in enumerate(tests):
        data = dataclasses.replace(base.config.data, train=labels, validation=0)
        config = dataclasses.replace(
            base.config, method=method, rung=model, data=data, init_seed=1000 + k
        )
        point = dataclasses.replace(
            base.points[0],
            point_id=f"p{k}",
            scores={"validation": {"accuracy": validation}, "test": {"accuracy": test}},
            rows={"validation": rows, "test": rows},
            infer_flops=cost,
            measured={},
        )
        out.append(
            dataclasses.replace(
                base, id=config.id, config=config, points=(point,), labels_used=labels
            )
        )
    return Run(Path(), dict(study), tuple(out), to_table(out))


def sentences(points: Points, **kw: object) -> list[str]:
    return [text(s) for s in headline(points, answer(points, **kw))]


def at(points: Points, i: int | None) -> tuple[str, str]:
    assert i is not None
    return points.methods[points.method[i]], points.models[points.model[i]]


def test_validation_chooses_and_test_is_only_shown() -> None:
    points = collect(scored([("a", "m", 10, 0.8, 0.6, 2.0), ("b", "m", 10, 0.7, 0.9, 1.0)]))
    given = answer(points)
    assert at(points, given.choice) == ("a", "m")
    assert "accuracy 0.60" in sentences(points)[0]
    assert sentences(points)[0].startswith("Not confirmed yet, one draw each")


def test_a_cheaper_choice_within_the_noise_is_the_tie() -> None:
    run = scored(
        [
            ("a", "m", 10, 0.90, 0.90, 100.0),
            ("b", "m", 10, 0.89, 0.89, 10.0),
            ("c", "m", 10, 0.60, 0.60, 1.0),
        ]
    )
    points = collect(run)
    given = answer(points)
    assert at(points, given.choice) == ("a", "m")
    assert at(points, given.tie) == ("b", "m")
    assert not given.flat
    assert "Cheaper tie: b" not in sentences(points)[1]  # model first
    assert "Cheaper tie: m, b, 10 labels, 0.01 lower" in sentences(points)[1]
    assert "10× lower" in sentences(points)[1]


def test_where_nothing_is_separable_the_cheapest_is_named() -> None:
    points = collect(scored([("a", "m", 10, 0.9, 0.9, 100.0), ("b", "m", 10, 0.89, 0.9, 10.0)]))
    given = answer(points)
    assert given.flat and given.tie is None
    assert at(points, given.choice) == ("b", "m")
    assert "nothing stands out" in sentences(points)[0]


def test_the_majority_class_is_named_when_it_cannot_be_told_apart() -> None:
    rows = [("a", "m", 10, 0.5, 0.51, 1.0)]
    points = collect(scored(rows, baselines={"majority": 0.5}))
    assert any("most frequent class (0.50)" in s for s in sentences(points))
    assert sentences(points)[-1] == "Three fresh draws or more confirm it: raysearch confirm ."


def test_the_linear_baseline_is_given_its_best() -> None:
    points = collect(
        scored(
            [
                ("ngram_linear", "x", 10, 0.7, 0.6, 1.0),
                ("ngram_linear", "x", 20, 0.6, 0.7, 1.0),
                ("a", "m", 10, 0.9, 0.9, 9.0),
            ]
        )
    )
    linear = answer(points).linear
    assert linear is not None and points.test[linear] == 0.7


def test_what_more_labels_bring_is_said() -> None:
    points = collect(scored([("a", "m", 10, 0.7, 0.7, 1.0), ("a", "m", 100, 0.9, 0.9, 1.0)]))
    assert any(
        "With up to 100 labels instead of 10: 0.20 higher" in s
        for s in sentences(points, labels=10)
    )
    assert any(
        "The last step up, from 10 to 100 labels: 0.20 higher" in s for s in sentences(points)
    )


def test_a_choice_that_test_contradicts_is_not_dressed_up() -> None:
    points = collect(scored([("a", "m", 10, 0.9, 0.6, 1.0), ("b", "m", 10, 0.8, 0.8, 2.0)], 200))
    given = answer(points)
    assert at(points, given.choice) == ("a", "m") and at(points, given.beaten) == ("b", "m")
    assert any("But on test m, b, 10 labels is 0.20 higher" in s for s in sentences(points))


def test_limits_only_ever_narrow(tmp_path: Path) -> None:
    points = collect(made(tmp_path))
    whole = answer(points)
    for kw in ({"labels": 200.0}, {"max_ms": 3.0}, {"methods": ["finetune"]}):
        given = answer(points, **kw)
        assert given.fits.sum() < whole.fits.sum()
        assert given.choice is not None and given.fits[given.choice]
        assert set(given.frontier) <= set(np.flatnonzero(given.fits).tolist())
    assert (points.labels[answer(points, labels=200).fits] <= 200).all()
    latency = points.costs["ms"][answer(points, max_ms=3.0).fits]
    assert np.isfinite(latency).all() and (latency <= 3.0).all()


def test_the_step_line_is_the_frontier_of_the_analyzer(tmp_path: Path) -> None:
    run = made(tmp_path, 400)
    points = collect(run)
    shown = run.table[run.table["score_test"].notna()]
    for axis, column in (("infer_flops", "infer_flops"), ("train", "train_flops_full")):
        members = frontier(shown, ("score", column)).members["point_id"].tolist()
        on_page = answer(points, cost=axis).frontier
        ids = run.table["point_id"].iloc[[points.rows[i] for i in on_page]].tolist()
        assert ids == members and len(ids) > 2


def test_the_band_holds_what_the_interval_of_the_difference_holds(tmp_path: Path) -> None:
    points = collect(made(tmp_path))
    best = answer(points).best
    assert best is not None
    band = band_of(points, best, range(len(points)))
    assert band is not None and band[0] < points.test[best] < band[1]
    for i in range(len(points)):
        assert distinguishable(points, best, i) == (not band[0] <= points.test[i] <= band[1])


KINDS = {"accuracy": "binomial", "macro_f1": "binomial", "f1": "binomial", "mcc": "stretched"}
KINDS |= {"pearson": "correlation", "spearman": "correlation", "matthews": "binomial"}
"""By score; a name not known here is a share or a correlation by its values."""


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_the_kind_of_interval_is_the_analyzers(name: str, kind: str) -> None:
    run = scored([("a", "m", 10, 0.5, 0.5, 1.0)])
    run.table["score_name"] = name
    points = collect(run)
    assert points.kind == kind and kind in WORDS
    rows = int(points.test_rows[0])
    assert interval_of(points, 0) == interval(0.5, rows, name)
    share = interval(0.5, rows, "accuracy")
    assert (interval(0.5, rows, name) == share) == (name in ("accuracy", "macro_f1", "matthews"))


def test_a_pearson_page_has_no_majority_and_negative_scores(tmp_path: Path) -> None:
    points = collect(made(tmp_path, score="pearson"))
    assert points.kind == "correlation"
    assert "Fisher" in WORDS["correlation"]
    assert sentences(points) and points.majority is None and points.test.min() < 0


def test_a_score_above_one_has_no_interval() -> None:
    points = collect(scored([("a", "m", 10, 3.0, 3.0, 2.0), ("b", "m", 10, 2.0, 2.9, 1.0)]))
    given = answer(points)
    assert points.kind == "none" and given.band is None and not given.flat
    assert "[" not in "".join(sentences(points))


def test_every_method_has_one_reason(tmp_path: Path) -> None:
    run = made(tmp_path, study={"left_out": {"prompt": "no label words for 'billing dispute'"}})
    points = collect(run)
    given = answer(points)
    reasons = dict(why(points, given))
    assert set(reasons) == {*ALL, "prompt", "distill from finetune"} - {"distill"}
    assert reasons["prompt"] == "not run: no label words for 'billing dispute'"
    assert sum(r.startswith("the choice") for r in reasons.values()) == 1
    off = dict(why(points, answer(points, methods=["finetune"])))
    assert off["distill from finetune"].startswith("switched off")


def test_nothing_to_recommend_is_said_with_its_reason(tmp_path: Path) -> None:
    empty = collect(read_run(write_run(tmp_path / "none", [])))
    assert sentences(empty) == [WORDS["no_records"]]
    lost = [dataclasses.replace(r, status="FAILED", points=(), error="oom") for r in records(4)]
    points = collect(read_run(write_run(tmp_path / "failed", lost)))
    assert sentences(points)[0].endswith("First reason: oom")
    assert dict(why(points, answer(points)))["finetune"].endswith("first: oom")
    run = scored([("a", "m", 10, 0.8, 0.6, 2.0)])
    run.table["score_test"] = float("nan")
    assert "none of them scored on both" in sentences(collect(run))[0]
    none = sentences(collect(scored([("a", "m", 10, 0.8, 0.6, 2.0)])), labels=5)
    assert none[0] == WORDS["no_fit"]
    assert none[1].startswith("Relax labels to 10 instead of 5: then m, a, 10 labels")


def test_costs_that_are_absent_or_zero_are_counted_not_drawn() -> None:
    run = scored([("a", "m", 10, 0.8, 0.8, 2.0), ("b", "m", 10, 0.9, 0.9, 0.0)])
    points = collect(run)
    given = answer(points)
    assert given.no_cost == 1 and at(points, given.choice) == ("a", "m")
    assert "1 point without inference compute left out" in footer(points, given)


def test_an_unknown_cost_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="infer_flops"):
        answer(collect(made(tmp_path)), cost="infer_flop")


def test_teacher_accounting_moves_the_training_axis(tmp_path: Path) -> None:
    points = collect(made(tmp_path, study={"shared_by": 4}))
    full, shared, free = (points.cost("train", t) for t in ("full", "shared", "free"))
    assert points.teachers and (full >= shared).all() and (shared >= free).all()
    assert (full > free).any()


def test_who_pays_the_teacher_moves_the_frontier(tmp_path: Path) -> None:
    made = write_run(tmp_path / "r", records(150, methods=("finetune", "distill")), shared_by=8)
    points = collect(read_run(made))
    lines = {t: answer(points, cost="train", teacher=t).frontier for t in points.teachers}
    assert len(set(lines.values())) == len(lines) == 3
    students = {
        t: sum(points.methods[points.method[i]] != "finetune" for i in lines[t]) for t in lines
    }
    assert students["full"] < students["shared"] < students["free"]
    assert answer(points, teacher="free").frontier == answer(points).frontier, "infer_flops is free"
    other = collect(read_run(made, shared_by=1))
    assert (points.shared_by, other.shared_by) == (8, 1)
    assert (
        answer(other, cost="train", teacher="shared").frontier == lines["full"] != lines["shared"]
    )
    for k, made in ((8, points), (1, other)):
        offered = controls(made, answer(made))["teachers"]
        assert ("shared", f"shared by {k}", False) in offered


def test_numbers_round_halves_away_from_zero() -> None:
    assert format_fixed(0.8125, 3) == "0.813" and format_fixed(0.125, 2) == "0.13"
    assert [format_short(v) for v in (9999.0, 99.6, 0.0996, 1e-5, 1.05e7)] == [
        "1e4",
        "100",
        "0.1",
        "1e-5",
        "1.1e7",
    ]
