"""Who teaches a student with first knobs: the best trial that is known, else a sensible new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from raysearch.config.space import Proposal, SearchSpace
from raysearch.config.trial import TrialConfig
from raysearch.record import TrialRecord
from raysearch.search import distributions
from raysearch.search.leaderboard import best_score


class Teachers:
    """Knows the best trial of each teacher method and label budget, and who has how many students.

    Of a method's teacher methods the one with the fewest students of that method at the label
    budget is next, of equals the usual one: counted apart for each student method, so that no two
    of them are tied to one teacher each.
    """

    def __init__(self, space: SearchSpace, id_of: Callable[[Proposal], str]) -> None:
        self._space = space
        self._id_of = id_of
        self._students: Counter[tuple[str, str, int]] = Counter()
        self._best: dict[tuple[str, int], tuple[float, str, Proposal]] = {}
        """By teacher method and label budget: validation score, id, proposal."""
        self._bad: set[str] = set()
        """Trials that did not end well: nobody can learn from them."""

    def count(self, proposal: Proposal) -> None:
        """Note that a trial has been proposed: a student, where it has a teacher."""
        if proposal.teacher is not None:
            self._students[proposal.method, proposal.teacher.method, proposal.labels] += 1

    def learn(self, record: TrialRecord, proposal: Proposal) -> None:
        """Note how a trial ended."""
        if record.status != "DONE":
            self._bad.add(record.id)
            return
        score = best_score(record)
        if score is None or not distributions.teaches(self._space, proposal):
            return
        at = (proposal.method, proposal.labels)
        if at not in self._best or score > self._best[at][0]:
            self._best[at] = (score, record.id, proposal)

    def failed(self, student: TrialConfig) -> bool:
        """Whether a student's teacher is known to have failed."""
        return any(teacher.id in self._bad for teacher in student.teachers)

    @property
    def best(self) -> set[str]:
        """Ids of the trials that the next students would learn from."""
        return {id_ for _, id_, _ in self._best.values()}

    def of(self, method: str, labels: int) -> Proposal | None:
        """The teacher of a student of this method; None where it needs none."""
        return self._of((method,), labels)

    def _of(self, chain: tuple[str, ...], labels: int) -> Proposal | None:
        names = distributions.teacher_methods(self._space, chain)
        ranked = sorted(names, key=lambda name: self._students[chain[-1], name, labels])
        usual: Proposal | None = None
        for name in ranked:
            for teacher in self._line((*chain, name), labels):
                if self._id_of(teacher) not in self._bad:
                    return teacher
                usual = usual or teacher
        return usual  # all are known to fail: so will the student, and it is said why

    def _line(self, chain: tuple[str, ...], labels: int) -> Iterator[Proposal]:
        """Teachers of one method, the preferred one first: the best known, then large to small."""
        name = chain[-1]
        known = self._best.get((name, labels))
        if known is not None and distributions.teaches(self._space, known[2], chain[:-1]):
            yield known[2]
        first = self._space.teachers[name].first
        for rung in reversed(self._space.teacher_rungs[name]):
            yield Proposal(name, rung, labels, dict(first), self._of(chain, labels))
