"""The page of early exit: when it is written, what its pictures hold, what they never show."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysearch.analysis import Run, read_run, to_table, winners
from raysearch.analysis.cascade import cascades
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.exit_trials import exit_trial, exit_trials, first_layers
from raysearch.analysis.report_text import RowName
from raysearch.errors import InputError
from raysearch.outputs import exit_rules
from raysearch.outputs.calibration import ece, softmax
from raysearch.outputs.described import label_of, words_of_knobs
from raysearch.outputs.point_kinds.exits import read as read_exits
from raysearch.panels import (
    exit_accuracy,
    exit_calibration,
    exit_curve,
    exit_examples,
    exit_histogram,
    exit_marks,
    write_pages,
)
from raysearch.panels.captions import UNCOUNTED
from raysearch.panels.embed import choices_json, points_json, table_json
from raysearch.recommend.collect import collect
from raysearch.recommend.differences import difference_of
from raysearch.recommend.point_text import name
from raysearch.record import OperatingPoint
from tests.panels.test_page import HOSTILE, tags
from tests.support.exiting import LAYERS, TEST, exiting
from tests.support.passing import Part, write

curves_of = partial(exit_curve.info, baseline="finetune")
accuracy_of = partial(exit_accuracy.info, baseline="finetune")

PAGE = "early_exit.html"
PICTURES = (exit_curve, exit_histogram, exit_calibration, exit_accuracy, exit_examples)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return exiting(tmp_path_factory.mktemp("exits") / "a run", measured=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nothing is confirmed."""
    return exiting(tmp_path_factory.mktemp("bare") / "run", draws=0, labels=(320,))


def points_of(run: Run) -> dict[str, OperatingPoint]:
    return {p.point_id: p for r in run.records if r.phase != "confirm" for p in r.points}


def without_store(run: Run, folder: Path) -> Run:
    """The same records in a folder of their own."""
    folder.mkdir()
    for file in ("records.jsonl", "study.yaml"):
        shutil.copy(run.folder / file, folder / file)
    return read_run(folder)


def column(packed: Any) -> list[Any]:
    """A column as the page's script reads it."""
    return packed if isinstance(packed, list) else [packed["of"][i] for i in packed["at"]]


# The page


@pytest.mark.slow
def test_the_page_stands_where_points_have_exits(run: Run, tmp_path: Path) -> None:
    index = write_pages(run, tmp_path / "out")
    page = index.parent / PAGE
    assert PAGE in index.read_text() and PAGE in (index.parent / "research.html").read_text()
    assert len(re.findall('<section class="panel"', page.read_text())) == 6
    assert "Nothing to show" not in re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.S)
    for picture in PICTURES:
        info = picture.info(run)
        assert picture.numbers(info) and info.caption and picture.draw(info).data
        assert picture.draw(info).layout.meta["caption"] == info.caption


def test_a_run_without_exits_has_no_such_page(search_run: Run, tmp_path: Path) -> None:
    index = write_pages(search_run, tmp_path / "out")
    assert not (index.parent / PAGE).exists() and PAGE not in index.read_text()
    for picture in PICTURES:  # a page of one's own may still ask for them
        info = picture.info(search_run)
        assert not picture.draw(info).data and picture.numbers(info) == []
    assert curves_of(search_run).caption == exit_curve.NO_EXITS


def test_records_without_their_store_have_a_page_that_says_so(run: Run, tmp_path: Path) -> None:
    alone = without_store(run, tmp_path / "alone")
    write_pages(alone, tmp_path / "out")
    for picture in (exit_calibration, exit_accuracy, exit_examples):
        info = picture.info(alone)
        assert "not in the run's Store" in info.caption and not picture.draw(info).data
    assert exit_histogram.info(alone) == exit_histogram.info(run), "the records hold the shares"
    marks = exit_curve.numbers(curves_of(alone))
    tested = [p for p in points_of(alone).values() if "test" in p.scores]
    assert {m["point_id"] for m in marks} <= {p.point_id for p in tested} and marks


@pytest.mark.parametrize("picture", PICTURES[1:])
def test_a_point_by_name_is_its_trial_and_others_are_refused(picture: Any, run: Run) -> None:
    best = {one.cell[2]: one for one in exit_trials(run)}
    small, large = picture.info(run), picture.info(run, point=best[100].best.point_id)
    assert small != large and "100 labels" in large.caption
    tuned = next(r for r in run.records if r.config.method == "finetune")
    with pytest.raises(InputError, match="its model has no exits"):
        picture.info(run, point=tuned.points[0].point_id)
    with pytest.raises(InputError, match="no trial or point"):
        picture.info(run, point="0123456789")


