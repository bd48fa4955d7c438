"""The verbs that rebuild from records: page, export-optuna. No Ray.

The data are opened only where a page names rows of theirs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from raysearch.cli import options


@click.command()
@click.argument("runs", nargs=-1, required=True, type=options.FOLDER, metavar="RUN...")
@click.option("--out", type=options.FOLDER, metavar="DIR", help="[default: RUN/dashboard]")
@click.option("--dashboards", type=options.FOLDER, metavar="DIR", help="Own pages as YAML.")
@click.option("--with-texts", is_flag=True, help="Show the texts of example rows.")
@options.data_dir
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
    from raysearch.recommend.request import prices_of, share_of
    from raysearch.workflow.pages import rebuild_pages

    made = rebuild_pages(
        runs,
        out,
        dashboards=dashboards,
        data_dir=data_dir,
        with_texts=with_texts,
        share=share_of(given),
        prices=prices_of(given),
        notify=print,
    )
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
    from raysearch.run.folder import RunFolder
    from raysearch.run.records import read_records
    from raysearch.run.study_file import read_study_manifest

    study, folder = read_study_manifest(run).study, RunFolder(run)
    target = to or folder.optuna
    export(read_records(folder.records).trials, study, target)
    print(f"sqlite:///{target}")
    return 0
