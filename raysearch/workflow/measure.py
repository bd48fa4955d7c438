"""The third phase: confirmed candidates are timed, one after the other, nothing beside them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.errors import InputError, RaysearchError
from raysearch.run.study_file import read_study_manifest
from raysearch.workflow.export import open_place
from raysearch.workflow.listeners import Notify

if TYPE_CHECKING:
    from raysearch.analysis import RunReader
    from raysearch.config.trial import TrialConfig
    from raysearch.export.measured import TimingProcess
    from raysearch.record import OperatingPoint, TrialRecord
    from raysearch.run.records import RecordWriter
    from raysearch.trial.context import ExecutionContext
    from raysearch.workflow.prepare import Prepared

QUIET = 0.3
"""Cores at work beside us up to which a machine counts as quiet."""
PATIENCE = 60.0
"""How long a busy machine is waited for in all [s]."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where models are timed."""

    host: str
    """Its name; empty: this machine."""
    busy_cores: Callable[[], float]
    """Cores at work there, beside us."""
    timed: Callable[[TrialRecord, list[OperatingPoint]], list[dict[str, float]]]
    """Points of one trial -> what was measured of each."""


@contextmanager
def bench(
    prepared: Prepared | None, out: Path, data_dir: Path | None, models_dir: Path | None
) -> Iterator[Bench]:
    """Yield a machine with a GPU of the connected cluster, reserved whole; else this one.

    Args:
        prepared: the run, where a cluster is connected.
        out: the run's folder.
        data_dir: folder of data sets, for this machine.
        models_dir: folder of checkpoints, for this machine.

    Raises:
        InputError: no such machine was free in time.
    """
    from raysearch.costs import timing
    from raysearch.export.measured import TimingProcess

    hold = None
    if prepared is not None and prepared.gpus != 0 and prepared.world.place.device == "cuda":
        from raysearch.cluster.nodes import machines
        from raysearch.tune.dedicated_node import DedicatedNode, largest
        from raysearch.tune.trainable import placed

        hold = largest(machines())
    if prepared is None or hold is None:
        place = cache(lambda: open_place(out, data_dir, models_dir)[0])
        with TimingProcess(os.cpu_count() or 1) as process:
            yield Bench("", timing.busy_cores, lambda r, p: _measured(r, p, place, process))
        return
    with DedicatedNode(hold) as machine:
        place = placed(prepared.world.ship(), hold)
        yield Bench(
            machine.host,
            lambda: float(machine.call(timing.busy_cores)),
            lambda r, p: machine.call(time_trial, r.config, place, p, hold.threads),
        )


def measure_run(
    reader: RunReader,
    notify: Notify,
    where: AbstractContextManager[Bench],
    *,
    again: bool = False,
) -> dict[str, Any]:
    """Measure each graph of the confirmed candidates once, and of zero-shot points scored on test.

    Of a model with exits some points along its curve are timed, with those that a cell or the
    frontier hangs on. Writes `measure` events.

    Args:
        reader: reads the run's folder.
        notify: takes one line for a person.
        where: the machine; entered once there is something to time.
        again: time anew what has been timed.

    Raises:
        InputError: trials are running, or nothing is confirmed.
    """
    from raysearch.analysis.candidates import to_measure
    from raysearch.analysis.confirmation import confirmation
    from raysearch.analysis.without_labels import unlabelled_points
    from raysearch.run.folder import RunFolder, locked
    from raysearch.run.records import RecordWriter

    out = reader.folder
    read_study_manifest(out)  # raises where the folder holds no run
    folder = RunFolder(out.resolve())
    with locked(folder):  # refuses while trials run, and keeps them from starting
        read = reader.read()
        made = confirmation(read)
        if not made.estimates:
            why = f" ({made.why})" if made.why else ""
            raise InputError(
                f"{out}: nothing is confirmed yet{why}; first: raysearch confirm {out}"
            )
        wanted = to_measure(read.table, {e.point_id for e in made.estimates})
        shots = {p.point_id for _, p in unlabelled_points(read.records) if "test" in p.scores}
        groups = _graphs(read.records, wanted | shots, again=again)
        if not groups:
            notify("measured already")
            return {"measured": 0, "graphs": 0}
        label_free = sum(p.point_id in shots for g in groups for _, p in g)
        points = sum(len(g) for g in groups) - label_free
        more = f" and {label_free} zero-shot" if label_free else ""
        graphs = f"{len(groups)} graphs of {points} confirmed{more} points"
        writer = RecordWriter(folder.records)
        try:
            with where as used:
                on = f" on {used.host}" if used.host else ""
                notify(f"measuring {graphs}{on}, one after the other")
                measured, failed = _timed(_together(groups), used, writer, notify)
        finally:
            writer.close()
    return {"measured": measured, "graphs": len(groups) - failed, "failed": failed}


