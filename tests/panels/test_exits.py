"""Pictures of early exit: whose numbers they say they are, and records that are not whole."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysearch.analysis import Run, read_run
from raysearch.analysis.exit_trials import by_criterion, exit_trial, exit_trials, in_draws, never
from raysearch.errors import InputError
from raysearch.panels import (
    exit_accuracy,
    exit_calibration,
    exit_curve,
    exit_examples,
    exit_histogram,
    write_pages,
)
from raysearch.record import OperatingPoint
from tests.support.exiting import LAYERS, exiting

curves_of = partial(exit_curve.info, baseline="finetune")

PICTURES = (exit_curve, exit_histogram, exit_calibration, exit_accuracy, exit_examples)
Event = dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return exiting(tmp_path_factory.mktemp("exits") / "run", labels=(100,), depths=(1, 6))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nothing is confirmed, and there is one trial with exits."""
    folder = tmp_path_factory.mktemp("bare") / "run"
    return exiting(folder, labels=(100,), depths=(6,), draws=0, tries=1)


def altered(run: Run, folder: Path, change: Callable[[Event], None]) -> Run:
    """The same run in a folder of its own, its trials of early exit changed."""
    shutil.copytree(run.folder, folder)
    lines = []
    for line in (folder / "records.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["config"]["method"] == "early_exit":
            change(event)
        lines.append(json.dumps(event) + "\n")
    (folder / "records.jsonl").write_text("".join(lines))
    return read_run(folder)


def named(name: str, change: Callable[[Event], None]) -> Callable[[Event], None]:
    """Change one point."""

    def of(event: Event) -> None:
        for point in event["points"]:
            if point["point_id"] == name:
                change(point)

    return of


def best_of(run: Run) -> OperatingPoint:
    found = exit_trial(run)
    assert found is not None
    return found.best


def drawn(run: Run) -> None:
    for picture in PICTURES:
        info = picture.info(run)
        picture.draw(info), picture.numbers(info)


# Calibration


def test_exits_without_a_temperature_say_so_and_have_one_state(tmp_path: Path) -> None:
    info = exit_calibration.info(exiting(tmp_path / "r", labels=(40,), depths=(), tries=1))
    assert "No temperature was fitted: fewer than 30 labelled rows were held" in info.caption
    assert "Temperatures were fitted" not in info.caption
    assert [e.after for e in info.exits] == [None] * LAYERS
    figure = exit_calibration.draw(info)
    titles = [a.text for a in figure.layout.annotations]
    assert f"<b>layer 1: ECE {info.exits[0].before.ece:.3f}</b>" in titles
    assert not [t for t in titles if "→" in t]
    lines = [t for t in figure.data if t.mode == "lines+markers"]
    assert len(lines) == LAYERS
    assert [t.name for t in figure.data if t.showlegend] == ["as trained"]
    assert {n["state"] for n in exit_calibration.numbers(info)} == {"as trained"}


def test_from_sixty_labels_on_temperatures_are_fitted(tmp_path: Path) -> None:
    info = exit_calibration.info(exiting(tmp_path / "r", labels=(60,), depths=(), tries=1))
    assert "Temperatures were fitted on rows of their own." in info.caption
    assert "No temperature" not in info.caption
    assert all(e.after is not None for e in info.exits)
    assert any(e.temperature != 1 for e in info.exits)


# Whose shares


def test_shares_of_a_confirmed_trial_are_means_over_its_draws_and_say_so(run: Run) -> None:
    info = exit_histogram.info(run)
    assert "Means over 3 fresh draws, each on 100 validation rows of its own." in info.caption
    assert "the search's own trial" not in info.caption.lower()
    draws = [r for r in run.records if r.phase == "confirm" and r.config.method == "early_exit"]
    known = {p.point_id: p for r in run.records for p in r.points}
    for level in info.levels:
        twins = [p for r in draws for p in r.points
                 if dict(p.knobs) == dict(known[level.point_id].knobs)]  # fmt: skip
        assert level.draws == len(twins) == 3 and level.rows == (100, 100, 100)
        assert level.shares == pytest.approx(np.mean([t.exits for t in twins], axis=0))
        seen = [t.scores["validation"]["accuracy"] for t in twins]
        assert level.validation == pytest.approx(np.mean(seen))
    assert {n["draws"] for n in exit_histogram.numbers(info)} == {3}


def test_shares_of_too_few_draws_are_those_of_the_search_and_say_so(tmp_path: Path) -> None:
    few = exiting(tmp_path / "r", labels=(100,), depths=(), tries=1, draws=2)
    info = exit_histogram.info(few)
    assert "The search's own trial on 100 validation rows." in info.caption
    assert "Means over" not in info.caption
    (own,) = [r for r in few.records if r.phase == "search"]
    recorded = {p.point_id: p for p in own.points}
    for level in info.levels:
        point = recorded[level.point_id]
        assert level.draws == 0 and list(level.shares) == list(point.exits)
        assert level.validation == point.scores["validation"]["accuracy"]


def test_bars_that_no_draw_has_are_counted(run: Run, tmp_path: Path) -> None:
    lost = dict(best_of(run).knobs)

    def change(event: Event) -> None:
        if event["phase"] == "confirm":
            event["points"] = [p for p in event["points"] if p.get("knobs") != lost]

    some = altered(run, tmp_path / "r", change)
    info = exit_histogram.info(some, criterion=str(lost["criterion"]))
    assert "Means over 3 fresh draws" in info.caption
    assert "1 of the bars: the search's own trial on 100 validation rows." in info.caption
    assert [lv.point_id for lv in info.levels if not lv.draws] == [best_of(run).point_id]


def test_draws_of_a_named_point_count_where_no_winner_has_exits(run: Run, tmp_path: Path) -> None:
    def change(event: Event) -> None:
        for point in event["points"]:
            point.get("scores", {}).pop("validation", None)

    unseen = altered(run, tmp_path / "r", change)
    assert exit_trials(unseen) == () and len(in_draws(unseen, best_of(run))) == 3


# Records that are not whole


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0.0])
def test_flops_that_are_no_number_leave_the_point_out(
    bare: Run, tmp_path: Path, value: float
) -> None:
    odd = best_of(bare)
    broken = altered(
        bare, tmp_path / "r", named(odd.point_id, lambda p: p.update(infer_flops=value))
    )
    drawn(broken)
    info = exit_histogram.info(broken, criterion=str(odd.knobs["criterion"]))
    assert odd.point_id not in {lv.point_id for lv in info.levels} and info.levels
    assert "Points without infer_flops left out: 1." in info.caption
    spent = [lv.spent for lv in info.levels]
    assert spent == sorted(spent, reverse=True) and max(spent) == 1.0
    found = exit_trial(broken)
    assert found is not None
    assert by_criterion(found, str(odd.knobs["criterion"]))[-1].point_id == odd.point_id


