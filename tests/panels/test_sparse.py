"""The page of sparse distillation: when it is written and what its pictures hold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raysearch.analysis import Run, read_run, to_table
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.students import _confirmed, students
from raysearch.analysis.sweeps import over_knob, over_shape
from raysearch.analysis.tables import has_tables, whole
from raysearch.errors import InputError
from raysearch.panels import retention, table_sweep, write_pages
from raysearch.panels.captions import UNCOUNTED
from raysearch.panels.catalog import check_options
from raysearch.record import OperatingPoint, TrialRecord
from tests.panels.test_page import HOSTILE, tags
from tests.support.sparse import TABLES, Table, sparse

PAGE = "sparse_distill.html"
PICTURES = (retention, table_sweep)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return sparse(tmp_path_factory.mktemp("sparse") / "a run", measured=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nothing is confirmed."""
    return sparse(tmp_path_factory.mktemp("bare") / "run", draws=1, labels=(100,))


def points_of(run: Run) -> dict[str, OperatingPoint]:
    return {p.point_id: p for r in run.records if r.phase != "confirm" for p in r.points}


def teachers_of(run: Run) -> dict[int, OperatingPoint]:
    """By label budget."""
    return {r.config.data.train: r.points[0] for r in run.records
            if r.config.method == "finetune" and r.phase == "search"}  # fmt: skip


def drawn(figure: object) -> list[tuple[float, float]]:
    """Where marks of points stand."""
    traces = [t for t in figure.data if t.text]  # type: ignore[attr-defined]
    return sorted((x, y) for t in traces for x, y in zip(t.x, t.y, strict=True))


# The page


@pytest.mark.slow
def test_the_page_stands_where_points_are_tables(run: Run, tmp_path: Path) -> None:
    index = write_pages(run, tmp_path / "out")
    page = index.parent / PAGE
    assert PAGE in index.read_text() and len(re.findall('class="panel"', page.read_text())) == 4
    assert "Nothing to show" not in re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.S)
    assert not (index.parent / "early_exit.html").exists()
    for picture in PICTURES:
        info = picture.info(run)
        assert picture.numbers(info) and info.caption.endswith(UNCOUNTED)
        assert picture.draw(info).layout.meta["caption"] == info.caption


def test_a_run_without_tables_has_no_such_page(search_run: Run, tmp_path: Path) -> None:
    index = write_pages(search_run, tmp_path / "out")
    assert not has_tables(search_run)
    assert not (index.parent / PAGE).exists() and PAGE not in index.read_text()
    for picture in PICTURES:  # a page of one's own may still ask for them
        info = picture.info(search_run)
        assert not picture.draw(info).data and picture.numbers(info) == []
    assert retention.info(search_run).caption == retention.NO_STUDENTS
    assert table_sweep.info(search_run).caption == " ".join(table_sweep.MISSING.values())


def test_options_that_are_none_are_one_line(run: Run) -> None:
    with pytest.raises(InputError, match="Did you mean 'infer_flops'") as e:
        retention.info(run, cost="infer_flop")
    assert "\n" not in str(e.value)
    with pytest.raises(InputError, match="no option of panel 'retention' 'costs'"):
        check_options("retention", {"costs": "ms"}, "page.yaml")
    with pytest.raises(InputError, match="table_sweep"):
        check_options("table_sweep", {"cost": "ms"}, "page.yaml")


@pytest.mark.slow
def test_hostile_names_make_no_tag(tmp_path: Path) -> None:
    few = TABLES[:3]
    evil = sparse(tmp_path / "r", labels=(100,), tables=few, rename=HOSTILE.__add__)
    index = write_pages(evil, tmp_path / "out")
    plain = write_pages(sparse(tmp_path / "p", labels=(100,), tables=few), tmp_path / "plain")
    found = tags(index.parent / PAGE)
    assert [t for t, _ in found] == [t for t, _ in tags(plain.parent / PAGE)]
    for picture in PICTURES:
        figure = picture.draw(picture.info(evil)).update_layout(meta=None)
        assert "<img" not in json.dumps(figure.to_plotly_json(), default=list)


# What is retained


