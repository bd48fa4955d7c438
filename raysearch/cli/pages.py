"""The verbs that rebuild from records: page, export-optuna. No Ray.

The data are opened only where a page names rows of theirs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from raysearch.cli import options
from raysearch.cli.open_run import data_dir as data_dir_option
from raysearch.cli.open_run import namer


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
    names = namer(runs[0], data_dir, texts=with_texts, say=print)
    made = write_pages(found, target, dashboards, names)
    if len(runs) == 1 and share is None:  # the file keeps the study's own account
        write_parquet(found.table, runs[0] / "records.parquet")
    for line in found.skipped:
        print(line)
    print(made)
    return 0


@click.command("export-optuna")
@click.argument("run", type=options.FOLDER)
@click.option("--to", type=options.FOLDER, metavar="FILE", help="[default: RUN/optuna.db]")
def export_optuna(run: Path, to: Path | None) -> int:
    r"""Write a study that optuna-dashboard opens.

    \b
    raysearch export-optuna runs/sst2-quick && optuna-dashboard sqlite:///runs/sst2-quick/optuna.db
    """
    from raysearch.export.optuna import export_optuna as export
    from raysearch.run.records import read_records
    from raysearch.run.study_file import read_asrun

    study = read_asrun(run).study
    target = to or run / "optuna.db"
    export(read_records(run / "records.jsonl").trials, study, target)
    print(f"sqlite:///{target}")
    return 0