def test_without_the_whole_model_parts_are_of_the_dearest(bare: Run, tmp_path: Path) -> None:
    found = exit_trial(bare)
    assert found is not None
    (whole,) = [p for p in found.points if never(p)]
    shown = exit_histogram.info(bare)
    assert "the part of the whole model's FLOPs" in shown.caption
    gone = named(whole.point_id, lambda p: p.update(infer_flops=math.nan))
    info = exit_histogram.info(altered(bare, tmp_path / "r", gone))
    assert "the part of the dearest point's FLOPs" in info.caption
    texts = [h for t in exit_histogram.draw(info).data for h in t.hovertext]
    assert all("% of the dearest point" in h for h in texts)


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"depth": 3},
        {"criterion": "confidence"},
        {"threshold": 0.5},
        {"criterion": "luck", "threshold": 0.5},
        {"criterion": "confidence", "threshold": [0.5]},
        {"criterion": ["confidence"], "threshold": 0.5},
    ],
)
def test_exits_without_a_threshold_are_no_point_of_a_curve(
    bare: Run, tmp_path: Path, knobs: Event
) -> None:
    odd = best_of(bare)
    broken = altered(bare, tmp_path / "r", named(odd.point_id, lambda p: p.update(knobs=knobs)))
    drawn(broken)
    other = next(p for p in exit_trials(bare)[0].points if p.point_id != odd.point_id)
    less = altered(bare, tmp_path / "s", named(other.point_id, lambda p: p.update(knobs=knobs)))
    drawn(less)
    marks = [m for p in curves_of(less).panes for c in p.curves for m in c.marks]
    assert marks and other.point_id not in {m.point_id for m in marks}
    for picture in PICTURES[1:]:
        with pytest.raises(InputError, match="do not say when texts leave") as caught:
            picture.info(broken, point=odd.point_id)
        assert "\n" not in str(caught.value)


def test_a_point_of_fewer_exits_than_its_trial_is_left_out(bare: Run, tmp_path: Path) -> None:
    odd = next(p for p in exit_trials(bare)[0].points if p.point_id != best_of(bare).point_id)
    short = named(odd.point_id, lambda p: p.update(exits=[0.5, 0.5]))
    broken = altered(bare, tmp_path / "r", short)
    drawn(broken)
    shown = exit_histogram.info(broken, criterion=str(odd.knobs["criterion"]))
    assert odd.point_id not in {lv.point_id for lv in shown.levels} and shown.levels
    assert all(len(lv.shares) == LAYERS for lv in shown.levels)
    marks = {m.point_id for p in curves_of(broken).panes for c in p.curves for m in c.marks}
    assert odd.point_id not in marks and marks


def test_a_store_of_other_exits_than_the_records_is_not_read(bare: Run, tmp_path: Path) -> None:
    def change(event: Event) -> None:
        for point in event["points"]:
            point["exits"] = [0.0] * LAYERS + [0.5, 0.5]

    broken = altered(bare, tmp_path / "r", change)
    drawn(broken)
    for picture in (exit_calibration, exit_accuracy, exit_examples):
        assert "not in the run's Store" in picture.info(broken).caption


def test_an_id_that_yaml_reads_as_a_number_is_an_id(run: Run, tmp_path: Path) -> None:
    ids = {i for r in run.records for i in (r.id, *(p.point_id for p in r.points))}
    point_ids = {p.point_id for one in exit_trials(run) for p in one.record.points}
    starts = {
        i[:n]: i for i in sorted(point_ids) for n in (5, 4) if i[:n].isdigit() and i[0] != "0"
    }
    alone = [s for s in starts if sum(i.startswith(s) for i in ids) == 1]
    assert alone, "else the ids must be others"
    start, whole = alone[0], starts[alone[0]]
    for picture in PICTURES[1:]:
        assert picture.info(run, point=int(start)) == picture.info(run, point=whole)
    home = tmp_path / "mine"
    home.mkdir()
    (home / "frontier.yaml").write_text("layout: answer\npanels: [{panel: frontier}]")
    for name in ("exit_histogram", "exit_calibration", "exit_accuracy", "exit_examples"):
        (home / "own.yaml").write_text(f"panels: [{{panel: {name}, point: 12345678}}]")
        with pytest.raises(InputError, match="no trial or point") as caught:
            write_pages(run, tmp_path / "out", home)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no criterion '5'"):
        exit_histogram.info(run, criterion=5)  # type: ignore[arg-type]
