"""The verbs that run studies: frontier, run, resume, status."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import finish, options
from raysearch.cli.phases import confirm_run, search_budget
from raysearch.cli.prepare import Prepared, Quote, ask, known, prepare, quote
from raysearch.cli.sync import carry
from raysearch.errors import InputError, RaysearchError, RecordError
from raysearch.run.study_file import read_asrun, write_asrun

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.recommend.answer import Answer
    from raysearch.recommend.points import Points

RECORDS, TABLE, PAGES = "records.jsonl", "records.parquet", "dashboard"


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
    if known(out, given["storage"] or None) is None:
        read_asrun(out)  # says at once that there is nothing to resume
    return _study({**NOTHING, "dry_run": False, "out": out, **given}, whole=True)


NOTHING: dict[str, Any] = {p.name: None for p in frontier.params if p.name is not None}
"""Of the options of a verb that runs a study, where none is given."""


@click.command()
@click.argument("out", type=options.FOLDER)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def status(out: Path, as_json: bool) -> int:
    r"""How far a study is, from its records alone.

    \b
    raysearch status runs/sst2-quick
    """
    from raysearch.workflow.status import status as look

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
    if found.get("draws"):
        draws = ", ".join(f"{n} {s}" for s, n in found["draws_by_status"].items())
        print(f"  confirming draws of {found['confirmed']} candidates: {draws}")
        print(f"  measured: {found['measured']} points")
    if found["trials"]:
        print(f"  spent {found['flops']:.3g} FLOPs, {found['train_seconds']:.0f} s of trials")
    for line in finish.nodes(out, as_run.study.prices):
        print(f"  {line}")
    if not found["running"] and found["trials"] < found["wanted"]:
        print(f"  go on: raysearch resume {out}")
    for line in found.get("skipped", ()):
        print(f"  {line}")
    return 0


def _study(given: dict[str, Any], *, whole: bool) -> int:
    """Prepare, price, run, and show what came out."""
    file = None
    if given.get("down_when_done"):
        file = finish.can_go_down(given["storage"] or None, given["address"])
    with at_hand(given["address"]) as cluster:
        code = _run(given, cluster, whole=whole)
        others = _drivers() if file is not None else 0
    if file is not None and code == 0:
        finish.go_down(file, others, printer(given["as_json"]))
    return code


def _drivers() -> int:
    from raysearch.cluster.nodes import drivers

    return drivers()


@contextmanager
def at_hand(address: str | None) -> Iterator[dict[str, Any]]:
    """Connect to a cluster that is named, before anything is planned: what `prepare` asks of it."""
    if address is None:
        yield {}
        return
    from raysearch.cluster.nodes import device, machines, there
    from raysearch.cluster.resources import slots
    from raysearch.tune.session import started

    with started(None, address):
        runs_on, nodes = device(), machines()
        many = sum(int(n.gpus) if runs_on == "cuda" else slots(n) for n in nodes)
        yield {"device": runs_on, "there": there, "at_once": many or None}


def _run(given: dict[str, Any], cluster: dict[str, Any], *, whole: bool) -> int:
    prepared = prepare(given, **cluster)
    out = prepared.out
    say = printer(given["as_json"])
    for line in prepared.run.notes:
        say(line)
    for reason in dict.fromkeys(prepared.run.left_out.values()):
        names = [name for name, why in prepared.run.left_out.items() if why == reason]
        say(f"left out: {', '.join(names)}: {reason}")
    done = _records_so_far(out)
    draws = prepared.run.study.draws if whole else 0
    estimate = quote(prepared, done, confirm=bool(draws))
    say(estimate.sentence())
    if given["dry_run"]:
        return _priced(prepared, estimate, given)
    ask(estimate, given)

    from raysearch.cli.progress import watching
    from raysearch.tune.runner import run_study
    from raysearch.tune.session import started

    study, begun = prepared.run.study, time.monotonic()
    write_asrun(out, prepared.run)
    with started(study.concurrency, given["address"]):
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
        say(outcome.stopped_by)
        table = _table(out)
        if not outcome.interrupted and draws and drawable(table):
            left = None if study.hours is None else _left(study.hours, begun)
            outcome = confirm_run(prepared, draws, say, hours=left).outcome or outcome
            table = _table(out)
    if outcome.interrupted:
        say(f"go on with: raysearch resume {out}")
        return 130 if outcome.stopped_by.startswith("interrupted") else 1
    if not (table["status"] == "DONE").any():
        raise InputError(_nothing(table))
    for line in finish.overshoot(study, time.monotonic() - begun):
        say(line)
    for line in finish.nodes(out, study.prices):
        say(line)
    if draws:
        _measure(prepared, given, say)
    page = write_page(out) if whole else None
    _show(prepared, out, page, given)
    carry(out)
    return 0


def drawable(table: Any) -> bool:
    """Whether a finished trial used labels: without, nothing is chosen nor drawn again."""
    return bool(((table["status"] == "DONE") & (table["labels"] > 0)).any())


def _measure(prepared: Prepared, given: dict[str, Any], say: Callable[[str], None]) -> None:
    """Time what was confirmed; where nothing was, the page says what is missing."""
    from raysearch.analysis import read_run
    from raysearch.analysis.confirmation import confirmation
    from raysearch.cli.measuring import bench, measure_run

    out, address = prepared.out, given["address"]
    if not confirmation(read_run(out)).estimates:
        return
    try:
        at = prepared if address is not None else None
        measure_run(out, say, bench(at, out, given["data_dir"], given["models_dir"]))
    except RaysearchError as e:  # the study is done: its page is not lost for a machine's sake
        if address is None:
            raise
        say(f"not measured: {e}; later: raysearch measure {out} --address {address}")


def _left(hours: float, begun: float) -> float:
    """What is left of the study's wall-clock time [h]."""
    return max(0.0, hours - (time.monotonic() - begun) / 3600)