def test_a_student_that_answers_as_its_teacher_retains_all_of_it(tmp_path: Path) -> None:
    alike = sparse(tmp_path / "run", labels=(100,), tables=TABLES[:3], equal=True)
    rows = retention.numbers(retention.info(alike))
    assert len(rows) > 20
    assert {(r["retained"], r["low"], r["high"]) for r in rows} == {(1.0, 1.0, 1.0)}


def test_what_is_retained_is_the_ratio_of_both_estimates(run: Run) -> None:
    made = confirmation(run)
    by_id = {e.point_id: e for e in made.estimates}
    teachers = teachers_of(run)
    rows = retention.numbers(retention.info(run))
    for r in rows:
        e, above = by_id[str(r["point_id"])], by_id[teachers[int(str(r["pane"]))].point_id]
        assert r["retained"] == e.score / above.score and r["draws"] == 3
        assert (r["accuracy"], r["of_teacher"]) == (e.score, above.score)
        assert 0 < float(str(r["low"])) < e.score / above.score < float(str(r["high"]))
    narrow = [float(str(r["high"])) - float(str(r["low"])) for r in rows]
    lone = [(e.high - e.low) / above.score for e in (by_id[str(r["point_id"])] for r in rows)]
    assert np.median(narrow) < 1.5 * np.median(lone), "what both share cancels"


def test_x_is_the_speed_up_or_the_size(run: Run) -> None:
    known, teachers = points_of(run), teachers_of(run)
    for r in retention.numbers(retention.info(run)):
        point, above = known[str(r["point_id"])], teachers[int(str(r["pane"]))]
        assert r["x"] == above.infer_flops / point.infer_flops > 1
    for cost in ("params", "bytes"):
        for r in retention.numbers(retention.info(run, cost=cost)):
            assert r["x"] == r[cost] == getattr(known[str(r["point_id"])], cost)
    timed = retention.info(run, cost="ms")
    rows = retention.numbers(timed)
    assert {known[str(r["point_id"])].knobs["table"] for r in rows} == {"float32"}
    for r in rows:
        took = known[str(r["point_id"])].measured
        assert r["x"] == 6.2 / (took["latency_ms"] + took["tokenise_ms"]) > 1
    whole_page = retention.numbers(retention.info(run))
    lost = len(whole_page) - len(rows)
    sentence = f"Points without ms of their own or their teacher's left out: {lost:,}."
    assert lost and sentence in timed.caption


def test_a_line_is_the_best_trial_of_its_cell_in_all_its_points(run: Run) -> None:
    info = retention.info(run)
    found = {s.record.id: s for s in students(run)}
    assert [p.budget for p in info.panes] == [100, 640]
    for pane in info.panes:
        cells = [(c.procedure, c.model, c.words) for c in pane.curves]
        assert len(cells) == len(set(cells)) == 8, "n-grams of one model are one cell, hashed two"
        for curve in pane.curves:
            ids = {m.point_id for m in curve.marks}
            (one,) = [s for s in found.values() if {p.point_id for p in s.record.points} == ids]
            assert curve.whole == whole(one.record).point_id
            assert [m.x for m in curve.marks] == sorted(m.x for m in curve.marks)
            assert curve.taught is (curve.procedure != "dan")


def test_tables_from_labels_are_held_against_the_best_teacher_of_as_many(run: Run) -> None:
    info = retention.info(run)
    assert retention.UNTAUGHT in info.caption and "dan: " in info.caption
    teachers = teachers_of(run)
    for one in students(run):
        assert one.teacher is not None
        n = one.record.config.data.train
        assert one.teacher.best.point_id == teachers[n].point_id
        assert one.taught is (one.record.config.method == "sparse_distill")


def test_without_a_teacher_in_the_run_nothing_is_held(tmp_path: Path) -> None:
    alone = sparse(tmp_path / "run", labels=(100,), tables=TABLES[:3], teacher=False)
    info = retention.info(alone)
    points = sum(len(s.record.points) for s in students(alone))
    assert info.panes == () and f"Points without a teacher left out: {points}." in info.caption
    assert not retention.draw(info).data


