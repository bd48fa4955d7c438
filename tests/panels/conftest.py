"""A browser for the tests that need one; absent, they skip, but never where CI is set.

And two runs that many tests read and none changes: a crossing and a search.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from raysearch.analysis import Run, read_run
from tests.panels.visit import ARGS, CHROMIUM
from tests.support.crossed import crossed
from tests.support.synthetic import records, write_run


def _missing() -> str:
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return "" if CHROMIUM.exists() else f"{CHROMIUM} is not installed"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if _missing():
        if os.environ.get("CI"):
            pytest.fail(_missing())
        pytest.skip(_missing())
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def crossed_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return crossed(tmp_path_factory.mktemp("crossed") / "run")


@pytest.fixture(scope="session")
def search_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_run(write_run(tmp_path_factory.mktemp("search") / "run", records(80)))
