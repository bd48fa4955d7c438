"""Records in and out: records.jsonl is appended to by the driver alone and read whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from raysearch.errors import RecordError
from raysearch.record import EVENTS, SCHEMA, OperatingPoint, Outside, TrialRecord


class RecordWriter:
    """Appends events to records.jsonl, one fsynced line each; only the driver has one.

    A line that a crash tore off is cut away on opening, so that the next line starts clean.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _drop_torn_tail(path)
            self._file: IO[bytes] = path.open("ab", buffering=0)
        except OSError as e:
            raise RecordError(f"{path}: cannot be opened for writing: {e.strerror}") from e

    def append(self, event: Mapping[str, Any]) -> None:
        """Write one event and wait until it is on disk; RecordError when the disk refuses."""
        text = json.dumps(event, allow_nan=False, ensure_ascii=False)
        # A lone surrogate (a path that is not UTF-8, in an error's text) becomes its JSON escape.
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        start = self._file.seek(0, os.SEEK_END)
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(self._file.fileno())
        except OSError as e:
            try:
                self._file.truncate(start)  # no half line stays behind
            except OSError:
                pass
            raise RecordError(f"{self.path}: cannot be written: {e.strerror}") from e

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        self._file.close()


def _drop_torn_tail(path: Path) -> None:
    """Cut off a last line that was torn; a whole one that lacks only its newline gets it."""
    if not path.exists():
        return
    data = path.read_bytes()
    if not data or data.endswith(b"\n"):
        return
    start = data.rfind(b"\n") + 1
    try:
        json.loads(data[start:])
    except ValueError:
        with path.open("r+b") as f:
            f.truncate(start)
    else:
        with path.open("ab") as f:
            f.write(b"\n")


@dataclass(frozen=True, slots=True)
class Records:
    """The contents of a records file, and what of it could not be read."""

    trials: tuple[TrialRecord, ...]
    """One per id: the DONE record where there is one, else the latest."""
    skipped: tuple[str, ...] = ()
    """One sentence for each line that was skipped (a torn last line)."""
    outside: tuple[Outside, ...] = ()
    """One per name, the latest, in the order the names were first given."""


def read_records(path: Path) -> Records:
    """Read records.jsonl; skip and report a torn last line, refuse an unknown schema by name.

    `score` and `measure` events are merged into the points they name; one that carries a `point`
    adds it to its trial if it is missing there.

    Raises:
        RecordError: no file, an unknown schema or event, or a broken line that is not the last.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as e:
        raise RecordError(f"{path}: cannot be read: {e.strerror}") from e
    trials: dict[str, TrialRecord] = {}
    extras: dict[str, list[Mapping[str, Any]]] = {}
    further: dict[str, dict[str, OperatingPoint]] = {}
    outside: dict[str, Outside] = {}
    skipped: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError as e:
            if number == len(lines):
                skipped.append(f"{path.name}: line {number} is torn and was skipped")
                continue
            raise RecordError(f"{path}: line {number} is not JSON: {e}") from e
        if not isinstance(event, dict):
            raise RecordError(f"{path}: line {number} is not an event")
        if event.get("schema") != SCHEMA:
            raise RecordError(
                f"{path}: line {number} has schema {event.get('schema')!r}, "
                f"this version reads schema {SCHEMA}"
            )
        try:
            if event["event"] == "trial":
                record = TrialRecord.from_json(event)
                old = trials.get(record.id)
                if old is None or old.status != "DONE":
                    trials[record.id] = record
            elif event["event"] == "outside":
                outside[str(event["name"])] = Outside.from_json(event)
            elif event["event"] in EVENTS:
                extras.setdefault(event["point_id"], []).append(event)
                if "point" in event:
                    point = OperatingPoint(**{**event["point"], "point_id": event["point_id"]})
                    further.setdefault(event["id"], {}).setdefault(point.point_id, point)
            else:
                raise RecordError(
                    f"{path}: line {number} has event {event['event']!r}. "
                    f"Known: {', '.join(EVENTS)}"
                )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as e:
            raise RecordError(f"{path}: line {number} is not a whole event: {e}") from e
    merged = tuple(_merge(r, extras, further.get(r.id, {})) for r in trials.values())
    return Records(merged, tuple(skipped), tuple(outside.values()))


def _merge(
    record: TrialRecord,
    extras: Mapping[str, list[Mapping[str, Any]]],
    further: Mapping[str, OperatingPoint],
) -> TrialRecord:
    """Add further points of the trial, and fold `score` and `measure` events into its points."""
    known = {p.point_id for p in record.points}
    added = [point for name, point in further.items() if name not in known]
    if not added and not any(name in extras for name in known):
        return record
    points = []
    for p in (*record.points, *added):
        value = p.to_json()
        for event in extras.get(p.point_id, ()):
            if event["event"] == "score":
                value.setdefault("scores", {})[event["split"]] = event["scores"]
                value.setdefault("rows", {})[event["split"]] = event["rows"]
            else:
                value["measured"] = {**value.get("measured", {}), **event["measured"]}
        points.append(OperatingPoint(**value))
    return replace(record, points=tuple(points))
