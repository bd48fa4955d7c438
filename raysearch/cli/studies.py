"""The verbs that run studies: frontier, run, resume, status."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.cli.printing import printer
from raysearch.cli.shown import show_run, shown_json
from raysearch.errors import InputError
from raysearch.run.folder import RunFolder
from raysearch.run.study_file import read_study_manifest
from raysearch.workflow import finish
from raysearch.workflow.connect import Cluster, connect_cluster, other_drivers
from raysearch.workflow.options import DEFAULT_OPTIONS
from raysearch.workflow.sync import find_run, push_to_storage

if TYPE_CHECKING:
    from raysearch.workflow.quote import Quote
    from raysearch.workflow.studies import Finished

LONG_HOURS = 12.0
"""A study predicted to take longer than this starts only with --yes or --hours."""


@click.command()
@options.data
@options.folders
@options.search
def frontier(**given: Any) -> int:
    r"""Search, confirm the best on fresh draws, write the page, say what to train.

    \b
    raysearch frontier --task sst2 --data-dir data --models-dir models
    """
    return _study(given, whole=True)


@click.command()
@options.data
@options.folders
@options.search
def run(**given: Any) -> int:
    r"""Search and keep the records; no page, no verdict.

    \b
    raysearch run --task sst2 --trials +50 --out runs/sst2-quick
    """
    return _study(given, whole=False)


@click.command()
@click.argument("out", type=options.FOLDER)
@options.folders
@options.one_of_study("hours")
@options.gpus
@options.address
@options.storage
@options.down
@click.option("--yes", is_flag=True, help="Start a long study without asking.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def resume(out: Path, **given: Any) -> int:
    r"""Go on with an interrupted study, from its records and checkpoints.

    \b
    raysearch resume runs/sst2-quick
    """
    if find_run(out, given["storage"] or None) is None:
        read_study_manifest(out)  # raises: there is nothing to resume
    return _study({**DEFAULT_OPTIONS, "dry_run": False, "out": out, **given}, whole=True)


@click.command()
@click.argument("out", type=options.FOLDER)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def status(out: Path, as_json: bool) -> int:
    r"""How far a study is, from its records alone.

    \b
    raysearch status runs/sst2-quick
    """
    from raysearch.workflow.status import study_status

    facts = study_status(out)
    if as_json:
        print(json.dumps(facts))
        return 0
    counts = ", ".join(f"{n} {s}" for s, n in facts["by_status"].items()) or "none"
    state = "running" if facts["running"] else "not running"
    print(f"{facts['task']}, study {facts['study']}: {facts['trials']} of {facts['wanted']} trials")
    print(f"  {state}; by status: {counts}")
    if facts.get("draws"):
        draws = ", ".join(f"{n} {s}" for s, n in facts["draws_by_status"].items())
        print(f"  confirming draws of {facts['confirmed']} candidates: {draws}")
        print(f"  measured: {facts['measured']} points")
    if facts["trials"]:
        print(f"  spent {facts['flops']:.3g} FLOPs, {facts['train_seconds']:.0f} s of trials")
    for line in finish.node_bill(out, read_study_manifest(out).study.prices):
        print(f"  {line}")
    if not facts["running"] and facts["trials"] < facts["wanted"]:
        print(f"  go on: raysearch resume {out}")
    for line in facts.get("skipped", ()):
        print(f"  {line}")
    return 0


def _study(given: Mapping[str, Any], *, whole: bool) -> int:
    """Prepare, price, run, and show what came out."""
    file = None
    if given.get("down_when_done"):
        file = finish.can_go_down(given["storage"] or None, given["address"])
    with connect_cluster(given["address"]) as cluster:
        code = _run(given, cluster, whole=whole)
        others = other_drivers() if file is not None else 0
    if file is not None and code == 0:
        finish.go_down(file, others, printer(given["as_json"]))
    return code


def _run(given: Mapping[str, Any], cluster: Cluster | None, *, whole: bool) -> int:
    from raysearch.workflow.prepare import prepare
    from raysearch.workflow.quote import quote
    from raysearch.workflow.studies import notes, run_prepared, trials_so_far

    prepared = prepare(given, cluster)
    line = printer(given["as_json"])
    for note in notes(prepared):
        line(note)
    study = prepared.run.study
    confirms = bool(study.draws if whole else 0)
    estimate = quote(prepared, trials_so_far(prepared.out), confirm=confirms)
    line(estimate.sentence())
    if given["dry_run"]:
        if given["as_json"]:
            print(json.dumps({"task": study.task, "study": study.name, **estimate.to_json()}))
        return 0
    confirm_start(estimate, given)

    from raysearch.cli.progress import watching

    done = run_prepared(
        prepared,
        line,
        watching=watching,
        address=given["address"],
        whole=whole,
        data_dir=given["data_dir"],
        models_dir=given["models_dir"],
    )
    if done.interrupted:
        line(f"go on with: raysearch resume {prepared.out}")
        return 130 if done.outcome.stopped_by.startswith("interrupted") else 1
    _show(done, prepared.run.task.name, study.name, given["as_json"])
    push_to_storage(prepared.out)
    return 0


def confirm_start(estimate: Quote, given: Mapping[str, Any]) -> None:
    """Ask on a terminal before a study of an hour and more, unless --yes or --hours is given.

    Raises:
        InputError: a study of days, and nobody to ask.
        KeyboardInterrupt: the person says no.
    """
    if given["yes"] or given["hours"] is not None or estimate.hours < 1:
        return
    if sys.stdin.isatty():
        print(f"This study takes {estimate.sentence()}. Start? [y/N] ", end="", file=sys.stderr)
        if input().strip().lower() not in ("y", "yes"):
            raise KeyboardInterrupt
    elif estimate.hours > LONG_HOURS:
        raise InputError(
            f"this study takes {estimate.sentence()}: say --yes to start it, or --hours H, "
            "--trials N, --models A,B to make it shorter"
        )


def _show(done: Finished, task: str, study: str, as_json: bool) -> None:
    from raysearch.analysis import summary

    run, page = done.run, done.page
    if as_json:
        value = {
            "task": task,
            "study": study,
            "out": str(run.folder),
            "page": None if page is None else str(page),
            **summary(run.table),
            **(shown_json(run) if page is not None else {}),
        }
        print(json.dumps(value, allow_nan=False))
        return
    print()
    if page is None:
        print(f"records: {RunFolder(run.folder).table}")
        return
    show_run(run, page)
