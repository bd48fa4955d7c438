"""The verb that times confirmed candidates: measure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from raysearch.cli import options
from raysearch.cli.printing import printer
from raysearch.run.folder import RunFolder
from raysearch.run.study_file import read_study_manifest
from raysearch.workflow.connect import connect_cluster
from raysearch.workflow.options import DEFAULT_OPTIONS


@click.command()
@click.argument("run", type=options.FOLDER)
@options.folders
@click.option("--again", is_flag=True, help="Also what has been measured.")
@options.address
@options.gpus
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def measure(run: Path, again: bool, as_json: bool, **given: Any) -> int:
    r"""Time the confirmed candidates alone: latency, throughput, tokenising, memory.

    With --address on a machine of that cluster with a GPU, held whole; else on this one.

    \b
    raysearch measure runs/sst2-quick
    """
    from raysearch.analysis import RunReader
    from raysearch.workflow.measure import bench, measure_run
    from raysearch.workflow.pages import read_back, write_page
    from raysearch.workflow.prepare import prepare
    from raysearch.workflow.sync import push_to_storage

    read_study_manifest(run)  # raises where there is no run
    reader = RunReader(run)
    with connect_cluster(given["address"]) as cluster:
        prepared = None
        if cluster is not None:
            prepared = prepare({**DEFAULT_OPTIONS, "out": run, **given}, cluster)
        used = bench(prepared, run, given["data_dir"], given["models_dir"])
        done = measure_run(reader, printer(as_json), used, again=again)
    page = write_page(read_back(reader))
    push_to_storage(run)
    if as_json:
        print(json.dumps({**done, "page": str(page)}))
        return 0
    print(f"page: {page}\nrecords: {RunFolder(run).table}")
    return 0