def test_what_is_not_confirmed_is_hollow(bare: Run) -> None:
    info = retention.info(bare)
    assert "one draw: not confirmed" in info.caption
    known, above = points_of(bare), teachers_of(bare)[100].scores["test"]["accuracy"]
    for r in retention.numbers(info):
        own = known[str(r["point_id"])].scores["test"]["accuracy"]
        assert (r["retained"], r["low"], r["draws"]) == (own / above, None, 0)
    for picture in PICTURES:
        symbols = [s for t in picture.draw(picture.info(bare)).data if t.text
                   for s in t.marker.symbol]  # fmt: skip
        assert symbols and all(s.endswith("-open") for s in symbols)


def test_points_without_a_score_on_test_are_counted(tmp_path: Path) -> None:
    untested = sparse(tmp_path / "run", draws=1, labels=(100,), tables=TABLES[2:7], tested=False)
    info = retention.info(untested)
    points = sum(len(s.record.points) for s in students(untested))
    sentence = f"Points without a share of their teacher's score on test left out: {points}."
    assert info.panes == () and sentence in info.caption
    swept = table_sweep.info(untested)
    assert swept.panes == () and "Points without a score on test left out: " in swept.caption


def test_a_score_that_is_not_above_nothing_is_not_divided_by(bare: Run) -> None:
    def lowered(point: OperatingPoint) -> OperatingPoint:
        return replace(point, scores={**point.scores, "test": {"accuracy": 0.0}})

    records = tuple(
        replace(r, points=tuple(map(lowered, r.points))) if r.config.method == "finetune" else r
        for r in bare.records
    )
    info = retention.info(replace(bare, records=records, table=to_table(records)))
    assert info.panes == () and "without a share of their teacher's score" in info.caption


def changed(run: Run, **of: Callable[[TrialRecord], TrialRecord]) -> Run:
    """The run with the records of some methods changed; its folder stays."""
    records = tuple(of.get(r.config.method, lambda r: r)(r) for r in run.records)
    return replace(run, records=records, table=to_table(records))


def twinned(record: TrialRecord) -> TrialRecord:
    """With int8 twins of all its points, better on validation, at the same FLOPs."""
    if record.phase == "confirm":
        return record
    twins = tuple(
        replace(p, point_id=f"0{p.point_id[1:]}8", knobs={**p.knobs, "int8": True},
                scores={**p.scores, "validation": {"accuracy": 1.0}})
        for p in record.points
    )  # fmt: skip
    return replace(record, points=record.points + twins)


@pytest.mark.slow
def test_int8_twins_that_an_export_has_added_stand_for_nobody(run: Run) -> None:
    exported = changed(run, finetune=twinned, sparse_distill=twinned)

    def shown(of: Run) -> tuple[list[object], list[object]]:
        numbers = [picture.numbers(picture.info(of)) for picture in PICTURES]
        return numbers, [s.teacher and s.teacher.best for s in students(of)]

    assert shown(exported) == shown(run)


@pytest.mark.slow
def test_a_trial_of_a_cell_is_chosen_by_the_mean_of_its_draws(run: Run) -> None:
    """The luck of one draw, which the shown mean holds, does not choose."""
    made = confirmation(run)
    mean = {e.point_id: e.validation for e in made.estimates}
    cell = ("sparse_distill", "dan-1m-4k", 100)
    rivals = [r for r in run.records if r.phase == "search" and not r.config.data.seed
              and (r.config.method, r.config.rung, r.config.data.train) == cell]  # fmt: skip
    best = {r.id: max(mean[p.point_id] for p in r.points) for r in rivals}
    assert len(best) == 4
    worst = min(best, key=best.__getitem__)

    def lucky(record: TrialRecord) -> TrialRecord:
        if record.id != worst:
            return record
        points = tuple(
            replace(p, scores={**p.scores, "validation": {"accuracy": value + 0.01}})
            for p in record.points
            for value in [max(q.scores["validation"]["accuracy"] for r in rivals for q in r.points)]
        )
        return replace(record, points=points)

    turned = changed(run, sparse_distill=lucky)
    mean = {e.point_id: e.validation for e in confirmation(turned).estimates}
    now = {r.id: max(mean[p.point_id] for p in r.points) for r in rivals}
    assert worst != max(now, key=now.__getitem__)
    for one in (run, turned):
        (shown,) = [s.record.id for s in students(one) if
                    (s.record.config.method, s.record.config.rung, s.record.config.data.train)
                    == cell]  # fmt: skip
        assert shown == max(now, key=now.__getitem__)


