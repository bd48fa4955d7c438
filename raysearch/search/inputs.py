"""Which trials make a first configuration's inputs: the best known, else a sensible new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from raysearch.config.space import NONE, Proposal, SearchSpace
from raysearch.config.trial import TrialConfig
from raysearch.record import TrialRecord
from raysearch.search import distributions
from raysearch.search.leaderboard import best_score


class InputChoice:
    """Keep the best trial of each method and label budget, and how often each one was an input.

    Of the candidates for a role, the one taken least often by that method at the label budget is
    next, of equals the usual one: counted apart for each method and role, so that no two methods
    are tied to one candidate each.
    """

    def __init__(self, space: SearchSpace, id_of: Callable[[Proposal], str]) -> None:
        self._space = space
        self._id_of = id_of
        self._taken: Counter[tuple[str, str, str, int]] = Counter()
        """By method, role, candidate and label budget."""
        self._best: dict[tuple[str, int], tuple[float, str, Proposal]] = {}
        """By method and label budget: selection score, id, proposal."""
        self._bad: set[str] = set()
        """Trials that did not end well: nothing can use them."""

    def count(self, proposal: Proposal) -> None:
        """Count a trial that has been proposed, with the inputs it takes."""
        of = self._space.methods.get(proposal.method) or self._space.upstream.get(proposal.method)
        for role in of.inputs if of is not None else ():
            given = proposal.inputs.get(role)
            name = NONE if given is None else given.method
            self._taken[proposal.method, role, name, proposal.labels] += 1

    def learn(self, record: TrialRecord, proposal: Proposal) -> None:
        """Note how a trial ended."""
        if record.status != "DONE":
            self._bad.add(record.id)
            return
        score = best_score(record)
        if score is None or not distributions.serves(self._space, proposal):
            return
        at = (proposal.method, proposal.labels)
        if at not in self._best or score > self._best[at][0]:
            self._best[at] = (score, record.id, proposal)

    def failed(self, config: TrialConfig) -> bool:
        """Return whether one of a configuration's inputs is known to have failed."""
        return any(given.id in self._bad for given in config.upstream.values())

    @property
    def best(self) -> set[str]:
        """Return the ids of the trials that the next proposals would take as inputs."""
        return {id_ for _, id_, _ in self._best.values()}

    def of(self, method: str, labels: int) -> dict[str, Proposal]:
        """Return the inputs of a trial of this method, by role; empty where it takes none."""
        return self._of((method,), labels)

    def _of(self, chain: tuple[str, ...], labels: int) -> dict[str, Proposal]:
        out = {}
        for role, names in distributions.candidates(self._space, chain).items():
            if (chosen := self._choose(chain, role, names, labels)) is not None:
                out[role] = chosen
        return out

    def _choose(
        self, chain: tuple[str, ...], role: str, names: tuple[str, ...], labels: int
    ) -> Proposal | None:
        usual: Proposal | None = None
        for name in sorted(names, key=lambda n: self._taken[chain[-1], role, n, labels]):
            if name == NONE:
                return None
            for made in self._ordered((*chain, name), labels):
                if self._id_of(made) not in self._bad:
                    return made
                usual = usual or made
        return usual  # all are known to fail: the trial will too, and its record names the reason

    def _ordered(self, chain: tuple[str, ...], labels: int) -> Iterator[Proposal]:
        """Yield proposals of one candidate: the best known, then first knobs, large to small."""
        name = chain[-1]
        known = self._best.get((name, labels))
        if known is not None and distributions.serves(self._space, known[2], chain[:-1]):
            yield known[2]
        first = self._space.upstream[name].default_config
        for rung in reversed(self._space.upstream_rungs[name]):
            yield Proposal(name, rung, labels, dict(first), self._of(chain, labels))
