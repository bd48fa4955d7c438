"""What a point costs to own: its labels, its training, and a year of predictions [dollars].

`assets/answer.js` mirrors this file line by line.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from raysearch.panels.points import Floats, Points

MONTHS = 12
"""A year of predictions is counted."""


def dollars_to_own(points: Points, volume: float, prices: Mapping[str, float]) -> Floats:
    """Dollars of each point (n,): labels and training once, predictions for a year.

    A cost that is not known is absent (NaN), never 0: the price of the point's device or of a
    label, its training time and, where there is a volume, its measured speed. Training time is
    its own and inherited; predictions run in batches of 32.

    Args:
        points: what a page shows. Not changed.
        volume: texts a month.
        prices: cpu_hour, gpu_hour, label [dollars].
    """
    nan = np.full(len(points), np.nan)
    label = prices.get("label", np.nan)
    cpu, gpu = prices.get("cpu_hour", np.nan), prices.get("gpu_hour", np.nan)
    hour = np.where(points.gpu, gpu, cpu)
    trained = points.costs.get("train_seconds", nan)
    out: Floats = points.labels * label + trained / 3600 * hour
    if volume > 0:
        out = out + MONTHS * volume * points.seconds_text / 3600 * hour
    return out
