"""Which cell is due next: label budgets, methods and models balanced, cheap before dear.

A cell is (method, model, label budget). The label budget of the next trial is always the one with
the fewest trials so far. The method with the fewest trials goes first, then the model, and of
equals the cheapest: so "A beats B" can be read at equal tuning, and no size is left untried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from raysearch.plan.space import Proposal, SearchSpace


class Coverage:
    """Counts what has been proposed, and says which label budget and first cell are due."""

    def __init__(self, space: SearchSpace, price: Callable[[Proposal], float]) -> None:
        self._space = space
        self._price = price
        self._labels: Counter[int] = Counter()
        self._methods: Counter[str] = Counter()
        self._cells: Counter[tuple[str, str, int]] = Counter()
        self._left: dict[int, list[tuple[float, Proposal]]] = {}
        self._dry: set[int] = set()

    def count(self, proposal: Proposal) -> None:
        """Note that this proposal has been made."""
        self._labels[proposal.labels] += 1
        self._methods[proposal.method] += 1
        self._cells[proposal.method, proposal.rung, proposal.labels] += 1

    def run_dry(self, labels: int) -> None:
        """Note that nothing new can be proposed at this label budget."""
        self._dry.add(labels)

    def due(self) -> int | None:
        """The label budget that is due: fewest trials first, then the smallest; None if all dry."""
        open_ = [b for b in self._space.labels if b not in self._dry]
        return min(open_, key=lambda b: (self._labels[b], b), default=None)

    def first(self, labels: int, method: str | None = None) -> Proposal | None:
        """The next cell (of this method) to try with first knobs; None when all are covered."""
        if labels not in self._left:
            self._left[labels] = [(self._price(p), p) for p in firsts(self._space, labels)]
        left = [
            (price, p)
            for price, p in self._left[labels]
            if not self._cells[p.method, p.rung, p.labels] and method in (None, p.method)
        ]
        if not left:
            return None
        chosen = min(left, key=lambda c: (self._methods[c[1].method], *self._rank(c[1]), c[0]))
        self._left[labels].remove(chosen)
        return chosen[1]

    def method(self, labels: int) -> str:
        """The method with the fewest trials, then the fewest at this label budget."""
        return min(self._space.methods, key=lambda m: (self._methods[m], self.tries(m, labels)))

    def tries(self, method: str, labels: int) -> int:
        """Trials of this method at this label budget so far."""
        return sum(self._cells[method, r, labels] for r in self._space.rungs[method])

    def model(self, method: str, labels: int) -> str:
        """The model with the fewest trials of this method, then the fewest at this budget."""
        rungs = self._space.rungs[method]
        return min(rungs, key=lambda rung: self._rank(Proposal(method, rung, labels)))

    def _rank(self, cell: Proposal) -> tuple[int, int]:
        """Trials of the cell's method and model: at all label budgets, and at this one."""
        pair = (cell.method, cell.rung)
        total = sum(n for (m, r, _), n in self._cells.items() if (m, r) == pair)
        return total, self._cells[cell.method, cell.rung, cell.labels]


def firsts(space: SearchSpace, labels: int) -> Iterable[Proposal]:
    """Every (method, model) of the space at this label budget, with the method's first knobs."""
    for method, knobs in space.methods.items():
        for rung in space.rungs[method]:
            yield Proposal(method, rung, labels, dict(knobs.first))
