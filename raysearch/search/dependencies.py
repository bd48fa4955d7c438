"""The queue of trials that are ready or wait for their inputs, in order of arrival.

No worker slot is used while waiting: a parked trial takes only its place in this queue.
"""

from __future__ import annotations

from collections.abc import Iterable

from raysearch.search.suggestion import Suggestion


class DependencyQueue:
    """The trials between their suggestion and their start."""

    def __init__(self) -> None:
        self._parked: dict[str, tuple[Suggestion, set[str]]] = {}
        """By id: the suggestion and the teachers it still waits for."""

    def __len__(self) -> int:
        return len(self._parked)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._parked

    def add(self, suggestion: Suggestion, waits_for: Iterable[str]) -> None:
        """Park a trial until all these have ended well; it is ready at once if there are none."""
        self._parked[suggestion.config.id] = (suggestion, set(waits_for))

    def next(self) -> Suggestion | None:
        """Remove and return the trial parked longest that waits for no input; None if none."""
        for id_, (suggestion, waits_for) in self._parked.items():
            if not waits_for:
                del self._parked[id_]
                return suggestion
        return None

    def done(self, id_: str) -> None:
        """Note that a trial has ended well: its students have one input less to wait for."""
        for _, waits_for in self._parked.values():
            waits_for.discard(id_)

    def lost(self, id_: str) -> list[Suggestion]:
        """Remove and return all trials that wait for one that will never be done."""
        gone = {k: parked for k, (parked, waits) in self._parked.items() if id_ in waits}
        for key in gone:
            del self._parked[key]
        return list(gone.values())