def test_a_teacher_without_points_is_no_teacher(run: Run) -> None:
    empty = changed(run, finetune=lambda r: replace(r, points=()))
    info = retention.info(empty)
    points = sum(len(s.record.points) for s in students(empty))
    assert points and f"Points without a teacher left out: {points}." in info.caption
    bare_too = changed(empty, sparse_distill=lambda r: replace(r, points=()))
    assert {s.record.config.method for s in students(bare_too)} == {"dan"}


def test_a_share_of_almost_nothing_is_left_out(bare: Run, run: Run) -> None:
    def lowered(record: TrialRecord) -> TrialRecord:
        scores = {"test": {"accuracy": 0.004}}
        return replace(record, points=tuple(
            replace(p, scores={**p.scores, **scores}) for p in record.points))  # fmt: skip

    info = retention.info(changed(bare, finetune=lowered))
    assert info.panes == () and "without a share of their teacher's score" in info.caption
    one = students(run)[0]
    assert one.teacher is not None
    made = confirmation(run)
    low = tuple(replace(e, per_draw=(0.004, *e.per_draw[1:])) for e in made.estimates)
    at, above = made.at(one.record.points[0].point_id), made.at(one.teacher.best.point_id)
    assert at is not None and above is not None
    assert _confirmed(made, at, above, "accuracy") is not None
    assert _confirmed(replace(made, estimates=low), at, above, "accuracy") is None


def test_the_most_frequent_class_has_a_line_at_its_share(tmp_path: Path) -> None:
    study = {"baselines": {"majority": 0.5}}
    run = sparse(tmp_path / "run", tables=TABLES[2:5], **study)
    info = retention.info(run)
    figure = retention.draw(info)
    lines = [t for t in figure.data if t.name == retention.MAJORITY]
    assert len(lines) == len(info.panes) == 2 and sum(t.showlegend for t in lines) == 1
    ends = []
    for k, pane in enumerate(info.panes):
        (above,) = {m.kept.teacher for c in pane.curves for m in c.marks}
        (line,) = [t for t in lines if t.xaxis == ("x" if k == 0 else f"x{k + 1}")]
        assert set(line.y) == {0.5 / above} and line.line.dash == "dot"
        ends.append(0.5 / above)
    sentence = (
        f"most frequent class: accuracy 0.500, {min(ends):.3f} to {max(ends):.3f} of a teacher's"
    )
    assert sentence in info.caption.lower()
    for study in ({}, {"baselines": {"majority": 0.0}}, {"baselines": {"majority": math.nan}}):
        without = retention.info(replace(run, study={**run.study, "baselines": {}, **study}))
        assert "frequent class" not in without.caption
        assert not [t for t in retention.draw(without).data if t.name == retention.MAJORITY]
    other = replace(run, records=tuple(replace(r, score="pearson") for r in run.records))
    assert retention.chance(other) is None


def test_the_order_of_the_records_changes_nothing(tmp_path: Path) -> None:
    run = sparse(tmp_path / "run", labels=(100,), tables=TABLES[1:6])
    turned = tuple(reversed(run.records))
    other = replace(run, records=turned, table=to_table(turned))
    for picture in PICTURES:
        assert picture.info(other) == picture.info(run)


def test_numbers_are_the_marks_that_are_drawn(run: Run) -> None:
    for cost in ("infer_flops", "ms", "params", "bytes"):
        info = retention.info(run, cost=cost)
        rows = sorted((r["x"], r["retained"]) for r in retention.numbers(info))
        assert drawn(retention.draw(info)) == rows
        kinds = {t.mode for t in retention.draw(info).data if t.text}
        assert kinds == {"markers" if cost == "ms" else "lines+markers"}
    info = table_sweep.info(run)
    of = {t.text[0]: t for t in table_sweep.draw(info).data if t.text}
    marks = [(r["value"], r["accuracy"]) for r in table_sweep.numbers(info)]
    assert sorted(map(str, marks)) == sorted(
        str(pair) for t in of.values() for pair in zip(t.x, t.y, strict=True)
    )


