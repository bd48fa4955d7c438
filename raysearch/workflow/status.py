"""The progress of a run, from its records alone. Imports no Ray, so that it is fast."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raysearch.cluster.node_hours import read_hours
from raysearch.errors import InputError
from raysearch.run.folder import RunFolder, read_suggestions, running
from raysearch.run.study_file import read_study_manifest
from raysearch.search.budget import spent_by


def status(out: Path) -> dict[str, Any]:
    """Return how far the study in `out` is, from its records alone.

    Raises:
        InputError: no study has begun there.
    """
    folder = RunFolder(out)
    if not folder.records.exists():
        raise InputError(f"{out}: holds no study (no {folder.records.name})")
    records = folder.read()
    known = {r.id for r in records.trials}
    search = [r for r in records.trials if r.phase == "search"]
    fresh = [r for r in records.trials if r.phase != "search"]
    spent = spent_by(records.trials)
    return {
        "trials": len(search),
        "by_status": dict(sorted(Counter(r.status for r in search).items())),
        "by_method": dict(sorted(Counter(r.config.method for r in search).items())),
        "draws": len(fresh),
        "draws_by_status": dict(sorted(Counter(r.status for r in fresh).items())),
        "confirmed": len({r.config.seedless_id for r in fresh if r.status == "DONE"}),
        "measured": sum(bool(p.measured) for r in search for p in r.points),
        "unfinished": len({s.id for s in read_suggestions(folder)} - known),
        "flops": spent.flops,
        "train_seconds": spent.train_seconds,
        "labels": spent.labels,
        "running": running(folder),
        "nodes": {id_: asdict(hours) for id_, hours in read_hours(out).items()},
        "skipped": list(records.skipped),
    }


def study_status(out: Path) -> dict[str, Any]:
    """Return the same with the names of task and study, and how many trials it is to have.

    A run that has no records yet has no trials.

    Raises:
        InputError: the folder holds no run.
    """
    as_run = read_study_manifest(out)
    facts: dict[str, Any] = {"trials": 0, "by_status": {}, "running": False}
    if RunFolder(out).records.exists():
        facts = status(out)
    names = {"task": as_run.task.name, "study": as_run.study.name}
    return {**names, **facts, "wanted": as_run.study.trials}
