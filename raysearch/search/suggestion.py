"""What is offered to run, and the teachers that must have run before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raysearch.config.space import Proposal
from raysearch.config.trial import TrialConfig

ROLE = "teacher"
"""Name of the input that a proposal's teacher becomes."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One trial to run."""

    config: TrialConfig
    proposal: Proposal
    source: str
    """`first`, `sampler`, `queue`, `teacher` of a student that was proposed, or `chance` where the
    sampler had nothing new."""
    infeasible: str | None = None
    """Why the world cannot configure it; such an offer becomes a record at once."""


def lineage(config: TrialConfig) -> tuple[TrialConfig, ...]:
    """Everyone a trial has learned from, each once, teachers before their own students."""
    found: dict[str, TrialConfig] = {}
    for teacher in config.teachers:
        for c in (*lineage(teacher), teacher):
            found.setdefault(c.id, c)
    return tuple(found.values())


def unmet(
    config: TrialConfig, proposal: Proposal, known: Callable[[str], bool]
) -> list[tuple[TrialConfig, Proposal]]:
    """The teachers behind a trial that are not `known` by id, in the order they must run."""
    found: dict[str, tuple[TrialConfig, Proposal]] = {}
    for teacher in config.teachers:
        if known(teacher.id):
            continue
        given = proposal.teacher if config.inputs.get(ROLE) == teacher else None
        given = given or bare(teacher)
        for each in (*unmet(teacher, given, known), (teacher, given)):
            found.setdefault(each[0].id, each)
    return list(found.values())


def bare(config: TrialConfig) -> Proposal:
    """A proposal that a configuration could have come from: knobs at their default left out."""
    teacher = config.inputs.get(ROLE)
    taught = bare(teacher) if isinstance(teacher, TrialConfig) else None
    return Proposal(config.method, config.rung, config.data.train, dict(config.hyper), taught)