def test_an_unknown_criterion_or_cost_names_the_nearest(run: Run) -> None:
    for picture in (exit_curve, exit_histogram):
        with pytest.raises(InputError, match="Did you mean 'entropy'"):
            picture.info(run, criterion="entrpy")
    with pytest.raises(InputError, match="Did you mean 'infer_flops'"):
        curves_of(run, cost="infer_flop")


@pytest.mark.slow
def test_hostile_names_make_no_tag(tmp_path: Path) -> None:
    evil = exiting(tmp_path / "r", labels=(100,), rename=HOSTILE.__add__, tries=1)
    index = write_pages(evil, tmp_path / "out")
    plain = write_pages(exiting(tmp_path / "p", labels=(100,), tries=1), tmp_path / "plain")
    found = tags(index.parent / PAGE)
    assert "img" not in [t for t, _ in found]
    assert [t for t, _ in found] == [t for t, _ in tags(plain.parent / PAGE)]
    for picture in PICTURES:
        figure = picture.draw(picture.info(evil)).update_layout(meta=None)  # the page escapes it
        assert "<img" not in json.dumps(figure.to_plotly_json(), default=list)


# The curve


def test_a_curve_is_the_best_trial_of_its_cell(run: Run) -> None:
    info = curves_of(run)
    won = winners(run.table).set_index("point_id")
    known = points_of(run)
    assert [p.budget for p in info.panes] == [100, 640]
    for pane in info.panes:
        trials = [r for r in run.records if r.config.method == "early_exit" and r.phase == "search"
                and r.config.data.train == pane.budget]  # fmt: skip
        assert len(trials) == 2
        best = next(r for r in trials if any(p.point_id in won.index for p in r.points))
        drawn = {m.point_id for c in pane.curves for m in c.marks}
        assert drawn == {p.point_id for p in best.points}
        assert [c.criterion for c in pane.curves] == ["confidence", "entropy", "patience"]
        for curve in pane.curves:
            costs = [m.cost for m in curve.marks]
            assert costs == sorted(costs) and costs[-1] == max(costs)
            assert curve.marks[-1].words == "never leaves early"
            kinds = {known[m.point_id].knobs["criterion"] for m in curve.marks[:-1]}
            assert kinds == {curve.criterion}


def test_marks_stand_at_the_estimates_of_the_draws(run: Run) -> None:
    made = confirmation(run)
    estimates = {e.point_id: e for e in made.estimates}
    rows = exit_curve.numbers(curves_of(run))
    exit_rows = [r for r in rows if r["procedure"] == "early_exit"]
    assert len(exit_rows) > 30
    for r in exit_rows:
        e = estimates[str(r["point_id"])]
        seen = (r["accuracy"], r["low"], r["high"], r["draws"], r["validation"])
        assert seen == (e.score, e.low, e.high, 3, e.validation)
    figure = exit_curve.draw(curves_of(run))
    symbols = [
        s for t in figure.data if isinstance(t.marker.symbol, tuple) for s in t.marker.symbol
    ]
    assert symbols and not [s for s in symbols if s.endswith("-open")]
    bands = [t for t in figure.data if t.fill == "toself"]
    assert len(bands) == 2 and all(len(t.x) == len(t.y) for t in bands)


def test_what_no_draw_confirms_is_hollow_and_scored_by_what_the_exits_said(bare: Run) -> None:
    info = curves_of(bare)
    (pane,) = info.panes
    assert "one draw: not confirmed" in info.caption and pane.curves
    (one,) = exit_trials(bare)
    exits, _, labels = read_exits(bare.folder / "store" / "exits" / f"{one.record.id}-test")
    known = points_of(bare)
    for mark in (m for c in pane.curves for m in c.marks):
        predicted = exit_rules.answers(exits, known[mark.point_id].knobs).argmax(axis=1)
        assert mark.test == pytest.approx((predicted == labels).mean())
        assert mark.ends is None and mark.draws == 0 and mark.test_rows == TEST
    figure = exit_curve.draw(info)
    symbols = [
        s for t in figure.data if isinstance(t.marker.symbol, tuple) for s in t.marker.symbol
    ]
    assert symbols and all(s.endswith("-open") for s in symbols)
    assert not [t for t in figure.data if t.fill == "toself"]


