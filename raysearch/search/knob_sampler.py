"""New knobs for a trial: the sampler first, plain chance where it has nothing new."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from raysearch.config.space import Proposal, SearchSpace
from raysearch.config.study import Study
from raysearch.config.trial import Scalar
from raysearch.search import distributions
from raysearch.search.proposals import RANDOM_TRIES
from raysearch.search.sampling import OptunaSampler
from raysearch.search.suggestion import Suggestion

SAMPLED_TRIES = 4
"""How often the sampler may propose what is known before plain chance takes over."""


class KnobSampler:
    """Draw proposals of a space until one is new."""

    def __init__(self, study: Study, space: SearchSpace) -> None:
        self._study, self._space = study, space
        self._all: dict[tuple[int, str | None], Iterator[Proposal]] = {}
        self.begin(past=0)

    def begin(self, past: int) -> None:
        """Start afresh after so many trials: a resumed study must not draw the same numbers."""
        seeds = np.random.SeedSequence([self._study.seed, past]).generate_state(2)
        self._rng = np.random.default_rng(int(seeds[0]))
        self.optuna = OptunaSampler(self._study, self._space, int(seeds[1]))

    def draw(
        self,
        labels: int,
        fixed: Mapping[str, Scalar],
        inputs: Mapping[str, Proposal],
        check: Callable[[Proposal, str], Suggestion | None],
    ) -> Suggestion | None:
        """Return a suggestion that the sampler draws with some parameters fixed.

        Falls back to random draws when the sampler proposes only known trials. None when those are
        exhausted too. `check` returns the suggestion of a proposal that is new.
        """
        method = str(fixed["method"]) if "method" in fixed else None
        chosen = distributions.input_params(str(method), inputs)
        for _ in range(SAMPLED_TRIES):
            proposal, trial = self.optuna.ask({"labels": labels, **fixed, **chosen})
            if suggestion := check(proposal, "sampler"):
                self.optuna.take(suggestion.config.id, trial)
                return suggestion
            self.optuna.forget(trial)
        for proposal in self.chances(labels, method, inputs):
            if suggestion := check(proposal, "chance"):
                return suggestion
        return None

    def chances(
        self, labels: int, method: str | None, inputs: Mapping[str, Proposal]
    ) -> Iterator[Proposal]:
        """Yield random draws; then, where the space can be listed, everything in it."""
        space = self._space if method is None else distributions.only(self._space, method)
        for fixed in (inputs, {}) if inputs else ({},):
            for _ in range(RANDOM_TRIES):
                drawn = distributions.sample(self._rng, space, labels)
                yield replace(drawn, inputs=fixed) if fixed else drawn
        yield from self._all.setdefault(
            (labels, method), distributions.all_proposals(space, labels)
        )
