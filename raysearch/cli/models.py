"""The verbs of a chosen model: export writes it as files, predict labels a table with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from raysearch.cli import options
from raysearch.cli.printing import printer
from raysearch.data.tables_in import Reader
from raysearch.data.text_tables import STDIO
from raysearch.errors import InputError
from raysearch.workflow.export import export_model
from raysearch.workflow.label_table import label_table
from raysearch.workflow.predictors import predictor_from_options

ROWS = 2048
"""Rows that are read, labelled and written at once."""
EVERY = 30.0
"""Seconds between two lines of progress where no terminal is [s]."""


@click.command()
@click.argument("run", type=options.FOLDER)
@click.argument("point", required=False)
@click.option("--to", type=options.FOLDER, required=True, metavar="DIR", help="Folder to make.")
@click.option(
    "--format", "kind", metavar="NAME", help="hf, onnx, onnx_exits, native or table.  [what fits]"
)
@click.option("--int8", is_flag=True, help="Weights in 8 bits; scored, and kept as a point.")
@click.option("--force", is_flag=True, help="Replace an exported model that stands there.")
@options.folders
def export(
    run: Path,
    point: str | None,
    to: Path,
    kind: str | None,
    int8: bool,
    force: bool,
    data_dir: Path | None,
    models_dir: Path | None,
) -> int:
    r"""Write a trained point as files that predict without raysearch.

    \b
    raysearch export runs/sst2-quick --to model --format hf
    raysearch export runs/sst2-quick 3fa9 --to small --format onnx --int8
    """
    record, done = export_model(
        run,
        point,
        to,
        notify=printer(),
        kind=kind,
        int8=int8,
        force=force,
        data_dir=data_dir,
        models_dir=models_dir,
    )
    for split, (plain, quantised) in (done.scores or {}).items():
        print(f"{record.score} on {split}: {plain:.4f} in float32, {quantised:.4f} in int8")
    if done.calibration is not None:
        rows, before, after = done.calibration
        print(
            f"temperature {done.temperature:.3f}: calibration error {before:.4f} -> {after:.4f} "
            f"on {rows:,} validation rows"
        )
    print(done.parity.sentence())
    print(to)
    return 0


@click.command()
@click.argument("model", type=options.FOLDER, metavar="MODEL_DIR")
@click.argument("table", metavar="IN")
@click.option("-o", "--out", required=True, metavar="FILE", help="By its ending; - for CSV.")
@click.option("--text", metavar="COLUMN", help="Column of the text.")
@click.option("--pair", metavar="COLUMN", help="Column of the second text of a pair.")
@click.option(
    "--threshold", metavar="T", help="What a sure text reaches: 0 to 1, exits in a row, or never."
)
@click.option(
    "--criterion",
    metavar="NAME",
    help="What is compared with T, as the model's card says.  [the model's]",
)
@click.option(
    "--otherwise", type=options.FOLDER, metavar="DIR", help="Model for texts that reach no T."
)
@click.option("--batch-rows", type=int, default=ROWS, show_default=True, metavar="N")
@click.option("--force", is_flag=True, help="Replace the file that stands at -o.")
def predict(
    model: Path,
    table: str,
    out: str,
    text: str | None,
    pair: str | None,
    threshold: str | None,
    criterion: str | None,
    otherwise: Path | None,
    batch_rows: int,
    force: bool,
) -> int:
    r"""Label a table: keeps its columns, adds `prediction` and a `p_LABEL` a class.

    CSV, TSV, JSONL and Parquet by their endings; `-` is CSV. A row without a text stays empty.

    \b
    raysearch predict model tickets.csv -o labelled.csv --text message
    raysearch predict exits tickets.csv -o labelled.csv --threshold 0.95
    raysearch predict small tickets.csv -o labelled.csv --otherwise large --threshold 0.9
    """
    if batch_rows < 1:
        raise InputError(f"--batch-rows: is {batch_rows}, must be above 0")
    predictor = predictor_from_options(model, otherwise, threshold, criterion)
    reader = Reader(table, batch_rows)
    start = time.monotonic()
    with progress(reader) as advanced:
        done = label_table(
            predictor, reader, out, text=text, pair=pair, force=force, advanced=advanced
        )
    seconds = time.monotonic() - start
    more = f"; {predictor.summary()}" if predictor.summary() else ""
    more += f"; {done.blank:,} without a text left empty" if done.blank else ""
    to = "" if out == STDIO else f" -> {out}"
    rate = done.rows / max(seconds, 1e-9)
    print(
        f"{done.rows:,} rows in {seconds:.1f} s ({rate:,.0f} a second){more}{to}", file=sys.stderr
    )
    return 0


@contextmanager
def progress(reader: Reader) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, else a line now and then; on standard error."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        shown = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=reader.size or None)
            yield lambda rows: bar.update(
                task, completed=reader.done(), description=f"{rows:,} rows"
            )
        return
    last = time.monotonic()

    def line(rows: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            print(f"{rows:,} rows", file=sys.stderr, flush=True)

    yield line
