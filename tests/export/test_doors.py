"""Predicting from a folder loads no torch: folders of every kind, opened in one process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.export import test_exits, test_formats, test_prompted

FOLDERS = ("native", "onnx", "onnx_exits", "onnx prompted")
CODE = """
import sys
from pathlib import Path
from raysearch.export.opening import open_model
for name in sys.argv[2:]:
    assert len(open_model(Path(sys.argv[1]) / name).probabilities(["red"])) == 1
    print(name, *{m.split(".")[0] for m in sys.modules} & {"torch", "transformers", "ray"}, sep=",")
"""


@pytest.fixture(scope="module")
def loaded(encoders, askable, texts, tmp_path_factory):
    """By folder: which heavy libraries are loaded once it has predicted."""
    home = tmp_path_factory.mktemp("folders")
    base, rung = encoders["bert"]
    test_formats.written("native", test_formats.ngram_graph(), texts, home / "native")
    graph = test_formats.encoder_graph(base, rung)
    test_formats.written("onnx", graph, texts, home / "onnx", base)
    exits = test_exits.graph_of(base, rung, layers=(1, 2))
    test_exits.written(exits, base, texts, home / "onnx_exits")
    template = test_prompted.TEMPLATES[0]
    test_prompted.written("onnx", askable["bert"], template, home / "onnx prompted")
    ran = subprocess.run(
        [sys.executable, "-c", CODE, str(home), *FOLDERS],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: found for name, *found in (x.split(",") for x in ran.stdout.splitlines())}


@pytest.mark.parametrize("name", FOLDERS)
def test_predicting_loads_no_torch(loaded, name):
    assert loaded[name] == []
