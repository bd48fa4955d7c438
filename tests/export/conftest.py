"""Trained points to export: tiny encoders with heads of any shape, and whole runs on tiny tasks."""

from __future__ import annotations

import numpy as np
import pytest

from tests import tiny


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """(folder, rung) of a two-layer random encoder, by model type."""
    home = tmp_path_factory.mktemp("kinds")
    out = {}
    for kind in ("bert", "roberta", "distilbert"):
        folder = tiny.write_encoder(home / kind, layers=2, hidden=32, kind=kind, seed=3)
        out[kind] = folder, tiny.rung(kind, folder)
    return out


@pytest.fixture(scope="session")
def texts():
    """Forty texts, some longer than any model here reads."""
    rng = np.random.default_rng(7)
    return [tiny.text_of(tiny.SIGNAL[i % 5], rng, 4 + 2 * i) for i in range(40)]


@pytest.fixture
def make_run(tiny_ladder, tmp_path_factory):
    """Trains trials on a tiny task and leaves a run's folder, without Ray."""

    def make(task="two", *trials, **changes):
        return tiny.run_folder(tmp_path_factory.mktemp("run"), task, *trials, **changes)

    return make
