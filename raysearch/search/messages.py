"""One-line messages about trials."""

from __future__ import annotations

from raysearch.config.trial import TrialConfig
from raysearch.record import TrialRecord
from raysearch.search.leaderboard import best_score


def named(config: TrialConfig) -> str:
    """Return a readable name of a trial."""
    return f"{config.method_chain} {config.rung} {config.data.train} labels"


def ended(record: TrialRecord) -> str:
    """Return how a trial ended, as a sentence."""
    head = named(record.config)
    if record.status != "DONE":
        return f"{head}: {record.status} {record.error or ''}".rstrip()
    score = best_score(record)
    of = record.score if record.points else "selection"  # a stage has no points
    shown = "no validation score" if score is None else f"{of} {score:.4f}"
    flops = sum(c.flops for c in record.bill)
    seconds = sum(c.seconds for c in record.bill)
    return f"{head}: {shown}, {flops:.3g} FLOPs, {seconds:.1f} s"


def input_failed(config: TrialConfig, failed: TrialRecord) -> str:
    """Return why a trial cannot run: what makes one of its inputs did not end well."""
    role = next(role for role, c in config.upstream.items() if c.id == failed.id)
    why = failed.error or failed.status
    return f"its {role} {failed.id} {failed.config.method} {failed.config.rung} failed: {why}"
