"""The table and the pages of a run, written anew from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from raysearch.analysis import Run, RunReader, read_runs, write_parquet
from raysearch.run.folder import RunFolder
from raysearch.workflow.listeners import Notify, ignore
from raysearch.workflow.open_run import row_namer


def read_back(reader: RunReader) -> Run:
    """Return a run as its records are now, and write its table.

    Raises:
        InputError: no records.
        RecordError: the table cannot be written.
    """
    run = reader.read()
    write_parquet(run.table, RunFolder(reader.folder).table)
    return run


def write_page(run: Run) -> Path:
    """Write a run's pages into its folder; return the first.

    Raises:
        RecordError: the folder or the disk refuses.
    """
    from raysearch.panels.page import write_pages

    return write_pages(run, RunFolder(run.folder).pages, names=row_namer(run.folder))


def rebuild_pages(
    runs: Sequence[Path],
    out: Path | None = None,
    *,
    dashboards: Path | None = None,
    data_dir: Path | None = None,
    with_texts: bool = False,
    share: int | None = None,
    prices: Mapping[str, float] | None = None,
    notify: Notify = ignore,
) -> Path:
    """Write the pages of one run, or of several of one task, from records; return the first.

    Args:
        runs: their folders.
        out: folder to write to; None: that of the first run's pages.
        dashboards: folder of own pages as YAML; None: the shipped ones.
        data_dir: folder of data sets, to name rows; None: where the run found them.
        with_texts: show the texts of example rows.
        share: students that share a teacher's bill; None: what the study says.
        prices: cpu_hour, gpu_hour, label [dollars]; what is not named is the study's.
        notify: takes one line for a person.

    Raises:
        InputError: no such run, runs of different tasks, or texts without their data.
        RecordError: the folder or the disk refuses.
    """
    from raysearch.panels.page import write_pages

    read = read_runs(list(runs), shared_by=share)
    if prices:
        known = read.study.get("prices") or {}
        read = replace(read, study={**read.study, "prices": {**known, **prices}})
    names = row_namer(runs[0], data_dir, texts=with_texts, notify=notify)
    page = write_pages(read, out or RunFolder(runs[0]).pages, dashboards, names)
    if len(runs) == 1 and share is None:  # the file keeps the study's own account
        write_parquet(read.table, RunFolder(runs[0]).table)
    for line in read.skipped:
        notify(line)
    return page
