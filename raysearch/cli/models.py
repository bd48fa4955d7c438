"""The verbs of a chosen model: export writes it as files, predict labels a table with it."""

from __future__ import annotations

import json
import shlex
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raysearch.cli import options
from raysearch.cli.label_table import label_rows, progress, text_columns
from raysearch.cli.predictors import answering
from raysearch.cli.sync import carry
from raysearch.data.tables_in import Reader
from raysearch.data.tables_out import writing
from raysearch.data.text_tables import STDIO
from raysearch.errors import InputError
from raysearch.record import OperatingPoint, TrialRecord
from raysearch.run.records import RecordWriter

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.trial.trained import TrainedModel

ROWS = 2048
"""Rows that are read, labelled and written at once."""


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
    from raysearch.analysis import read_run
    from raysearch.analysis.point_lookup import find
    from raysearch.cli.answers import recommended
    from raysearch.export import get
    from raysearch.export.point import export_point
    from raysearch.export.write import check_target
    from raysearch.run.folder import Folder, held

    found = read_run(run)
    record, chosen_point = find(found, recommended(found) if point is None else point)
    int8 = int8 or bool(chosen_point.knobs.get("int8"))
    if kind is not None:
        get(kind)
    check_target(to, force)
    folder = Folder(run)
    with held(folder) if int8 else nullcontext():
        trial, licence = opened(run, record, data_dir, models_dir)
        print(_named(record, chosen_point), flush=True)
        try:
            if not trial.restore_weights():
                print(f"weights were not kept: trains trial {record.id} again", flush=True)
                trial.train()
            words = ["raysearch", "export", run.resolve().name, chosen_point.point_id]
            words += ["--to", "DIR", *(["--format", kind] if kind else []), *["--int8"] * int8]
            done = export_point(
                trial,
                record,
                chosen_point,
                kind,
                to,
                command=shlex.join(words),
                int8=int8,
                force=force,
                data_licence=licence,
                confirmed=_confirmed(found, chosen_point.point_id),
            )
        finally:
            trial.close()
        known = {p.point_id for p in record.points}
        events = [e for e in done.events if e["point_id"] not in known]
        if events:
            writer = RecordWriter(folder.records)
            for event in events:
                writer.append(event)
            writer.close()
    if events:
        carry(run)
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


def _confirmed(run: Run, point_id: str) -> str:
    """What fresh draws of a point's configuration scored, for its card; empty without any."""
    from raysearch.analysis.confirmation import confirmation

    made = confirmation(run)
    at = made.at(point_id)
    if at is None:
        return ""
    e = made.estimates[at]
    score = run.records[0].score
    how = f", {made.folds}-fold cross-fitting" if made.folds else ""
    return (
        f"Those are this one model's. Its configuration scored {score} {e.score:.4f} on test, 95 % "
        f"interval {e.low:.4f} to {e.high:.4f}, over {e.draws} fresh draws of data and seeds{how}, "
        f"{e.test_rows:,} rows."
    )


def _named(record: TrialRecord, point: OperatingPoint) -> str:
    scores = ", ".join(
        f"{split} {found[record.score]:.4f}"
        for split, found in point.scores.items()
        if record.score in found
    )
    knobs = ", int8" if point.knobs.get("int8") else ""
    config = record.config
    return (
        f"point {point.point_id}: {config.method} on {config.rung}, {config.data.train:,} labels"
        f"{knobs} ({record.score}: {scores or 'not scored'})"
    )


def opened(
    run: Path, record: TrialRecord, data_dir: Path | None, models_dir: Path | None
) -> tuple[TrainedModel, str]:
    """The trial over the run's own data and models, and the data's licence where it is known."""
    from raysearch.cli.open_run import open_data
    from raysearch.planning.planner import World
    from raysearch.run.study_file import read_asrun
    from raysearch.trial.trained import open_trained

    as_run = read_asrun(run)
    places = {"data": data_dir, "models": models_dir}
    for kind, given in places.items():
        if given is None and kind in as_run.folders:
            places[kind] = given = Path(as_run.folders[kind])
        if given is not None and not given.is_dir():
            raise InputError(f"--{kind}-dir: no folder '{given}'")
    data = open_data(run, data_dir)
    world = World(as_run.study, data, out=run, data_dir=places["data"], models_dir=places["models"])
    licence = ""
    if places["data"] is not None:
        about = places["data"] / (as_run.task.folder or as_run.task.name) / "meta.json"
        try:
            licence = str(json.loads(about.read_text(encoding="utf-8")).get("license") or "")
        except (OSError, ValueError, AttributeError):
            licence = ""
    return open_trained(record.config, world.place), licence


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
    predictor = answering(model, otherwise, threshold, criterion)
    reader = Reader(table, batch_rows)
    columns = text_columns(predictor, reader, text, pair)
    added: dict[str, type] = {"prediction": float if predictor.manifest.regression else str}
    added |= {f"p_{label}": float for label in predictor.labels}
    for name in added:
        if name in reader.columns:
            raise InputError(f"{reader.where}: has a column '{name}' already; rename it first")
    rows = blank = 0
    start = time.monotonic()
    with writing(out, reader, added, force) as write, progress(reader) as tell:
        for chunk in reader:
            blank += label_rows(predictor, chunk, columns, list(added), reader.where)
            write(chunk)
            rows += len(chunk)
            tell(rows)
    seconds = time.monotonic() - start
    said = f"; {predictor.summary()}" if predictor.summary() else ""
    said += f"; {blank:,} without a text left empty" if blank else ""
    to = "" if out == STDIO else f" -> {out}"
    print(
        f"{rows:,} rows in {seconds:.1f} s ({rows / max(seconds, 1e-9):,.0f} a second){said}{to}",
        file=sys.stderr,
    )
    return 0
