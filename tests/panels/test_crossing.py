"""A crossing's cells, and score against labels: who is there, how they look, what is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.external import systems
from raysearch.panels import accountings, cost_by_labels, method_map, score_labels
from raysearch.panels.crossing import careful, crossing, line
from raysearch.recommend.collect import collect
from tests.support.crossed import LABELS, MODELS, PROCEDURES, part

PICTURES = (score_labels, cost_by_labels, accountings, method_map)


def symbols(figure: go.Figure) -> list[str]:
    """Of every mark that stands for a point."""
    marks = [t.marker.symbol for t in figure.data if isinstance(t.marker.symbol, tuple)]
    return [s for given in marks for s in given]


def test_a_crossing_holds_every_cell_once(crossed_run: Run) -> None:
    grid = crossing(crossed_run)
    assert grid.procedures == tuple(sorted(PROCEDURES)) and grid.models == MODELS
    kinds = [(c.procedure, c.model, c.budget) for c in grid.cells]
    assert len(set(kinds)) == len(kinds) == len(LABELS) * (3 + 3 + 2 + 2) + 3
    assert grid.untested == 0 and all(c.ends is not None for c in grid.cells)
    for c in grid.cells:
        if c.budget:
            assert c.draws == 3 and c.labels == c.budget + min(c.budget, 256)
            assert (c.inputs.get("teacher") == "bert_small") is ("from" in c.procedure)
        else:
            assert (c.validation, c.careful, c.labels, c.draws) == (None, None, 0.0, 1)


def test_of_a_search_the_winners_of_cells_are_hollow(search_run: Run) -> None:
    grid = crossing(search_run)
    assert len(grid.cells) > 15 and all(c.ends is None and c.draws == 0 for c in grid.cells)
    info = score_labels.info(search_run)
    assert "one draw: not confirmed" in info.caption and "Hollow" not in info.caption
    drawn = symbols(score_labels.draw(info))
    assert len(drawn) == len(grid.cells) and all(s.endswith("-open") for s in drawn)


def test_what_needs_no_labels_has_the_interval_that_the_first_page_gives_it(
    crossed_run: Run,
) -> None:
    free = {c.point_id: c for c in crossing(crossed_run).cells if not c.labels}
    known = {s.point: s for s in systems(crossed_run)}
    assert set(free) == set(known) and len(free) == 3
    for point, cell in free.items():
        assert (cell.test, cell.ends) == (known[point].value, known[point].interval)
    assert crossing(crossed_run).procedures[-1] == "zero_shot"


def test_colours_are_those_of_the_first_page(crossed_run: Run, search_run: Run) -> None:
    for any_run in (crossed_run, search_run):
        methods = collect(any_run).methods
        assert crossing(any_run).procedures[: len(methods)] == methods


def test_who_has_few_validation_rows_is_believed_less(crossed_run: Run) -> None:
    assert careful(0.9, 10, "accuracy") < careful(0.8, 256, "accuracy")
    assert careful(0.8, 64, "accuracy") < careful(0.81, 64, "accuracy")
    assert careful(-3.0, 64, "mse") == -3.0  # an unknown scale is left as it is
    for c in crossing(crossed_run).cells:
        assert c.validation is None or c.careful is None or c.careful < c.validation


def test_luck_on_ten_rows_beats_a_better_model_by_the_bare_score_and_not_by_this_one() -> None:
    """Six models of truth 0.7 seen on ten rows a draw, one of 0.8 seen on 256; three draws."""
    rng = np.random.default_rng(0)
    few = rng.binomial(30, 0.7, (300, 6)) / 30
    scores = rng.binomial(768, 0.8, 300) / 768
    worth = [[careful(v, 10, "accuracy") for v in row] for row in few.tolist()]
    believed = [careful(v, 256, "accuracy") for v in scores.tolist()]
    assert (few.max(axis=1) > scores).mean() > 0.3
    assert (np.max(worth, axis=1) > believed).mean() < 0.02


def test_labels_are_those_used_and_zero_has_a_place_of_its_own(crossed_run: Run) -> None:
    info = score_labels.info(crossed_run)
    assert len(info.curves) == 10 and len(info.free) == 3
    for curve in info.curves:
        assert [c.labels for c in curve.cells] == [20, 64, 200, 576, 1256]
    axis = score_labels.draw(info).layout.xaxis
    assert axis.ticktext == ("0", "10", "32", "100", "320", "1,000", "3,200")
    without = score_labels.info(part(crossed_run, lambda r: r.labels_used))
    assert score_labels.draw(without).layout.xaxis.ticktext[0] == "10"


def test_colour_and_shape_say_the_procedure_and_dashes_the_size(crossed_run: Run) -> None:
    figure = score_labels.draw(score_labels.info(crossed_run))
    curves = [t for t in figure.data if t.mode == "lines+markers" and not t.showlegend]
    curves = [t for t in curves if t.showlegend is False]
    looks = {(t.legendgroup, t.line.color, t.marker.symbol[0]) for t in curves}
    assert len(curves) == 10 and len(looks) == 4
    assert len({look[1:] for look in looks}) == 4
    keys = [t for t in figure.data if t.showlegend is None]
    assert [t.name for t in keys] == [*sorted(PROCEDURES), *MODELS]
    assert len({t.line.dash for t in keys if t.mode == "lines"}) == 3
    for t in curves:
        assert all(v > 0 for v in t.error_y.array) and all(v > 0 for v in t.error_y.arrayminus)


def test_what_was_not_repeated_is_hollow_among_the_others(crossed_run: Run) -> None:
    lost = part(
        crossed_run,
        lambda r: r.phase != "confirm" or (r.config.method, r.config.rung) != ("prompt", MODELS[0]),
    )
    info = score_labels.info(lost)
    drawn = symbols(score_labels.draw(info))
    assert [s.endswith("-open") for s in drawn].count(True) == len(LABELS)
    assert f"Hollow: {len(LABELS)} without an interval." in info.caption
    assert len(drawn) == len(crossing(lost).cells)


def test_numbers_are_those_of_the_cells(crossed_run: Run) -> None:
    cells = {c.point_id: c for c in crossing(crossed_run).cells}
    rows = score_labels.numbers(score_labels.info(crossed_run))
    assert {r["point_id"] for r in rows} == set(cells) and len(rows) == len(cells)
    for r in rows:
        c = cells[str(r["point_id"])]
        assert (r["accuracy"], r["low"], r["labels_used"]) == (
            c.test,
            c.ends and c.ends[0],
            c.labels,
        )


def test_captions_say_who_chose_who_reports_and_what_is_not_counted(crossed_run: Run) -> None:
    for picture in PICTURES:
        caption = picture.info(crossed_run).caption
        assert "validation (10 to 256 rows" in caption and "test (872 rows)" in caption
        assert "3 draws" in caption and "Pretraining of public checkpoints not counted." in caption
        assert picture.draw(picture.info(crossed_run)).layout.meta["caption"] == caption


def test_a_line_goes_through_confirmed_points_alone_where_there_are_any(crossed_run: Run) -> None:
    cells = list(crossing(crossed_run).cells)
    best = max(cells, key=lambda c: c.careful or 0.0)
    lucky = dataclasses.replace(best, careful=0.99, ends=None, draws=0)
    assert line([*cells, lucky], "infer_flops") == line(cells, "infer_flops")
    bare = [dataclasses.replace(c, ends=None) for c in (*cells, lucky)]
    assert len(bare) - 1 in line(bare, "infer_flops")