def test_pointing_at_a_mark_tells_how_to_have_it(run: Run) -> None:
    info = retention.info(run)
    mark = info.panes[0].curves[-1].marks[0]
    texts = [t for trace in retention.draw(info).data for t in trace.text or ()]
    hover = next(t for t in texts if mark.point_id in t)
    assert f"raysearch export {info.run} {mark.point_id} --to DIR" in hover
    assert info.run.startswith("'"), "a folder with a blank in its name"
    assert "taught by minilm-6, finetune" in hover and "times less compute a text" in hover
    assert re.search(r"[\d,]+ rows, (float32|float16|int8)", hover)
    alone = next(t for t in texts if "dan, frequent" in t)
    assert "from labels alone; held against minilm-6, finetune" in alone


# One thing that goes


def test_sweeps_differ_in_one_thing_alone(run: Run) -> None:
    grams = over_knob(run, "ngrams")
    assert [(s.budget, s.models, [t.value for t in s.steps]) for s in grams] == [
        (100, ("dan-1m-4k",), [1, 2, 3, 4]),
        (640, ("dan-1m-4k",), [1, 2, 3, 4]),
    ]
    wide = over_shape(run)
    assert [[t.value for t in s.steps] for s in wide] == [[4000, 20000, 62500]] * 2
    assert {s.models for s in wide} == {("dan-1m-4k", "dan-1m", "dan-1m-62k")}
    kinds = over_knob(run, "vocabulary")
    assert sorted((s.procedure, s.models, s.budget) for s in kinds) == [
        ("dan", ("dan-10k",), 100),
        ("dan", ("dan-10k",), 640),
        ("sparse_distill from finetune", ("dan-100k",), 100),
        ("sparse_distill from finetune", ("dan-100k",), 640),
    ]
    for sweep in (*grams, *wide, *kinds):
        assert (
            len({tuple(c.id for c in t.record.config.upstream.values()) for t in sweep.steps}) == 1
        )
        assert all(t.point.knobs["table"] == "float32" for t in sweep.steps)


def test_marks_of_a_sweep_stand_at_the_estimates(run: Run) -> None:
    by_id = {e.point_id: e for e in confirmation(run).estimates}
    info = table_sweep.info(run)
    assert [p.title for p in info.panes] == list(table_sweep.AXES)
    for r in table_sweep.numbers(info):
        e = by_id[str(r["point_id"])]
        assert (r["accuracy"], r["low"], r["high"], r["draws"]) == (e.score, e.low, e.high, 3)
        assert math.isclose(float(str(r["validation"])), e.validation)
    shape = next(m for p in info.panes for line in p.lines for m in line.marks if m.value == 62500)
    assert shape.words == "dan-1m-62k (62,500 × 16)"


def test_a_sweep_that_a_run_lacks_is_said(tmp_path: Path) -> None:
    some = (Table("dan-10k"), Table("dan-10k", ngrams=1), Table("dan-100k"))
    info = table_sweep.info(sparse(tmp_path / "run", labels=(100,), tables=some))
    assert [p.title for p in info.panes] == [table_sweep.NGRAMS]
    assert table_sweep.MISSING[table_sweep.SHAPE] in info.caption
    assert table_sweep.MISSING[table_sweep.VOCABULARY] in info.caption
    assert table_sweep.MISSING[table_sweep.NGRAMS] not in info.caption


def test_records_without_their_store_are_hollow(run: Run, tmp_path: Path) -> None:
    for file in ("records.jsonl", "study.yaml"):
        (tmp_path / file).write_bytes((run.folder / file).read_bytes())
    alone = read_run(tmp_path)
    info = retention.info(alone)
    assert "one draw: not confirmed" in info.caption
    assert {r["low"] for r in retention.numbers(info)} == {None}
