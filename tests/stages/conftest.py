"""The house with a stage and a method of this folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parent / "plugins"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def plugged(monkeypatch, tmp_path, tiny_ladder):
    """The house with the two files of this folder, as if they lay in its own."""
    from raysearch import methods, stages
    from raysearch.config import catalog

    spaces = tmp_path / "search_spaces"
    shutil.copytree(ROOT / "search_spaces", spaces)
    shutil.copytree(PLUGINS / "search_spaces", spaces, dirs_exist_ok=True)
    for package in (methods, stages):
        leaf = package.__name__.rpartition(".")[2]
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(PLUGINS / leaf)])
    methods._names.cache_clear()
    monkeypatch.setattr(
        catalog, "shipped", lambda name: spaces if name == "search_spaces" else ROOT / name
    )
    yield
    methods._names.cache_clear()