def _timed(
    jobs: Sequence[list[list[tuple[TrialRecord, OperatingPoint]]]],
    where: Bench,
    writer: RecordWriter,
    notify: Notify,
) -> tuple[int, int]:
    """Time one job after the other; return points measured and graphs that failed."""
    from raysearch.outputs.described import label_of
    from raysearch.record import measure_event

    failed = measured = 0
    patience = PATIENCE
    for job in jobs:
        record = job[0][0][0]
        name = f"{record.config.method} {record.config.rung}"
        begun = time.monotonic()
        try:
            busy = _wait_for_quiet(where.busy_cores, notify, patience)
            patience = max(0.0, patience - (time.monotonic() - begun))
            timings = where.timed(record, [group[0][1] for group in job])
        except RaysearchError as e:
            failed += len(job)
            notify(f"{name}: {e}")
            continue
        for group, numbers in zip(job, timings, strict=True):
            numbers["busy_cores"] = round(busy, 2)
            for record, point in group:
                writer.append(measure_event(record.id, point.point_id, numbers))
            measured += len(group)
            methods = dict.fromkeys(record.config.method for record, _ in group)
            named = (", ".join(methods), group[0][0].config.rung)
            notify(_line(", ".join(filter(None, (" ".join(named), label_of(point)))), numbers))
    return measured, failed


def _graphs(
    records: tuple[TrialRecord, ...], wanted: set[str], *, again: bool
) -> list[list[tuple[TrialRecord, OperatingPoint]]]:
    """Return the wanted points by what they compute, whatever method trained it."""
    groups: dict[str, list[tuple[TrialRecord, OperatingPoint]]] = {}
    for record in records:
        for point in record.points:
            if point.point_id not in wanted or (point.measured and not again):
                continue
            config = record.config
            shape = (point.infer_flops, point.params, point.bytes)
            same = (config.rung, config.precision, dict(point.knobs), shape)
            groups.setdefault(json.dumps(same, sort_keys=True), []).append((record, point))
    return list(groups.values())


def _together(
    groups: list[list[tuple[TrialRecord, OperatingPoint]]],
) -> list[list[list[tuple[TrialRecord, OperatingPoint]]]]:
    """Return the graphs that one process times: points of the curves of one trial."""
    from raysearch.outputs.described import curve_of

    jobs: dict[str, list[list[tuple[TrialRecord, OperatingPoint]]]] = {}
    for group in groups:
        record, point = group[0]
        several = bool(curve_of(point))
        jobs.setdefault(record.id if several else point.point_id, []).append(group)
    return list(jobs.values())


def _wait_for_quiet(busy_cores: Callable[[], float], notify: Notify, patience: float) -> float:
    """Wait at most `patience` [s] for a busy machine; return the cores that still are at work."""
    begun = time.monotonic()
    busy = busy_cores()
    while busy > QUIET and time.monotonic() - begun < patience:
        time.sleep(2.0)
        busy = busy_cores()
    if busy > QUIET:
        notify(f"other programs keep {busy:.1f} cores busy: the times will be too high")
    return busy


def _measured(
    record: TrialRecord,
    points: Sequence[OperatingPoint],
    place: Callable[[], ExecutionContext],
    process: TimingProcess,
) -> list[dict[str, float]]:
    return _time(record.config, place(), points, process)


def time_trial(
    config: TrialConfig, place: ExecutionContext, points: Sequence[OperatingPoint], threads: int
) -> list[dict[str, float]]:
    """Time points of a trial on this machine, from its kept weights or trained again."""
    from raysearch.export.measured import TimingProcess

    with TimingProcess(threads) as process:
        return _time(config, place, points, process)


def _time(
    config: TrialConfig,
    place: ExecutionContext,
    points: Sequence[OperatingPoint],
    process: TimingProcess,
) -> list[dict[str, float]]:
    from raysearch.export.measured import measure_points
    from raysearch.trial.trained import open_trained

    run = open_trained(config, place)
    try:
        return measure_points(run, points, process)
    finally:
        run.close()


def _line(name: str, numbers: dict[str, float]) -> str:
    return (
        f"{name}: {numbers['latency_ms']:.3g} ms (p95 {numbers['latency_p95_ms']:.3g}) + "
        f"{numbers['tokenise_ms']:.2g} ms tokenising a text, {numbers['throughput']:,.0f} texts/s "
        f"in batches of 32, {numbers['peak_memory'] / 2**20:,.0f} MiB"
    )
