"""Run a prepared study: search, confirm, measure, write its table and pages."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from raysearch.analysis import Run, RunReader
from raysearch.analysis.confirmation import confirmation
from raysearch.errors import InputError, RaysearchError
from raysearch.run.folder import RunFolder
from raysearch.run.study_file import write_study_manifest
from raysearch.workflow.confirm import confirm_run, search_budget
from raysearch.workflow.finish import node_bill, overshoot
from raysearch.workflow.listeners import Notify, Watching, unwatched
from raysearch.workflow.measure import bench, measure_run
from raysearch.workflow.pages import read_back, write_page
from raysearch.workflow.prepare import Prepared

if TYPE_CHECKING:
    from raysearch.tune.runner import Outcome


@dataclass(frozen=True, slots=True)
class Finished:
    """What running a study came to."""

    outcome: Outcome
    run: Run
    """As its records are at the end."""
    page: Path | None = None
    """The first page; None: none is written, or the study was interrupted."""

    @property
    def interrupted(self) -> bool:
        """Return whether the same call goes on from what stands in the folder."""
        return self.outcome.interrupted


def notes(prepared: Prepared) -> list[str]:
    """Return what a person should know before the start: of the data, and what is left out."""
    excluded = prepared.run.left_out
    out = list(prepared.run.notes)
    for reason in dict.fromkeys(excluded.values()):
        names = [name for name, why in excluded.items() if why == reason]
        out.append(f"left out: {', '.join(names)}: {reason}")
    return out


def trials_so_far(out: Path) -> int:
    """Count the trials of the search that have a record."""
    return sum(r.phase == "search" for r in RunFolder(out).read().trials)


def run_prepared(
    prepared: Prepared,
    notify: Notify,
    *,
    watching: Watching = unwatched,
    address: str | None = None,
    whole: bool = True,
    data_dir: Path | None = None,
    models_dir: Path | None = None,
) -> Finished:
    """Run a study to its end, or go on with it.

    Args:
        prepared: the study.
        notify: takes one line for a person.
        watching: opens what takes the events of the trials.
        address: of a running Ray cluster; None: this machine.
        whole: confirm and measure the best, and write pages; else search alone.
        data_dir: folder of data sets for timing; None: where the run found them.
        models_dir: likewise of checkpoints.

    Raises:
        InputError: the folder is in use, or no trial came to an end.
        RecordError: the folder cannot be read or written.
    """
    from raysearch.tune.runner import run_study
    from raysearch.tune.session import ray_session

    study, out, begun = prepared.run.study, prepared.out, time.monotonic()
    draws = study.draws if whole else 0
    reader = RunReader(out)
    write_study_manifest(out, prepared.run)
    with ray_session(study.concurrency, address):
        with watching() as watch:
            outcome = run_study(
                study,
                prepared.world,
                out,
                on_event=watch,
                budget=search_budget(study) if draws else None,
                storage=prepared.storage,
                gpus_per_trial=prepared.gpus,
            )
        notify(outcome.stopped_by)
        run = read_back(reader)
        if not outcome.interrupted and draws and can_confirm(run.table):
            left = None if study.hours is None else _left(study.hours, begun)
            done = confirm_run(prepared, draws, notify, watching=watching, hours=left)
            outcome = done.outcome or outcome
            run = read_back(reader)
    if outcome.interrupted:
        return Finished(outcome, run)
    if not (run.table["status"] == "DONE").any():
        raise InputError(_no_result(run.table))
    for line in (*overshoot(study, time.monotonic() - begun), *node_bill(out, study.prices)):
        notify(line)
    if draws:
        measure_confirmed(prepared, reader, notify, address, data_dir, models_dir)
    page = write_page(reader.read()) if whole else None
    return Finished(outcome, reader.read(), page)


def can_confirm(table: pd.DataFrame) -> bool:
    """Return whether a finished trial used labels: without, nothing is chosen nor drawn again."""
    return bool(((table["status"] == "DONE") & (table["labels"] > 0)).any())


def measure_confirmed(
    prepared: Prepared,
    reader: RunReader,
    notify: Notify,
    address: str | None = None,
    data_dir: Path | None = None,
    models_dir: Path | None = None,
) -> None:
    """Time what is confirmed; nothing where nothing is.

    Raises:
        RaysearchError: it cannot be timed on this machine. On a cluster the line says how to do it
            later: the study is done, and keeps its page.
    """
    out = prepared.out
    if not confirmation(reader.read()).estimates:
        return
    try:
        used = prepared if address is not None else None
        measure_run(reader, notify, bench(used, out, data_dir, models_dir))
    except RaysearchError as e:
        if address is None:
            raise
        notify(f"not measured: {e}; later: raysearch measure {out} --address {address}")


def _left(hours: float, begun: float) -> float:
    """Return what is left of the study's wall-clock time [h]."""
    return max(0.0, hours - (time.monotonic() - begun) / 3600)


def _no_result(table: Any) -> str:
    errors = table["error"].dropna()
    reason = f"; the first says: {errors.iloc[0]}" if len(errors) else ""
    return f"no trial came to an end{reason}"
