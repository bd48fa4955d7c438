"""Proposals and configurations, one made from the other; records back to proposals."""

from __future__ import annotations

import math
from collections.abc import Mapping

from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.errors import Infeasible
from raysearch.record import TrialRecord
from raysearch.search.backend import Planner

RANDOM_TRIES = 200
"""How often chance may fail before a continuous space counts as exhausted."""


class ProposalReader:
    """What proposals of one study come to."""

    def __init__(self, study: Study, world: Planner) -> None:
        self._study, self._world, self._space = study, world, world.space

    def id_of(self, proposal: Proposal) -> str:
        """Return the id of a proposal's configuration."""
        return self.configured(proposal)[0].id

    def configured(self, proposal: Proposal) -> tuple[TrialConfig, str | None]:
        """Return the configuration, and the reason if there is none.

        Then the configuration is a stand-in without digests. If an input cannot be configured, the
        trial itself still can: it fails behind that input, like everything whose input fails.
        """
        try:
            return self._world.configure(proposal), None
        except Infeasible as e:
            reason: str | None = str(e)
        made = {role: self.configured(given) for role, given in proposal.inputs.items()}
        if any(broken for _, broken in made.values()):
            reason = None
        return TrialConfig(
            self._study.task,
            "",
            proposal.method,
            proposal.rung,
            DataBudget(proposal.labels),
            hyper=proposal.hyper,
            inputs={role: config for role, (config, _) in made.items()},
        ), reason

    def predicted_flops(self, proposal: Proposal) -> float:
        """Return the predicted training FLOPs of a proposal; infinite where it cannot run."""
        try:
            return float(self._world.predicted_cost(self._world.configure(proposal)).flops)
        except Infeasible:
            return math.inf

    def read_back(self, record: TrialRecord, past: Mapping[str, TrialRecord]) -> Proposal | None:
        """Rebuild a record's proposal without its line in suggestions.jsonl; None if impossible."""
        config = record.config
        space = self._space.methods.get(config.method) or self._space.upstream.get(config.method)
        if space is None:
            return None
        hyper = {k: record.hyper[k] for k in space.knobs if k in record.hyper}
        inputs = {}
        for role, given in config.upstream.items():
            # Knobs at their default are only in the input's own record.
            known = past.get(given.id)
            proposal = None if known is None else self.read_back(known, past)
            if proposal is None:
                return None
            inputs[role] = proposal
        return Proposal(config.method, config.rung, config.data.train, hyper, inputs)
