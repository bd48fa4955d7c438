"""The page's twin: its scripts give Python's answer and sentences, under node and without a page.

A browser test compares a few settings on a real page; here are hundreds of random ones.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

import raysearch.panels
from raysearch.analysis import read_run
from raysearch.analysis.intervals import interval
from raysearch.config.catalog import baseline_methods
from raysearch.panels.embed import points_json
from raysearch.panels.template import ANSWERING
from raysearch.recommend.answer import answer, to_json
from raysearch.recommend.baselines import baseline_facts
from raysearch.recommend.collect import collect
from raysearch.recommend.differences import interval_of
from raysearch.recommend.points import Points
from raysearch.recommend.sentences import details, footer, headline, interval_note, why
from raysearch.recommend.setting import Setting
from raysearch.recommend.words import SENTENCES, render_text
from raysearch.scores import formula_of
from tests.panels.pages import pages, settings
from tests.support.synthetic import records, write_run, zero_shots

ASSETS = Path(raysearch.panels.__file__).parent / "assets"
DRIVER = Path(__file__).with_name("twin.js")


def _node() -> Path | None:
    """The node that playwright's package ships."""
    try:
        import playwright
    except ImportError:
        return None
    driver = Path(playwright.__file__).parent / "driver"
    return next((p for p in (driver / "node", driver / "node.exe") if p.exists()), None)


def _number(digits: str) -> int | float:
    """A number as the script has it: beyond 2**53 its JSON has the digits of no whole number."""
    return int(digits) if abs(int(digits)) < 2**53 else float(digits)


class Twin:
    """One process that answers as the page does."""

    def __init__(self, node: Path) -> None:
        command = [str(node), str(DRIVER)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, encoding="utf-8", **pipes)
        scripts = [str(ASSETS / name) for name in ANSWERING]
        self._send(
            {
                "scripts": scripts,
                "globals": {"SENTENCES": SENTENCES, "BASELINES": baseline_methods()},
            }
        )

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value, allow_nan=False) + "\n")
        self._process.stdin.flush()

    def __call__(self, points: Points, given_: list[Setting]) -> list[dict[str, Any]]:
        """Return the page's answers and sentences, one for each setting."""
        self._send({"points": points_json(points), "settings": [asdict(s) for s in given_]})
        assert self._process.stdout is not None
        out: Any = json.loads(self._process.stdout.readline(), parse_int=_number)
        assert isinstance(out, list), out["error"]
        return out

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0


@pytest.fixture(scope="session")
def twin() -> Iterator[Twin]:
    node = _node()
    if node is None:
        if os.environ.get("CI"):
            pytest.fail("playwright, which ships node, is not installed")
        pytest.skip("playwright, which ships node, is not installed")
    made = Twin(node)
    yield made
    made.close()


def ours(points: Points, setting: Setting) -> dict[str, Any]:
    """Return Python's answer and sentences, as the page's scripts give them."""
    with np.errstate(all="ignore"):
        found = answer(points, **{k: getattr(setting, k) for k in asdict(setting)})
    texts = {
        "headline": headline(points, found),
        "details": details(points, found),
        "why": why(points, found),
        "footer": footer(points, found),
        "interval": interval_note(points, found),
        "marks": [
            render_text("mark", baseline_facts(points, baseline, None))
            for baseline in points.baselines
        ],
    }
    out: dict[str, Any] = json.loads(json.dumps({"answer": to_json(found), **texts}))
    out["answer"]["cost"] = found.setting.cost
    out["answer"]["own"] = [v if np.isfinite(v) else None for v in found.own.tolist()]
    return out


def agree(points: Points, given_: list[Setting], twin: Twin) -> None:
    """Both answer alike; the band alone is compared to 12 decimals: libraries of tanh differ."""
    for setting, theirs in zip(given_, twin(points, given_), strict=True):
        own = ours(points, setting)
        theirs["answer"]["cost"] = theirs["answer"].pop("setting")["cost"]
        bands = [side["answer"].pop("band") for side in (own, theirs)]
        assert own == theirs, setting
        assert bands[0] == (None if bands[1] is None else pytest.approx(bands[1], abs=1e-12))


@effort(
    max_examples=175,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
# 525 pairs of points and settings, each answered twice
@pytest.mark.processor_seconds(15)
def test_the_page_answers_as_python_does_on_any_points_and_settings(
    twin: Twin, data: st.DataObject
) -> None:
    points = data.draw(pages())
    agree(points, data.draw(st.lists(settings(points), min_size=3, max_size=3)), twin)


def searched(folder: Path, **more: Any) -> Points:
    """Points of a made-up search."""
    return collect(read_run(write_run(folder, records(60), **more)))


def test_a_score_known_by_its_values_alone_has_the_pages_interval(
    twin: Twin, tmp_path: Path
) -> None:
    points = searched(tmp_path)
    low = np.where(np.arange(len(points)) == 0, -0.25, points.test)
    formula = formula_of("gain", float(low.min()), float(low.max()))
    points = replace(points, score="gain", formula=formula, test=low, majority=None)
    agree(points, [Setting(), Setting(labels=200.0)], twin)
    assert points.kind == "correlation", "one of them is negative"
    i = int(points.test.argmax())
    found = interval_of(points, i)
    assert found == interval(float(points.test[i]), int(points.test_rows[i]), "pearson")
    assert found != interval(float(points.test[i]), int(points.test_rows[i]), "accuracy")


def test_a_run_of_zero_shot_models_alone_reads_alike(twin: Twin, tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, zero_shots({"bert_small": 0.66, "bert_tiny": 0.55})))
    points = collect(run)
    assert not len(points) and len(points.baselines) == 2
    agree(points, [Setting(), Setting(labels=20.0, volume=1e4)], twin)


def test_numbers_of_any_size_read_alike(twin: Twin, tmp_path: Path) -> None:
    points = searched(tmp_path)
    known = {"train_seconds": np.full(len(points), 60.0)}
    points = replace(
        points,
        costs=points.costs | known,
        seconds_text=np.full(len(points), 0.01),
        gpu=np.zeros(len(points), dtype=np.bool_),
    )
    prices = {"cpu_hour": 0.1, "label": 0.3}
    agree(points, [Setting(volume=10.0**k, prices=prices) for k in range(0, 60, 3)], twin)
    agree(points, [Setting(max_bytes=-(10.0**k), labels=3e21) for k in range(0, 60, 3)], twin)
