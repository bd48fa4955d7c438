"""The verbs that run studies: frontier, run, resume, status."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from raysearch.cli import options
from raysearch.cli.prepare import Prepared, Quote, ask, prepare, quote
from raysearch.errors import InputError, RecordError
from raysearch.plan.asrun import read_asrun, write_asrun

RECORDS, TABLE, PAGES = "records.jsonl", "records.parquet", "dashboard"


@click.command()
@options.data
@options.folders
@options.search
def frontier(**given: Any) -> int:
    r"""Search, extract the frontier, write the page, say the verdict.

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
@click.option("--hours", type=float, metavar="H", help="Stop after this wall time.")
@click.option("--address", metavar="ADDR", help="A running Ray cluster.")
@click.option("--yes", is_flag=True, help="Start a long study without asking.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def resume(out: Path, **given: Any) -> int:
    r"""Go on with an interrupted study, from its records and checkpoints.

    \b
    raysearch resume runs/sst2-quick
    """
    read_asrun(out)  # says at once when there is nothing to resume
    keys = [p.name for p in frontier.params if p.name is not None]
    return _study({**dict.fromkeys(keys), "dry_run": False, "out": out, **given}, whole=True)


@click.command()
@click.argument("out", type=options.FOLDER)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def status(out: Path, as_json: bool) -> int:
    r"""How far a study is, from its records alone.

    \b
    raysearch status runs/sst2-quick
    """
    from raysearch.tune.folder import status as look

    as_run = read_asrun(out)
    if (out / RECORDS).exists():
        found = look(out)
    else:
        found = {"trials": 0, "by_status": {}, "running": False}
    found = {"task": as_run.task.name, "study": as_run.study.name, **found}
    found["wanted"] = as_run.study.trials
    if as_json:
        print(json.dumps(found))
        return 0
    counts = ", ".join(f"{n} {s}" for s, n in found["by_status"].items()) or "none"
    state = "running" if found["running"] else "not running"
    print(f"{found['task']}, study {found['study']}: {found['trials']} of {found['wanted']} trials")
    print(f"  {state}; by status: {counts}")
    if found["trials"]:
        print(f"  spent {found['flops']:.3g} FLOPs, {found['train_seconds']:.0f} s of trials")
    if not found["running"] and found["trials"] < found["wanted"]:
        print(f"  go on: raysearch resume {out}")
    for line in found.get("skipped", ()):
        print(f"  {line}")
    return 0


def _study(given: dict[str, Any], *, whole: bool) -> int:
    """Prepare, price, run, and show what came out."""
    prepared = prepare(given)
    out = prepared.out
    say = _printer(given)
    for line in prepared.run.notes:
        say(line)
    for reason in dict.fromkeys(prepared.run.left_out.values()):
        names = [name for name, why in prepared.run.left_out.items() if why == reason]
        say(f"left out: {', '.join(names)}: {reason}")
    done = _records_so_far(out)
    estimate = quote(prepared, done)
    say(estimate.sentence())
    if given["dry_run"]:
        return _priced(prepared, estimate, given)
    ask(estimate, given)

    from raysearch.tune.progress import watching
    from raysearch.tune.runner import run_study

    write_asrun(out, prepared.run)
    with watching() as watch:
        outcome = run_study(
            prepared.run.study, prepared.world, out, on_event=watch, address=given["address"]
        )
    say(outcome.stopped_by)
    table = _table(out)
    if outcome.interrupted:
        say(f"go on with: raysearch resume {out}")
        return 130 if "disk" not in outcome.stopped_by else 1
    if not (table["status"] == "DONE").any():
        raise InputError(_nothing(table))
    page = _page(out) if whole else None
    _show(prepared, out, page, given)
    return 0


def _printer(given: dict[str, Any]) -> Callable[[str], None]:
    """Lines for a person; on standard error where standard output belongs to JSON."""
    stream = sys.stderr if given["as_json"] else sys.stdout

    def say(line: str) -> None:
        print(line, file=stream, flush=True)

    return say


def _records_so_far(out: Path) -> int:
    from raysearch.record import read_records

    return len(read_records(out / RECORDS).trials) if (out / RECORDS).exists() else 0


def _priced(prepared: Prepared, estimate: Quote, given: dict[str, Any]) -> int:
    study = prepared.run.study
    if given["as_json"]:
        print(json.dumps({"task": study.task, "study": study.name, **estimate.to_json()}))
    return 0


def _table(out: Path) -> Any:
    """The run's table, written as records.parquet too."""
    from raysearch.analysis import read_run, write_parquet

    table = read_run(out).table
    try:
        write_parquet(table, out / TABLE)
    except OSError as e:
        raise RecordError(f"{out / TABLE}: cannot be written: {e.strerror or e}") from e
    return table


def _page(out: Path) -> Path:
    from raysearch.analysis import read_run
    from raysearch.panels.page import write_pages

    return write_pages(read_run(out), out / PAGES)


def _nothing(table: Any) -> str:
    errors = table["error"].dropna()
    reason = f"; the first says: {errors.iloc[0]}" if len(errors) else ""
    return f"no trial came to an end{reason}"


def _show(prepared: Prepared, out: Path, page: Path | None, given: dict[str, Any]) -> None:
    from raysearch.analysis import read_run, summary, verdict

    result = read_run(out)
    if given["as_json"]:
        value = {
            "task": prepared.run.task.name,
            "study": prepared.run.study.name,
            "out": str(out),
            "page": None if page is None else str(page),
            **summary(result.table),
        }
        print(json.dumps(value, allow_nan=False))
        return
    print()
    if page is not None:
        _print_frontier(summary(result.table)["frontier"])
        for line in verdict(result.table, result.study):
            print(line)
        print(f"\npage: {page}")
    print(f"records: {out / TABLE}")


def _print_frontier(points: list[dict[str, Any]]) -> None:
    """The frontier as a table: validation selects, test reports."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Frontier: score against inference FLOPs", title_justify="left")
    for name, justify in (
        ("method", "left"),
        ("model", "left"),
        ("labels", "right"),
        ("validation", "right"),
        ("test", "right"),
        ("train FLOPs", "right"),
        ("infer FLOPs", "right"),
        ("params", "right"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    for p in points:
        costs, scores = p["costs"], p["scores"]
        table.add_row(
            p["method"],
            p["model"],
            f"{p['labels']:,}",
            _number(scores.get("validation"), ".3f"),
            _number(scores.get("test"), ".3f"),
            _number(costs.get("train_flops_full"), ".2e"),
            _number(costs.get("infer_flops"), ".2e"),
            _number(costs.get("params"), ",.0f"),
        )
    Console(width=100).print(table)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