def test_a_trial_that_was_not_scored_on_test_is_counted(tmp_path: Path) -> None:
    untested = exiting(tmp_path, draws=0, labels=(100,), tested=False, tries=1)
    info = curves_of(untested)
    points = len(exit_trials(untested)[0].points)
    assert info.panes == () and f"without a score on test left out: {points}." in info.caption
    assert "one draw" in exit_calibration.info(untested).caption
    assert "validation (100 rows)" in exit_calibration.info(untested).caption
    assert exit_examples.info(untested).split == "validation"
    alone = accuracy_of(untested)
    assert "Not shown on test" in alone.caption and exit_accuracy.draw(alone).data
    assert [e.test for e in alone.exits] == [None] * LAYERS


def test_the_baseline_is_the_first_layers_of_the_same_checkpoint(run: Run, tmp_path: Path) -> None:
    assert first_layers("minilm-6") == {f"minilm-{k}": k for k in range(1, 7)}
    assert first_layers("minilm-3") == {"minilm-1": 1, "minilm-2": 2, "minilm-3": 3}
    assert first_layers("bert-tiny") == {"bert-tiny": 2} and first_layers("nobody") == {}
    info = curves_of(run)
    for pane in info.panes:
        assert sorted(c.model for c in pane.tuned) == [f"minilm-{k}" for k in (1, 2, 3, 4, 6)]
        on = [pane.tuned[i] for i in pane.line]
        assert [c.costs["infer_flops"] for c in on] == sorted(c.costs["infer_flops"] for c in on)
    assert "other models" not in info.caption
    alien = curves_of(exiting(tmp_path / "a", labels=(100,), models=("bert-base-uncased",)))
    assert "finetune: other models" in alien.caption and alien.panes[0].tuned
    none = curves_of(exiting(tmp_path / "b", labels=(100,), depths=()))
    assert "finetune: none of these label budgets is here" in none.caption


def test_milliseconds_are_those_of_the_first_page_and_what_was_not_timed_is_counted(
    run: Run,
) -> None:
    info = curves_of(run, cost="ms")
    known = points_of(run)
    shown = {m.point_id: m.cost for p in info.panes for c in p.curves for m in c.marks}
    for point, ms in shown.items():
        timed = known[point].measured
        assert ms == timed["latency_ms"] + timed["tokenise_ms"]
    points = collect(run)
    first = dict(zip(points.ids, points.costs["ms"].tolist(), strict=True))
    assert all(first[p] == ms for p, ms in shown.items())
    whole = {m.point_id for p in curves_of(run).panes for c in p.curves for m in c.marks}
    assert 0 < len(shown) < len(whole)
    assert f"Points without ms left out: {len(whole) - len(shown)}." in info.caption
    assert info.axis == "time per text [ms]"
    assert all(not p.cascades for p in info.panes)


def test_pointing_at_a_mark_tells_how_to_have_it(run: Run) -> None:
    info = curves_of(run)
    figure = exit_curve.draw(info)
    texts = [t for trace in figure.data for t in trace.text or ()]
    curve = info.panes[0].curves[0]
    mark = curve.marks[3]
    hover = next(t for t in texts if mark.point_id in t)
    folder = shlex.quote(str(run.folder))
    assert folder.startswith("'"), "a folder with a blank in its name"
    assert f"raysearch export {folder} {mark.point_id} --to DIR" in hover
    assert "leaves at confidence 0." in hover and "layer 1: " in hover and " %, " in hover
    assert f"accuracy {mark.test:.3f} [" in hover and "3 draws" in hover


@dataclasses.dataclass(frozen=True)
class Pair:
    """What is read of a cascade."""

    point_id: str
    first: str
    second: str
    words: str
    labels: int
    infer_flops: float
    validation: float
    validation_rows: int
    on: float = 0.25
    test: float | None = 0.9
    low: float | None = 0.88
    high: float | None = 0.92
    draws: int = 3
    test_rows: int = TEST
    left_out: int = 0
    own_draw: bool = False


