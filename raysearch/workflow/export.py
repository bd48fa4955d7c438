"""Open a trial of a run again, and write one of its points as files that predict."""

from __future__ import annotations

import json
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from raysearch.errors import InputError
from raysearch.record import OperatingPoint, TrialRecord
from raysearch.run.folder import RunFolder, locked
from raysearch.run.records import RecordWriter
from raysearch.run.study_file import read_study_manifest
from raysearch.workflow.listeners import Notify
from raysearch.workflow.open_run import open_data
from raysearch.workflow.sync import push_to_storage

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.export.point import Exported
    from raysearch.trial.context import ExecutionContext
    from raysearch.trial.trained import TrainedModel


def export_model(
    run: Path,
    point: str | None,
    to: Path,
    *,
    notify: Notify,
    kind: str | None = None,
    int8: bool = False,
    force: bool = False,
    data_dir: Path | None = None,
    models_dir: Path | None = None,
) -> tuple[TrialRecord, Exported]:
    """Write a trained point as files that predict; train it again where its weights are gone.

    Args:
        run: the run's folder.
        point: start of a point's or trial's id; None: the recommended one.
        to: folder to make.
        notify: takes a line for a person before each long step.
        kind: format's name; None: what fits.
        int8: weights in 8 bits; its scores are kept with the run.
        force: replace an exported model.
        data_dir: folder of data sets; None: where the run found them.
        models_dir: likewise of checkpoints.

    Raises:
        InputError: no such point or format, the data have changed, or `to` is not free.
    """
    from raysearch.analysis import read_run
    from raysearch.analysis.point_lookup import find
    from raysearch.export import get
    from raysearch.export.point import export_point
    from raysearch.export.write import check_target
    from raysearch.recommend.recommended import recommended_id

    opened = read_run(run)
    record, chosen = find(opened, recommended_id(opened) if point is None else point)
    int8 = int8 or bool(chosen.knobs.get("int8"))
    if kind is not None:
        get(kind)
    check_target(to, force)
    folder = RunFolder(run)
    with locked(folder) if int8 else nullcontext():
        trial, licence = open_trial(run, record, data_dir, models_dir)
        notify(_title(record, chosen))
        try:
            if not trial.restore_weights():
                notify(f"weights were not kept: trains trial {record.id} again")
                trial.train()
            words = ["raysearch", "export", run.resolve().name, chosen.point_id]
            words += ["--to", "DIR", *(["--format", kind] if kind else []), *["--int8"] * int8]
            done = export_point(
                trial,
                record,
                chosen,
                kind,
                to,
                command=shlex.join(words),
                int8=int8,
                force=force,
                data_licence=licence,
                confirmed=_confirmed(opened, chosen.point_id),
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
        push_to_storage(run)
    return record, done


def open_trial(
    run: Path, record: TrialRecord, data_dir: Path | None, models_dir: Path | None
) -> tuple[TrainedModel, str]:
    """Return a trial over the run's own data and models, and the data's licence where known.

    Raises:
        InputError: as `open_place`.
    """
    from raysearch.trial.trained import open_trained

    place, licence = open_place(run, data_dir, models_dir)
    return open_trained(record.config, place), licence


def open_place(
    run: Path, data_dir: Path | None, models_dir: Path | None
) -> tuple[ExecutionContext, str]:
    """Return where a run's trials can be opened here, and the data's licence where known.

    Raises:
        InputError: a folder is missing, or the data have changed since the run began.
    """
    from raysearch.planning.planner import Planner

    as_run = read_study_manifest(run)
    places = {"data": data_dir, "models": models_dir}
    for kind, given in places.items():
        if given is None and kind in as_run.folders:
            places[kind] = given = Path(as_run.folders[kind])
        if given is not None and not given.is_dir():
            raise InputError(f"--{kind}-dir: no folder '{given}'")
    data = open_data(run, data_dir)
    world = Planner(
        as_run.study, data, out=run, data_dir=places["data"], models_dir=places["models"]
    )
    licence = ""
    if places["data"] is not None:
        about = places["data"] / (as_run.task.folder or as_run.task.name) / "meta.json"
        try:
            licence = str(json.loads(about.read_text(encoding="utf-8")).get("license") or "")
        except (OSError, ValueError, AttributeError):
            licence = ""
    return world.place, licence


def _confirmed(run: Run, point_id: str) -> str:
    """Return what fresh draws of a point scored, for its card; empty without any."""
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


def _title(record: TrialRecord, point: OperatingPoint) -> str:
    scores = ", ".join(
        f"{split} {values[record.score]:.4f}"
        for split, values in point.scores.items()
        if record.score in values
    )
    knobs = ", int8" if point.knobs.get("int8") else ""
    config = record.config
    return (
        f"point {point.point_id}: {config.method} on {config.rung}, {config.data.train:,} labels"
        f"{knobs} ({record.score}: {scores or 'not scored'})"
    )
