"""A run read from its folder: records, table, study, and cached results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd

from raysearch.analysis.replicates import average_over_replicates
from raysearch.analysis.table import to_table
from raysearch.errors import InputError
from raysearch.record import Outside, TrialRecord
from raysearch.run.folder import RECORDS, Mark, RunFolder
from raysearch.run.records import read_records
from raysearch.run.study_file import read_study_file

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """A folder of records (or several of one task), read."""

    folder: Path
    """Where it was read from; the first folder of several."""
    study: dict[str, Any]
    """Contents of study.yaml; empty where there is none. The first folder's of several. With the
    `shared_by` that the table was made with."""
    records: tuple[TrialRecord, ...]
    """In the order they were written; results of training averaged over draws as
    `raysearch.analysis.replicates.average_over_replicates` does."""
    table: pd.DataFrame
    """`to_table(records)` with the study's `shared_by` and `prices`."""
    skipped: tuple[str, ...] = ()
    """One sentence for each line that could not be read."""
    outside: tuple[Outside, ...] = ()
    """Systems from outside, by `raysearch add-point`; they are no rows of the table."""
    _computed: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _untimed: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Of the computed values those that no measured time changes."""

    def cached(self, key: str, make: Callable[[Run], T], *, untimed: bool = False) -> T:
        """Return what `make` computes of the run; it is computed once.

        Args:
            key: names the value; each key has one `make`.
            make: computes the value from this run alone.
            untimed: the value depends on no measured time, so that it outlives timing the points.
        """
        values = self._untimed if untimed else self._computed
        if key not in values:
            values[key] = make(self)
        return cast(T, values[key])

    def differs_in_times(self, other: Run) -> bool:
        """Return whether the other run is this one but for times measured since, or equal to it."""
        same = self.folder == other.folder and self.study == other.study
        return same and _untimed_records(self) == _untimed_records(other)

    def keep_untimed(self, other: Run) -> None:
        """Take over what has been computed of another reading that differs in times alone."""
        self._untimed.update(other._untimed)


def _untimed_records(run: Run) -> list[TrialRecord]:
    return [
        replace(r, points=tuple(replace(p, measured={}) for p in r.points)) for r in run.records
    ]


class RunReader:
    """Reads a run's folder, anew only where its files have changed."""

    def __init__(self, folder: Path | str, *, shared_by: int | None = None) -> None:
        self._folder, self._shared_by = RunFolder(Path(folder)), shared_by
        self._read: tuple[Mark, Run] | None = None

    @property
    def folder(self) -> Path:
        """Return the run's folder."""
        return self._folder.root

    def read(self) -> Run:
        """Return the run as its files are now: the same object while they stay as they are.

        Raises:
            InputError, RecordError: as `read_run` does.
        """
        mark = self._folder.mark()  # before reading: what is written meanwhile is read next time
        if self._read is not None and self._read[0] == mark:
            return self._read[1]
        run = read_run(self.folder, shared_by=self._shared_by)
        if self._read is not None and run.differs_in_times(self._read[1]):
            run.keep_untimed(self._read[1])
        self._read = mark, run
        return run


def read_run(folder: Path | str, *, shared_by: int | None = None) -> Run:
    """Read one run: records.jsonl, and study.yaml where there is one.

    Args:
        folder: the run's.
        shared_by: how many students share an inherited bill; None: what the study says.

    Raises:
        InputError: no such folder, no records in it, or a study.yaml that is no mapping.
        RecordError: records that this version cannot read (an unknown schema by its name).
    """
    folder = Path(folder)
    path = RunFolder(folder).records
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a run's folder with {RECORDS} in it")
    if not path.is_file():
        raise InputError(f"{folder}: no {RECORDS} in it; expected a folder that a run has written")
    study = read_study_file(folder)
    if shared_by is not None:
        study = {**study, "shared_by": shared_by}
    read = read_records(path)
    records = average_over_replicates(read.trials, study)
    table = _table_of(records, study)
    return Run(folder, study, records, table, read.skipped, read.outside)


def read_runs(folders: Sequence[Path | str], *, shared_by: int | None = None) -> Run:
    """Read several runs of one task as one; of an id in two of them the DONE record counts.

    `study` and with it prices, reference and (unless given) `shared_by` are the first folder's.

    Raises:
        InputError: no folder given, or folders of different tasks or main scores.
    """
    if not folders:
        raise InputError("no folder given; expected at least one run's folder")
    runs = [read_run(f, shared_by=shared_by) for f in folders]
    if len(runs) == 1:
        return runs[0]
    for kind, of in (("task", _task), ("score", _score)):
        seen: dict[str, Path] = {}
        for run in runs:
            for record in run.records:
                seen.setdefault(of(record), run.folder)
        if len(seen) > 1:
            (a, at), (b, bt) = list(seen.items())[:2]
            raise InputError(
                f"{at} has {kind} '{a}', {bt} has {kind} '{b}'; runs of one {kind} can be joined"
            )
    merged: dict[str, TrialRecord] = {}
    for run in runs:
        for record in run.records:
            if record.id not in merged or merged[record.id].status != "DONE":
                merged[record.id] = record
    records = tuple(merged.values())
    skipped = tuple(f"{run.folder.name}/{s}" for run in runs for s in run.skipped)
    study = runs[0].study
    outside = {o.name: o for run in reversed(runs) for o in run.outside}
    table = _table_of(records, study)
    return Run(runs[0].folder, study, records, table, skipped, tuple(outside.values()))


def _table_of(records: Iterable[TrialRecord], study: Mapping[str, Any]) -> pd.DataFrame:
    return to_table(
        records, shared_by=int(study.get("shared_by") or 1), prices=study.get("prices") or {}
    )


def _task(record: TrialRecord) -> str:
    return record.config.task


def _score(record: TrialRecord) -> str:
    return record.score