def test_cascades_stand_in_the_pane_of_their_larger_budget(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = (one.best.point_id for one in sorted(exit_trials(run), key=lambda o: o.cell[2]))
    pair = Pair("c0ffee", small, large, "a, then <b>b</b>", 900, 3e8, 0.91, 256)
    lost = dataclasses.replace(pair, point_id="c0ffe1", test=None, low=None, high=None)
    monkeypatch.setattr("raysearch.analysis.cascade.cascades", lambda run: (pair, lost))
    assert exit_marks.cascades(run, "infer_flops")[1] == 1
    info = curves_of(run)
    assert [len(p.cascades) for p in info.panes] == [0, 1]
    assert "Cascades without infer_flops or a score on test left out: 1." in info.caption
    figure = exit_curve.draw(info)
    assert "cascade" in [t.name for t in figure.data]
    hover = next(
        t for trace in figure.data for t in trace.text or () if "goes" in t or "go on" in t
    )
    assert (
        "a, then &lt;b&gt;b&lt;/b&gt;, 900 labels" in hover
        and "on test 25 % of the texts go on" in hover
    )
    assert "on validation on" not in hover and "on validation layer" not in hover
    shown = "Cascades chosen on validation (256 rows), shown on test (872 rows), 3 fresh draws."
    assert shown in info.caption
    assert "raysearch export" not in hover
    (row,) = [r for r in exit_curve.numbers(info) if r["procedure"] == "cascade"]
    assert (row["accuracy"], row["low"], row["infer_flops"]) == (0.9, 0.88, 3e8)
    timed = curves_of(run, cost="ms")
    assert "Cascades without ms or a score on test left out: 2." in timed.caption
    assert "Cascades chosen" not in timed.caption
    own = dataclasses.replace(pair, own_draw=True, left_out=30)
    monkeypatch.setattr("raysearch.analysis.cascade.cascades", lambda run: (own, lost))
    caption = curves_of(run).caption
    assert "(872 rows; the 30 that chose left out), 3 draws, the first of which chose." in caption
    monkeypatch.setattr("raysearch.analysis.cascade.cascades", lambda run: (own, pair))
    assert "3 draws, the first of which chose 1 of 2." in curves_of(run).caption


def tuned_at(run: Run, budget: int) -> list[str]:
    """Ids of the fine-tuned points of a label budget, cheap first."""
    points = [r.points[0] for r in run.records if r.phase == "search"
            and (r.config.method, r.config.data.train) == ("finetune", budget)]  # fmt: skip
    return [p.point_id for p in sorted(points, key=lambda p: p.infer_flops or 0)]


def test_a_budget_without_exits_has_a_pane_of_its_cascades(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exits at 640 labels alone, fine-tuned models at 100 too."""
    kept = [r for r in run.records if (r.config.method, r.config.data.train) != ("early_exit", 100)]
    fewer = dataclasses.replace(run, records=tuple(kept), table=to_table(kept))
    small, *_, large = tuned_at(run, 100)
    pair = Pair("c0ffee", small, large, "a, then b", 200, 3e8, 0.91, 256)
    monkeypatch.setattr("raysearch.analysis.cascade.cascades", lambda run: (pair,))
    info = curves_of(fewer)
    assert [(p.budget, len(p.curves), len(p.cascades)) for p in info.panes] == [
        (100, 0, 1),
        (640, 3, 0),
    ]
    assert [len(p.tuned) for p in info.panes] == [5, 5] and info.panes[0].line
    titles = [a.text for a in exit_curve.draw(info).layout.annotations]
    assert "<b>100 labels</b>" in titles and "<b>640 labels</b>" in titles
    assert "Trials chosen on" in info.caption and exit_curve.NO_EXITS not in info.caption
    (row,) = [r for r in exit_curve.numbers(info) if r["procedure"] == "cascade"]
    assert (row["pane"], row["point_id"]) == (100, "c0ffee")


def test_a_run_without_exits_shows_its_cascades_and_says_so(tmp_path: Path) -> None:
    parts = (Part("mini-2", 100.0, 0.75), Part("mini-6", 1000.0, 0.9))
    plain = write(tmp_path, parts)
    info = curves_of(plain)
    (pane,) = info.panes
    found = cascades(plain)
    assert [m.point_id for m in pane.cascades] == [c.point_id for c in found] and found
    assert [m.cost for m in pane.cascades] == [c.infer_flops for c in found], "of test"
    assert len(pane.tuned) == 2 and not pane.curves and exit_curve.draw(info).data
    assert info.caption == (
        f"{exit_curve.NO_EXITS} Cascades chosen on validation (200 rows), shown on test (600 rows),"
        f" 3 fresh draws. {UNCOUNTED}"
    )
    timed = curves_of(plain, cost="ms")
    sentence = f"Cascades without ms or a score on test left out: {len(found)}."
    assert timed.panes == () and timed.caption == f"{exit_curve.NO_EXITS} {sentence}"


def test_exits_without_a_test_score_do_not_hide_cascades(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untested = exiting(tmp_path, draws=0, labels=(100,), tested=False, tries=1)
    small, *_, large = tuned_at(untested, 100)
    pair = Pair("c0ffee", small, large, "a, then b", 200, 3e8, 0.91, 256)
    monkeypatch.setattr("raysearch.analysis.cascade.cascades", lambda run: (pair,))
    info = curves_of(untested)
    (pane,) = info.panes
    assert pane.cascades and pane.tuned and not pane.curves
    count = len(exit_trials(untested)[0].points)
    assert f"Points without a score on test left out: {count}." in info.caption
    assert exit_curve.NO_EXITS not in info.caption and "Cascades chosen" in info.caption


# Where texts leave


def test_bars_are_the_recorded_shares_dear_to_cheap(run: Run) -> None:
    info = exit_histogram.info(run)
    found = exit_trial(run)
    assert found is not None and info.exits == tuple(f"layer {k}" for k in range(1, LAYERS + 1))
    known = points_of(run)
    assert info.levels[0].threshold == "never" and info.levels[0].spent == 1.0
    for level in info.levels:
        point = known[level.point_id]
        assert list(level.shares) == list(point.exits)
        assert sum(level.shares) == pytest.approx(1.0)
        assert point.knobs["criterion"] == "confidence"
    spent = [level.spent for level in info.levels]
    assert spent == sorted(spent, reverse=True)
    figure = exit_histogram.draw(info)
    assert len(figure.data) == LAYERS
    assert len({t.marker.color for t in figure.data}) == LAYERS
    totals = np.sum([t.x for t in figure.data], axis=0)
    assert totals == pytest.approx(np.ones(len(info.levels)))
    by_patience = exit_histogram.info(run, criterion="patience")
    assert [level.threshold for level in by_patience.levels[:1]] == ["never"]
    assert {level.threshold for level in by_patience.levels[1:]} <= {"1", "2", "3", "4", "5"}


def test_exits_of_a_model_that_the_ladder_does_not_know_are_counted(tmp_path: Path) -> None:
    info = exit_histogram.info(exiting(tmp_path, labels=(100,), rename="x ".__add__, draws=0))
    assert info.exits == tuple(f"exit {k}" for k in range(1, LAYERS + 1))


def test_half_the_layers_are_named_by_what_lies_below_them(tmp_path: Path) -> None:
    made = exiting(tmp_path, labels=(100,), exits="half")
    assert exit_histogram.info(made).exits == ("layer 2", "layer 4", "layer 6")
    alone = accuracy_of(made)
    assert [e.layers for e in alone.exits] == [2, 4, 6]
    assert [k for k, _ in alone.tuned] == [1, 2, 3, 4, 6]


# Calibration


def drawn_exits(run: Run) -> list[tuple[Any, Any]]:
    """What the exits of the best trial's draws said of the test rows."""
    found = exit_trial(run)
    assert found is not None
    recipe = found.record.config.seedless_id
    draws = [r for r in run.records if r.phase == "confirm" and r.config.seedless_id == recipe]
    assert len(draws) == 3
    read = [read_exits(run.folder / "store" / "exits" / f"{r.id}-test") for r in draws]
    return [(exits, labels) for exits, _, labels in read]


def test_errors_before_and_after_are_means_over_the_draws(run: Run) -> None:
    info = exit_calibration.info(run)
    assert len(info.exits) == LAYERS and "on test (872 rows), 3 fresh draws" in info.caption
    of = drawn_exits(run)
    for k, one in enumerate(info.exits):
        before = [ece(softmax(e.logits[:, k]), label) for e, label in of]
        after = [ece(softmax(e.calibrated[:, k]), label) for e, label in of]
        assert one.before.ece == pytest.approx(np.mean(before))
        assert one.after.ece == pytest.approx(np.mean(after))
        assert one.temperature == pytest.approx(np.mean([e.temperature[k] for e, _ in of]))
        for state in (one.before, one.after):
            assert sum(b.count for b in state.bins) == 3 * TEST
    assert np.mean([e.after.ece - e.before.ece for e in info.exits]) < 0, "a temperature helps"
    figure = exit_calibration.draw(info)
    titles = [a.text for a in figure.layout.annotations]
    assert (
        f"<b>layer 1: ECE {info.exits[0].before.ece:.3f} → {info.exits[0].after.ece:.3f}</b>"
        in titles
    )
    legend = [t.name for t in figure.data if t.showlegend]
    assert legend == ["as trained", "with temperature"]
    shapes = {t.marker.symbol for t in figure.data if t.mode == "lines+markers"}
    assert len(shapes) == 2


def test_unconfirmed_calibration_is_that_of_the_scored_trial(bare: Run) -> None:
    assert "on test (872 rows), one draw." in exit_calibration.info(bare).caption


# Each exit alone


def test_an_exit_alone_scores_what_everyone_leaving_there_would(run: Run) -> None:
    info = accuracy_of(run)
    of = drawn_exits(run)
    for k, one in enumerate(info.exits):
        each = [(e.logits[:, k].argmax(axis=1) == label).mean() for e, label in of]
        assert one.test == pytest.approx(np.mean(each)) and one.draws == 3
        assert one.ends is not None and one.ends[0] < one.test < one.ends[1]
    last = next(e for e in confirmation(run).estimates
                if e.point_id == exit_histogram.info(run).levels[0].point_id)  # fmt: skip
    assert info.exits[-1].test == pytest.approx(last.score), "the whole model"
    assert info.exits[-1].ends == pytest.approx((last.low, last.high), abs=0.01)
    assert [k for k, _ in info.tuned] == [1, 2, 3, 4, 6]
    assert all(c.budget == 640 and c.ends is not None for _, c in info.tuned)
    names = [t.name for t in exit_accuracy.draw(info).data]
    assert len(names) == 3 and "finetune, model of so many layers, test" in names


# Examples


def test_examples_are_rows_by_number_and_hold_no_text(run: Run) -> None:
    info = exit_examples.info(run)
    easy = [r for r in info.rows if r.kind == "easiest"]
    hard = [r for r in info.rows if r.kind == "hardest"]
    assert len(easy) == len(hard) == 8 and not {r.row for r in easy} & {r.row for r in hard}
    assert max(r.exit for r in easy) < min(r.exit for r in hard)
    sure = [r.confidence for r in easy]
    assert sure == sorted(sure, reverse=True) or len({r.exit for r in easy}) > 1
    assert all(0 <= r.right <= r.draws == 3 and r.name is None for r in info.rows)
    assert "test" == info.split and exit_examples.BY_NUMBER in info.caption
    (table,) = exit_examples.draw(info).data
    assert [v.strip("<b>/") for v in table.header.values] == [
        "", "test row", "leaves at", "confidence", "right",
    ]  # fmt: skip
    assert len(exit_examples.info(run, most=3).rows) == 6


def test_an_example_is_what_the_exits_said_of_the_row(run: Run) -> None:
    info = exit_examples.info(run)
    found = exit_trial(run)
    assert found is not None
    of = drawn_exits(run)
    for row in info.rows:
        left, sure, right = [], [], 0
        for exits, label in of:
            z = exits.calibrated[row.row : row.row + 1]
            (at,) = exit_rules.exit_index(z, "confidence", found.best.knobs["threshold"])
            left.append(at + 1)
            sure.append(softmax(z[:, at]).max())
            right += int(z[0, at].argmax() == label[row.row])
        assert row.exit == pytest.approx(np.mean(left))
        assert row.confidence == pytest.approx(np.mean(sure))
        assert row.right == right


def test_texts_stand_there_only_for_who_gives_them_and_do_nothing(run: Run) -> None:
    def names(split: str, rows: Any) -> dict[int, RowName]:
        return {r: RowName(f"{r:016x}", f"text {r} {HOSTILE} <b>x</b>" + " y" * 300) for r in rows}

    info = exit_examples.named(exit_examples.info(run), names)
    assert exit_examples.BY_NUMBER not in info.caption and exit_examples.BY_HASH in info.caption
    (table,) = exit_examples.draw(info).data
    head = [v.strip("<b>/") for v in table.header.values]
    assert head[2] == "hash" and head[-1] == "text"
    texts = table.cells.values[-1]
    assert all("<img" not in t and "<b>" not in t and "&lt;" in t for t in texts)
    assert all(len(t) < 800 and "…" in t for t in texts), "long ones are cut"
    assert all("text" not in r for r in exit_examples.numbers(info))
    hashes = exit_examples.named(
        exit_examples.info(run), lambda s, rows: {r: RowName(f"{r:016x}") for r in rows}
    )
    assert "text" not in exit_examples.draw(hashes).data[0].header.values[-1]


def test_where_the_best_never_leaves_early_a_point_of_half_its_cost_stands_in(run: Run) -> None:
    found = exit_trial(run)
    assert found is not None
    whole = exit_histogram.info(run).levels[0].point_id
    named = exit_examples.info(run, point=whole)
    assert "never leaves early" in named.caption, "who asks for it has it"
    half = exit_examples._half(found)
    spent = (half.infer_flops or 0.0) / (found.points[0].infer_flops or 1.0)
    assert 0.3 < spent < 0.7


# Words and commands


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"criterion": "confidence", "threshold": 0.85}, "leaves at confidence 0.85"),
        ({"criterion": "entropy", "threshold": 0.99944}, "leaves at certainty 0.99944 by entropy"),
        ({"criterion": "patience", "threshold": 2}, "leaves after 2 exits that agree"),
        ({"criterion": "patience", "threshold": 1}, "leaves after 1 exit that agrees"),
        ({"criterion": "confidence", "threshold": "never"}, "never leaves early"),
        ({"criterion": "confidence", "threshold": 0.0}, "leaves at the first exit"),
        (
            {"criterion": "confidence", "threshold": 0.7, "int8": True},
            "leaves at confidence 0.7, int8",
        ),
        ({"threshold": 0.7}, "threshold 0.7"),
        ({}, ""),
    ],
)
def test_knobs_are_said_in_words(knobs: dict[str, Any], words: str) -> None:
    assert words_of_knobs(knobs).label == words


