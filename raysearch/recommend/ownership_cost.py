"""What a point costs on an axis, and to own: labels, training, a year of predictions [dollars].

`panels/assets/answer.js` mirrors this file line by line.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from raysearch.recommend.points import OWN, Baseline, Floats, Points
from raysearch.recommend.setting import Setting

MONTHS = 12
"""A year of predictions is counted."""


def dollars_to_own(points: Points, volume: float, prices: Mapping[str, float]) -> Floats:
    """Return dollars of each point (n,): labels and training once, predictions for a year.

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


def prices_of(points: Points, setting: Setting) -> Mapping[str, float]:
    """Return the setting's prices, else the study's."""
    return points.prices if setting.prices is None else setting.prices


def cost_of(points: Points, setting: Setting, own: Floats) -> Floats:
    """Return the column of the setting's cost axis (n,)."""
    return own if setting.cost == OWN else points.cost(setting.cost, setting.teacher)


def baseline_cost(baseline: Baseline, setting: Setting, prices: Mapping[str, float]) -> float:
    """Return what an outside system or a zero-shot model costs on the axis; NaN where not known.

    Dollars to own are a year's texts, at its price or at that of its device's time, and its labels
    where it has used any.
    """
    nan, costs = float("nan"), baseline.costs
    if setting.cost != OWN:
        return costs.get(setting.cost, nan)  # of training, whoever pays, there was none
    hour = prices.get("gpu_hour" if baseline.gpu else "cpu_hour", nan)
    each = costs.get("dollars_text", costs.get("seconds_text", nan) / 3600 * hour)
    labels = costs.get("labels", 0.0)
    bought = labels * prices.get("label", nan) if labels > 0 else 0.0
    return MONTHS * (setting.volume or 0.0) * each + bought