def printer(as_json: bool) -> Callable[[str], None]:
    """Lines for a person; on standard error where standard output belongs to JSON."""
    stream = sys.stderr if as_json else sys.stdout

    def say(line: str) -> None:
        print(line, file=stream, flush=True)

    return say


def _records_so_far(out: Path) -> int:
    from raysearch.run.records import read_records

    if not (out / RECORDS).exists():
        return 0
    return sum(r.phase == "search" for r in read_records(out / RECORDS).trials)


def _priced(prepared: Prepared, estimate: Quote, given: dict[str, Any]) -> int:
    study = prepared.run.study
    if given["as_json"]:
        print(json.dumps({"task": study.task, "study": study.name, **estimate.to_json()}))
    return 0


def _table(out: Path) -> Any:
    """The run's table, written as records.parquet too."""
    return read_back(out)[0].table


def read_back(out: Path) -> tuple[Run, Path]:
    """The run as its records tell it, and its table as a parquet file."""
    from raysearch.analysis import read_run, write_parquet

    found = read_run(out)
    try:
        write_parquet(found.table, out / TABLE)
    except OSError as e:
        raise RecordError(f"{out / TABLE}: cannot be written: {e.strerror or e}") from e
    return found, out / TABLE


def write_page(out: Path) -> Path:
    """The run's pages; returns the first."""
    from raysearch.analysis import read_run
    from raysearch.cli.open_run import namer
    from raysearch.panels.page import write_pages

    return write_pages(read_run(out), out / PAGES, names=namer(out))


def _nothing(table: Any) -> str:
    errors = table["error"].dropna()
    reason = f"; the first says: {errors.iloc[0]}" if len(errors) else ""
    return f"no trial came to an end{reason}"


def _show(prepared: Prepared, out: Path, page: Path | None, given: dict[str, Any]) -> None:
    from raysearch.analysis import read_run, summary

    result = read_run(out)
    if given["as_json"]:
        value = {
            "task": prepared.run.task.name,
            "study": prepared.run.study.name,
            "out": str(out),
            "page": None if page is None else str(page),
            **summary(result.table),
            **(confirmed_json(result) if page is not None else {}),
        }
        print(json.dumps(value, allow_nan=False))
        return
    print()
    if page is None:
        print(f"records: {out / TABLE}")
        return
    show(result, page, out / TABLE)


def show(result: Run, page: Path, table: Path) -> None:
    """The frontier and what the page says, for a terminal."""
    from raysearch.analysis.confirmation import confirmation
    from raysearch.analysis.selection_bias import winners_bias
    from raysearch.cli.answers import lines
    from raysearch.recommend.answer import answer
    from raysearch.recommend.collect import collect

    points = collect(result)
    found = answer(points)
    if found.frontier:
        _print_frontier(points, found)
    for line in lines(points, found):
        print(line)
    fallen = winners_bias(result.table, confirmation(result))
    if fallen is not None:
        print(fallen.sentence())
    print(f"\npage: {page}\nrecords: {table}")


def confirmed_json(result: Run) -> dict[str, Any]:
    """The recommendation, the confirmed estimates and the winner's bias as plain JSON."""
    from raysearch.analysis.confirmation import confirmation
    from raysearch.analysis.selection_bias import winners_bias
    from raysearch.cli.answers import to_json
    from raysearch.recommend.answer import answer
    from raysearch.recommend.collect import collect

    points = collect(result)
    made = confirmation(result)
    bias = winners_bias(result.table, made)
    return {
        "recommendation": to_json(points, answer(points)),
        "confirmed": [asdict(e) for e in made.estimates],
        "winners_bias": None if bias is None else asdict(bias),
    }


def _print_frontier(points: Points, found: Answer) -> None:
    """The frontier as a table: validation selects, test reports."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from raysearch.recommend.differences import interval_of

    axis = next((a.noun for a in points.axes if a.name == found.setting.cost), "cost")
    table = Table(
        title=f"Frontier: {points.score} against {axis}", title_justify="left", box=box.SIMPLE_HEAD
    )
    for name in ("method", "model", "labels", "validation", "test", "draws", *COLUMNS):
        left = name in ("method", "model")
        table.add_column(name, justify="left" if left else "right", no_wrap=not left)
    for i in found.frontier:
        ends = interval_of(points, i)
        fresh = points.place[i] >= 0
        shown = f"{points.test[i]:.3f}"
        if fresh and ends is not None:
            shown += f" [{ends[0]:.3f}, {ends[1]:.3f}]"
        costs = [points.costs.get(key) for key in COLUMNS.values()]
        table.add_row(
            points.methods[points.method[i]],
            points.models[points.model[i]] + points.knobs[i],
            f"{points.labels[i]:,.0f}",
            f"{points.validation[i]:.3f}",
            shown,
            str(points.draws[i]) if fresh else "none",
            *("-" if c is None or not math.isfinite(c[i]) else f"{c[i]:.2g}" for c in costs),
        )
    Console(width=120).print(table)


COLUMNS = {"train FLOPs": "train_flops_full", "infer FLOPs": "infer_flops", "ms": "ms"}
"""Costs of the terminal's table, by column."""
