"""raysearch: which way of training, which model size and how many labels buy the most accuracy."""

import os

__version__ = "0.1.0"
__all__ = ["__version__"]

# libgomp's threads spin some 300,000 turns at the end of each part of a product before they sleep:
# beside one busy program on the machine that slows training by a factor, not by its share. 10,000
# turns cost nothing alone (benchmarks/bench_waiting.py). It is read when torch is loaded, in this
# process and those that it starts; what the user says holds.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
