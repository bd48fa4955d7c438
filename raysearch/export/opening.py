"""An exported folder, opened to predict."""

from __future__ import annotations

from pathlib import Path

from raysearch.export import get
from raysearch.export.manifest import read_manifest
from raysearch.export.predictor import Predictor


def open_model(folder: Path) -> Predictor:
    """Open a folder that `raysearch export` wrote; no code of the folder is run, no pickle read.

    Raises:
        InputError: the folder is not whole, or of a format that this version does not know.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    return get(manifest.format).open(folder, manifest)
