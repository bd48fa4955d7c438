"""Score winners and frontier, both chosen on validation, on test after the search.

So is what used no labels (zero-shot): it is shown, never chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray

from raysearch.analysis.table import to_table
from raysearch.analysis.winners import selected, winners
from raysearch.analysis.without_labels import used_none
from raysearch.cluster.resources import ResourcePlan
from raysearch.config.trial import TrialConfig
from raysearch.errors import RecordError
from raysearch.record import OperatingPoint
from raysearch.search.controller import StudyController
from raysearch.tune.trainable import placed, sentence

WAIT = 0.5
"""How often a waiting driver looks whether it was interrupted [s]."""


def score_winners(desk: StudyController, share: ResourcePlan, stop: Callable[[], bool]) -> int:
    """Score winners, the frontier and zero-shot points on test; return how many.

    A point that has its test score already is left alone, one that cannot be scored is noted.
    """
    by_trial: dict[str, tuple[TrialConfig, list[OperatingPoint]]] = {}
    for config, point in unscored(desk):
        by_trial.setdefault(config.id, (config, []))[1].append(point)
    due = list(by_trial.values())
    if not due:
        return 0
    desk.emit("note", f"scores {sum(len(points) for _, points in due)} points on test")
    task = ray.remote(_score)
    kit = ray.put(desk.kit.score)
    waiting: dict[Any, TrialConfig] = {}
    scored = 0
    while (due or waiting) and not stop():
        while due and len(waiting) < share.concurrency:
            config, points = due.pop(0)
            hold = share.of(config)
            remote = task.options(num_cpus=hold.cpus, num_gpus=hold.gpus, max_retries=1)
            waiting[remote.remote(kit, config, placed(desk.place, hold), points)] = config
        ready, _ = ray.wait(list(waiting), timeout=WAIT)
        for future in ready:
            config = waiting.pop(future)
            try:
                events = ray.get(future)
            except Exception as e:  # one point less on test is no reason to lose the others
                desk.log(f"{config.id}: not scored on test: {e}")
                desk.emit("note", f"{config.id}: not scored on test: {sentence(e)}", config.id)
                continue
            try:
                for event in events:
                    desk.writer.append(event)
            except RecordError as e:
                desk.fault = e
                due.clear()
                break
            scored += len(events)
            desk.emit("score", f"{config.id} scored on test", config.id)
        if desk.fault is not None:
            break
    for future in waiting:
        ray.cancel(future, force=True)
    return scored


def unscored(desk: StudyController) -> Iterator[tuple[TrialConfig, OperatingPoint]]:
    """Yield winners, members of the frontier and zero-shot points without a test score."""
    if not desk.records:
        return
    study = desk.study
    prices = study.prices.model_dump(exclude_none=True)
    table = to_table(desk.records.values(), shared_by=study.shared_by, prices=prices)
    chosen = set(winners(table)["point_id"])
    if len(study.objectives) > 1:
        chosen |= set(selected(table, study.objectives)["point_id"])
    for record in desk.records.values():
        for point in record.points:
            due = point.point_id in chosen or used_none(record)
            if study.procedures:  # nothing is chosen: every cell is judged on every draw
                due = record.status == "DONE" and record.phase == "search"
            if due and "test" not in point.scores:
                yield record.config, point


def _score(
    score: Callable[..., list[dict[str, Any]]],
    config: TrialConfig,
    place: Any,
    points: Sequence[OperatingPoint],
) -> list[dict[str, Any]]:
    return score(config, place, points, "test")
