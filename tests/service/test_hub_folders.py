"""The hub's library reads a folder of that name first: a submitter must not reach one by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raysearch.config.catalog import find_task
from raysearch.errors import InputError
from raysearch.storage import hub


@pytest.mark.parametrize("name", ["datasets/bert", "bert"])
def test_a_folder_is_no_data_set_of_the_hub(tmp_path: Path, monkeypatch, name: str):
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "_commit", lambda *_: (None, False))
    monkeypatch.setattr(hub, "_load", lambda *_, **__: pytest.fail("it was read"))
    for source in (name, str(tmp_path / name), f"{name}:default@v1"):
        task = replace(find_task("sst2"), source=f"hf:{source}")
        with pytest.raises(InputError, match="is a folder here"):
            hub.fetch(task)


@pytest.mark.parametrize("name", ["json", "text", "csv"])
def test_a_kind_of_file_is_no_data_set_of_the_hub(tmp_path: Path, monkeypatch, name: str):
    """Without a hub the library would read every such file of the working directory."""
    for ending in ("json", "txt", "csv"):
        (tmp_path / f"train.{ending}").write_text('{"text": "a", "label": 1}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "_commit", lambda *_: (None, False))
    with pytest.raises(InputError, match="is a kind of file"):
        hub.fetch(replace(find_task("sst2"), source=f"hf:{name}"))
