"""Runs of an earlier version go on: further draws, and an interrupted study to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.run import going, golden
from tests.run.packed import unpack
from tests.support.verbs import Say

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]  # the grid is timed too

LEARNT = 0.02
"""How far scores of a trial may lie apart that another machine trains."""


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's workers load the package that the tests load."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))


def same(now: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Ids, budgets, phases, steps and FLOPs are equal; scores as near as other machines allow."""
    assert [t["id"] for t in now] == [t["id"] for t in expected]
    for new, old in zip(now, expected, strict=True):
        assert new.pop("scores") == pytest.approx(old.pop("scores"), abs=LEARNT)
        assert new == old


def test_one_more_draw_of_an_old_search(say: Say, tmp_path: Path, workers: None) -> None:
    unpack("search", tmp_path / "search")
    new = going.one_more_draw(say, Path("search"))
    assert {t["data"]["seed"] for t in new} == {4} and {t["phase"] for t in new} == {"confirm"}
    same(new, golden.read("search", "one_more_draw"))


def test_an_interrupted_run_goes_on_to_its_end(say: Say, tmp_path: Path, workers: None) -> None:
    run = unpack("grid", tmp_path / "grid")
    (unfinished,) = (p.name for p in (run / "checkpoints").iterdir())
    new = going.resumed(say, Path("grid"))
    assert unfinished in {t["id"] for t in new} and {t["status"] for t in new} == {"DONE"}
    same(new, golden.read("grid", "resumed"))
    assert not (run / "checkpoints").exists()
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert f"{unfinished}: goes on from 000000" in log
