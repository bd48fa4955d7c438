"""What is offered to run, and the trials that must have run before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raysearch.config.space import Proposal
from raysearch.config.trial import TrialConfig

SOURCES = ("first", "sampler", "queue", "chance", "confirm")
"""Where a suggestion may come from, beside the roles of inputs."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One trial to run."""

    config: TrialConfig
    proposal: Proposal
    source: str
    """`first`, `sampler`, `queue`, `chance` where the sampler had nothing new, or, of what makes
    an input for a proposal, its role."""
    infeasible: str | None = None
    """Why the world cannot configure it; such a suggestion becomes a record at once."""

    @property
    def is_input(self) -> bool:
        """Return whether the trial is run to make an input of another."""
        return self.source not in SOURCES


def upstream_trials(config: TrialConfig) -> tuple[TrialConfig, ...]:
    """Return every trial behind a configuration, each once, inputs before what takes them."""
    trials: dict[str, TrialConfig] = {}
    for given in config.upstream.values():
        for c in (*upstream_trials(given), given):
            trials.setdefault(c.id, c)
    return tuple(trials.values())


def missing_upstream(
    config: TrialConfig, proposal: Proposal, known: Callable[[str], bool]
) -> list[tuple[str, TrialConfig, Proposal]]:
    """Return (role, configuration, proposal) of a trial's inputs that are not `known` by id.

    In the order in which they must run.
    """
    missing: dict[str, tuple[str, TrialConfig, Proposal]] = {}
    for role, given in config.upstream.items():
        if known(given.id):
            continue
        own = proposal.inputs.get(role) or proposal_from(given)
        for each in (*missing_upstream(given, own, known), (role, given, own)):
            missing.setdefault(each[1].id, each)
    return list(missing.values())


def proposal_from(config: TrialConfig) -> Proposal:
    """Return a proposal that a configuration could have come from: default knobs left out."""
    inputs = {role: proposal_from(given) for role, given in config.upstream.items()}
    return Proposal(config.method, config.rung, config.data.train, dict(config.hyper), inputs)
