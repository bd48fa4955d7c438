"""What every picture promises: found by file name, pure, torch-free, and good for any run."""

import dataclasses
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest

from raysearch.analysis import Run, read_run, search_flops
from raysearch.errors import InputError
from raysearch.ledger import TRAINING
from raysearch.panels.catalog import check_options, picture, pictures
from raysearch.recommend.collect import collect
from tests.support.synthetic import records, write_run

ALL = ("ngram_linear", "embed_linear", "finetune", "distill", "early_exit")
ROOT = Path(__file__).parents[2]


def run_of(folder: Path, n: int = 120, **more: object) -> Run:
    return read_run(write_run(folder, records(n, methods=ALL, **more)))


def failed(folder: Path) -> Run:
    lost = [
        dataclasses.replace(r, status="FAILED", points=(), error="out of memory")
        for r in records(4)
    ]
    return read_run(write_run(folder, lost))


def runs(folder: Path) -> dict[str, Run]:
    done = [r for r in records(60) if r.status == "DONE"]
    tested = [r for r in done if any("test" in p.scores for p in r.points)]
    return {
        "many": run_of(folder / "many"),
        "none": read_run(write_run(folder / "none", [])),
        "failed": failed(folder / "failed"),
        "one": read_run(write_run(folder / "one", tested[:1])),
        "unscored": read_run(write_run(folder / "unscored", [r for r in done if r not in tested])),
        "pearson": run_of(folder / "pearson", score="pearson"),
    }


def test_pictures_are_found_by_file_name() -> None:
    found = pictures()
    assert len(found) >= 7
    assert {"frontier", "label_curves", "compute", "knobs"} <= set(found)
    files = {p.stem for p in (ROOT / "raysearch" / "panels").glob("*.py")}
    assert set(found) <= files


@pytest.fixture(scope="module")
def every_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Read by all pictures, and changed by none."""
    return runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("name", sorted(pictures()))
def test_a_picture_is_pure_and_draws_any_run(name: str, every_run: dict[str, Run]) -> None:
    module = picture(name)
    for kind, run in every_run.items():
        before = run.table.copy(deep=True)
        first = module.info(run)
        assert dataclasses.is_dataclass(first), kind
        assert first == module.info(run), kind
        pd.testing.assert_frame_equal(run.table, before)
        assert isinstance(module.draw(first), go.Figure), kind
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(first, dataclasses.fields(first)[0].name, None)


def test_an_unknown_panel_or_option_names_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'frontier'"):
        picture("fronteir")
    with pytest.raises(InputError, match="Did you mean 'best'"):
        check_options("label_curves", {"bst": 3}, "p.yaml")


def test_the_frontier_shows_every_scored_point_once(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    info = picture("frontier").info(run)
    scored = run.table["score_test"].notna() & run.table["status"].eq("DONE")
    assert len(info.x) + len(info.front_x) == int(scored.sum()) > 20
    assert list(info.front_x) == sorted(info.front_x)
    assert "pretraining of public checkpoints not counted" in info.caption
    figure = picture("frontier").draw(info)
    symbols = {s for t in figure.data if t.meta["role"] == "member" for s in t.marker.symbol}
    assert symbols and all(s.endswith("-open") for s in symbols)  # one draw: hollow
    line = next(t for t in figure.data if t.meta["role"] == "line")
    assert line.line.shape == "hv"  # a step, never a diagonal


def test_the_bill_of_the_picture_is_the_bill_of_the_search(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    for by in ("phase", "payer"):
        info = picture("compute").info(run, by=by)
        total = sum(
            sum(row)
            for part, row in zip(info.parts, info.flops, strict=True)
            if by == "payer" or part in TRAINING
        )
        assert total == pytest.approx(sum(search_flops(run.table).values()), rel=1e-12)


def test_label_curves_keep_the_best_three(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    info = picture("label_curves").info(run)
    assert picture("label_curves").info(run, best=3).curves == info.curves[:3]
    assert all(list(c.labels) == sorted(c.labels) for c in info.curves)


def test_points_count_what_is_not_shown(tmp_path: Path) -> None:
    run = run_of(tmp_path, confirm=2)
    points = collect(run)
    table = run.table
    done = table["status"].eq("DONE") & table["phase"].eq("search")
    assert points.unscored == int((done & table["score_test"].isna()).sum())
    assert points.begun > 0 and (points.place < 0).all()  # two draws carry no interval
    assert len(points) + points.unscored == int(done.sum())
