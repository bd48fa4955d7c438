"""What is said of a trial, in one line each."""

from __future__ import annotations

from raysearch.config.trial import TrialConfig
from raysearch.record import TrialRecord
from raysearch.search.leaderboard import best_score


def named(config: TrialConfig) -> str:
    """What a person calls a trial."""
    return f"{config.procedure} {config.rung} {config.data.train} labels"


def ended(record: TrialRecord) -> str:
    """How a trial ended."""
    head = named(record.config)
    if record.status != "DONE":
        return f"{head}: {record.status} {record.error or ''}".rstrip()
    score = best_score(record)
    shown = "no validation score" if score is None else f"{record.score} {score:.4f}"
    flops = sum(c.flops for c in record.bill)
    seconds = sum(c.seconds for c in record.bill)
    return f"{head}: {shown}, {flops:.3g} FLOPs, {seconds:.1f} s"


def teacher_failed(teacher: TrialRecord) -> str:
    """Why a student cannot run: its teacher did not end well."""
    config = teacher.config
    why = teacher.error or teacher.status
    return f"its teacher {teacher.id} {config.method} {config.rung} failed: {why}"
