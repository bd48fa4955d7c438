"""The verbs that answer: recommend, confirm. Their words are the page's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from raysearch.cli import options
from raysearch.cli.printing import printer
from raysearch.cli.shown import show_run, shown_json
from raysearch.errors import InputError
from raysearch.run.study_file import read_study_manifest
from raysearch.workflow.connect import connect_cluster
from raysearch.workflow.options import DEFAULT_OPTIONS

limits: Callable[[Any], Any] = options.group(
    click.option("--labels", metavar="N", help="Labels I have: training and validation."),
    click.option("--max-ms", metavar="X", help="At most so many milliseconds a text (measured)."),
    click.option("--max-bytes", metavar="X", help="At most so large when stored."),
    click.option("--max-train-flops", metavar="X", help="At most so much training compute."),
    click.option("--min-score", metavar="X", help="At least this score on validation."),
    click.option("--volume", metavar="N", help="Texts a month, for the dollars to own."),
)


@click.command()
@click.argument("run", type=options.FOLDER)
@limits
@options.prices
@click.option("--cost", metavar="AXIS", default="", help="Cost that breaks ties, as infer_flops.")
@click.option("--methods", metavar="A,B", help="Only these methods.")
@click.option("--teacher", metavar="full|shared|free", default="full", help="Who pays a teacher.")
@options.share
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def recommend(run: Path, as_json: bool, **given: Any) -> int:
    r"""Say what to train within limits, what else ties, and why not the others.

    \b
    raysearch recommend runs/sst2-quick --labels 800 --max-ms 5
    """
    from raysearch.analysis import read_run
    from raysearch.recommend import request

    points, answered = request.recommend(read_run(run, shared_by=request.share_of(given)), given)
    if as_json:
        print(json.dumps(request.to_json(points, answered), allow_nan=False))
    else:
        for line in request.to_text(points, answered):
            print(line)
    return 0


@click.command()
@click.argument("run", type=options.FOLDER)
@click.option("--draws", type=int, metavar="K", help="Fresh draws of each candidate. [the study's]")
@options.folders
@click.option("--hours", type=float, metavar="H", help="Only as many candidates as fit this time.")
@options.gpus
@options.address
@options.storage
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def confirm(run: Path, draws: int | None, as_json: bool, **given: Any) -> int:
    r"""Run the best again on fresh draws of data and seeds; estimates come from those alone.

    \b
    raysearch confirm runs/sst2-quick --draws 5
    """
    from raysearch.analysis import RunReader
    from raysearch.cli.progress import watching
    from raysearch.workflow.confirm import confirm_run
    from raysearch.workflow.pages import read_back, write_page
    from raysearch.workflow.prepare import prepare
    from raysearch.workflow.sync import push_to_storage

    as_run = read_study_manifest(run)
    draws = (as_run.study.draws or 5) if draws is None else draws
    if draws < 1:
        raise InputError(f"--draws: {draws} given, must be 1 or more (3 for an interval)")
    hours, address = given["hours"], given["address"]
    if hours is not None and not hours > 0:
        raise InputError(f"--hours: {hours:g} given, must be above 0")
    line = printer(as_json)
    with connect_cluster(address) as cluster:
        prepared = prepare({**DEFAULT_OPTIONS, "out": run, **given, "hours": None}, cluster)
        done = confirm_run(prepared, draws, line, watching=watching, hours=hours, address=address)
    if done.outcome is not None and done.outcome.interrupted:
        line(done.outcome.stopped_by)
        line(f"go on with: raysearch confirm {run} --draws {draws}")
        return 130 if done.outcome.stopped_by.startswith("interrupted") else 1
    confirmed = read_back(RunReader(run))
    page = write_page(confirmed)
    push_to_storage(run)
    if as_json:
        print(json.dumps({**done.to_json(), **shown_json(confirmed), "page": str(page)}))
        return 0
    show_run(confirmed, page)
    return 0
