"""The verbs that rebuild from records alone: page, export-optuna. No torch, no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.cli.opened import data_dir as data_dir_option
from raysearch.cli.opened import open_data, row_names

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.analysis.report_text import RowName
    from raysearch.panels.exit_examples import Namer


@click.command()
@click.argument("runs", nargs=-1, required=True, type=options.FOLDER, metavar="RUN...")
@click.option("--out", type=options.FOLDER, metavar="DIR", help="[default: RUN/dashboard]")
@click.option("--dashboards", type=options.FOLDER, metavar="DIR", help="Own pages as YAML.")
@click.option("--with-texts", is_flag=True, help="Show the texts of example rows.")
@data_dir_option
@options.prices
@options.share
def page(
    runs: tuple[Path, ...],
    out: Path | None,
    dashboards: Path | None,
    with_texts: bool,
    data_dir: Path | None,
    **given: Any,
) -> int:
    r"""Rebuild the page from records; several runs of one task may be given.

    \b
    raysearch page runs/sst2-quick runs/sst2-thorough --out both
    """
    from raysearch.analysis import read_runs, write_parquet
    from raysearch.panels.page import write_pages

    share = options.share_of(given)
    found = read_runs(list(runs), shared_by=share)
    if prices := options.prices_of(given):
        held = {**(found.study.get("prices") or {}), **prices}
        found = replace(found, study={**found.study, "prices": held})
    target = out or runs[0] / "dashboard"
    names = _namer(found, runs[0], data_dir) if with_texts else None
    made = write_pages(found, target, dashboards, names)
    if len(runs) == 1 and share is None:  # the file keeps the study's own account
        write_parquet(found.table, runs[0] / "records.parquet")
    for line in found.skipped:
        print(line)
    print(made)
    return 0


def _namer(found: Run, run: Path, data_dir: Path | None) -> Namer:
    """What names rows of the run's data by their hashes and texts."""
    from raysearch.engine.outside import judged_rows

    data = open_data(run, data_dir)
    crossfitted = any(r.config.data.folds for r in found.records)

    def names(split: str, ids: Sequence[int]) -> Mapping[int, RowName]:
        test = split == "test"
        rows = judged_rows(data, crossfitted=crossfitted) if test else data.splits[split]
        return row_names(rows, ids, texts=True)

    return names


@click.command("export-optuna")
@click.argument("run", type=options.FOLDER)
@click.option("--to", type=options.FOLDER, metavar="FILE", help="[default: RUN/optuna.db]")
def export_optuna(run: Path, to: Path | None) -> int:
    r"""Write a study that optuna-dashboard opens.

    \b
    raysearch export-optuna runs/sst2-quick && optuna-dashboard sqlite:///runs/sst2-quick/optuna.db
    """
    from raysearch.export.optuna import export_optuna as export
    from raysearch.plan.asrun import read_asrun
    from raysearch.record import read_records

    study = read_asrun(run).study
    target = to or run / "optuna.db"
    export(read_records(run / "records.jsonl").trials, study, target)
    print(f"sqlite:///{target}")
    return 0
