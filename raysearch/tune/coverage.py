"""Which cell is due next: label budgets exactly balanced, first trials cheap and spread.

A cell is (method, model, label budget). The label budget of the next trial is always the one with
the fewest trials so far; among the first trials the method with the fewest trials goes first, then
the model, and of equals the cheapest.
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

    def first(self, labels: int) -> Proposal | None:
        """The next cell to try with its method's first knob set; None when all are covered."""
        if labels not in self._left:
            self._left[labels] = [(self._price(p), p) for p in firsts(self._space, labels)]
        left = [
            (price, p)
            for price, p in self._left[labels]
            if not self._cells[p.method, p.rung, p.labels]
        ]
        if not left:
            return None
        pairs: Counter[tuple[str, str]] = Counter()
        for (method, rung, _), n in self._cells.items():
            pairs[method, rung] += n
        chosen = min(
            left,
            key=lambda c: (self._methods[c[1].method], pairs[c[1].method, c[1].rung], c[0]),
        )
        self._left[labels] = [c for c in left if c is not chosen]
        return chosen[1]


def firsts(space: SearchSpace, labels: int) -> Iterable[Proposal]:
    """Every (method, model) of the space at this label budget, with the method's first knobs."""
    for method, knobs in space.methods.items():
        for rung in space.rungs[method]:
            yield Proposal(method, rung, labels, dict(knobs.first))