def test_sentences_say_when_texts_leave_and_buttons_carry_the_point(run: Run) -> None:
    points = collect(run)
    place = {p: i for i, p in enumerate(points.ids)}
    known = points_of(run)
    with_exits = [p for p in points.ids if known[p].exits]
    assert len(with_exits) > 30 and len({name(points, place[p]) for p in with_exits}) == len(
        with_exits
    )
    for p in with_exits:
        assert f"early_exit, {label_of(known[p])}, " in name(points, place[p])
    assert column(points_json(points)["ids"]) == list(points.ids)
    knobs = column(choices_json(run, points)["knobs"])
    assert all(json.loads(knobs[place[p]]) == known[p].knobs for p in with_exits)


def test_the_table_of_all_points_tells_points_of_one_trial_apart(run: Run, search_run: Run) -> None:
    columns = table_json(run, collect(run))["columns"]
    ids = columns["point_id"]
    assert ids == [str(p) for p in run.table["point_id"]]
    words = {str(v) for v in column(columns["point"])}
    assert "leaves at confidence 0.75" in words and not [w for w in words if "{" in w]
    plain = table_json(search_run, collect(search_run))["columns"]
    assert "point_id" not in plain and "point" not in plain


def test_pairs_are_kept_once_in_few_digits_and_read_as_python_reads_them(run: Run) -> None:
    points = collect(run)
    apart = points_json(points)["apart"]
    m = len(confirmation(run).estimates)
    assert apart["unit"] == 10**5 and len(apart["ends"]) == m * (m - 1)
    assert all(isinstance(v, int) for v in apart["ends"])
    at = np.flatnonzero(points.place >= 0)
    for i, j in [(at[5], at[2]), (at[-1], at[0]), (at[9], at[8])]:
        a, b = sorted((points.place[i], points.place[j]), reverse=True)
        start = a * (a - 1) + 2 * b
        low, high = (v / apart["unit"] for v in apart["ends"][start : start + 2])
        seen = difference_of(points, int(i), int(j))
        assert seen == ((low, high) if points.place[i] == a else (0.0 - high, 0.0 - low))
    whole = confirmation(run).difference
    assert np.abs(points.pairwise_differences - whole).max() <= 0.5e-5 + 1e-12
