"""raysearch: which way of training, which model size and how many labels buy the most accuracy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from raysearch.version import __version__

__all__ = ["__version__", "open_run"]

# libgomp's threads spin some 300,000 turns at the end of each part of a product before they sleep:
# beside one busy program on the machine that slows training by a factor, not by its share. 10,000
# turns cost nothing alone (benchmarks/bench_waiting.py). It is read when torch is loaded, in this
# process and those that it starts; the user's own settings win.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from raysearch.api import open_run
else:

    def __getattr__(name: str) -> object:
        """Load the Python face when it is first used."""
        if name == "open_run":
            from raysearch.api import open_run

            return open_run
        raise AttributeError(f"module 'raysearch' has no attribute '{name}'")
