"""Which cell is due next: label budgets, methods and models balanced, cheap before dear.

A cell is (method, model, label budget). The label budget of the next trial is always the one with
the fewest trials so far. The method with the fewest trials goes first, then the model, and of
equals the cheapest: so "A beats B" can be read at equal tuning, and no size is left untried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from raysearch.config.space import Proposal, SearchSpace

GIVE_UP = 2
"""A method and model that failed so often, and never came to an end, gets no more turns of its
own; the sampler may still try it."""


class BalancedSchedule:
    """Counts what has been proposed, and chooses which label budget and first cell are due."""

    def __init__(self, space: SearchSpace, price: Callable[[Proposal], float]) -> None:
        self._space = space
        self._price = price
        self._labels: Counter[int] = Counter()
        self._methods: Counter[str] = Counter()
        self._cells: Counter[tuple[str, str, int]] = Counter()
        self._left: dict[int, list[tuple[float, Proposal]]] = {}
        self._dry: set[tuple[str, int]] = set()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._done: set[tuple[str, str]] = set()

    def count(self, proposal: Proposal) -> None:
        """Count a proposal."""
        self._labels[proposal.labels] += 1
        self._methods[proposal.method] += 1
        self._cells[proposal.method, proposal.rung, proposal.labels] += 1

    def end(self, method: str, rung: str, *, done: bool) -> None:
        """Count how a trial of this method and model ended."""
        self._ended[method, rung] += 1
        if done:
            self._done.add((method, rung))

    def hopeless(self, method: str, rung: str) -> bool:
        """Return True if this pair has failed each time it was tried, twice or more."""
        pair = (method, rung)
        return self._ended[pair] >= GIVE_UP and pair not in self._done

    def run_dry(self, labels: int, method: str | None = None) -> None:
        """Mark a label budget (of this method) as exhausted: nothing new can be proposed there."""
        self._dry |= {(m, labels) for m in (self._space.methods if method is None else [method])}

    def due(self) -> int | None:
        """Return the label budget that is due: fewest trials first, then the smallest.

        None if all are exhausted.
        """
        open_ = [b for b in self._space.labels if self._open(b)]
        return min(open_, key=lambda b: (self._labels[b], b), default=None)

    def _open(self, labels: int) -> list[str]:
        return [m for m in self._space.methods if (m, labels) not in self._dry]

    def first(self, labels: int, method: str | None = None) -> Proposal | None:
        """Return the next cell (of this method) to try with first knobs.

        None when all are covered.
        """
        if labels not in self._left:
            self._left[labels] = [(self._price(p), p) for p in firsts(self._space, labels)]
        left = [
            (price, p)
            for price, p in self._left[labels]
            if not self._cells[p.method, p.rung, p.labels]
            and method in (None, p.method)
            and not self.hopeless(p.method, p.rung)
        ]
        if not left:
            return None
        chosen = min(left, key=lambda c: (self._methods[c[1].method], *self._rank(c[1]), c[0]))
        self._left[labels].remove(chosen)
        return chosen[1]

    def method(self, labels: int) -> str | None:
        """Return the method with the fewest trials, then the fewest at this label budget.

        A method whose models have all failed each time comes last. None if all are exhausted.
        """
        return min(
            self._open(labels),
            key=lambda m: (
                all(self.hopeless(m, rung) for rung in self._space.rungs[m]),
                self._methods[m],
                self.tries(m, labels),
            ),
            default=None,
        )

    def tries(self, method: str, labels: int) -> int:
        """Return the number of trials of this method at this label budget so far."""
        return sum(self._cells[method, r, labels] for r in self._space.rungs[method])

    def model(self, method: str, labels: int) -> str:
        """Return the model with the fewest trials of this method.

        Of equals the one with the fewest at this budget.
        """
        return min(
            self._space.rungs[method],
            key=lambda r: (self.hopeless(method, r), self._rank(Proposal(method, r, labels))),
        )

    def _rank(self, cell: Proposal) -> tuple[int, int]:
        """Return the trials of the cell's method and model: over all label budgets, and here."""
        pair = (cell.method, cell.rung)
        total = sum(n for (m, r, _), n in self._cells.items() if (m, r) == pair)
        return total, self._cells[cell.method, cell.rung, cell.labels]


def firsts(space: SearchSpace, labels: int) -> Iterable[Proposal]:
    """Yield every (method, model) of the space at this label budget, with first knobs."""
    for method, knobs in space.methods.items():
        for rung in space.rungs[method]:
            yield Proposal(method, rung, labels, dict(knobs.default_config))
