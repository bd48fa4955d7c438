"""Trials that wait for a slot: each until all its teachers are done, then in the order they came.

Nobody waits inside a slot: a parked trial holds nothing but its place here.
"""

from __future__ import annotations

from collections.abc import Iterable

from raysearch.search.suggestion import Offer


class Parking:
    """The trials between their suggestion and their start."""

    def __init__(self) -> None:
        self._parked: dict[str, tuple[Offer, set[str]]] = {}
        """By id: the offer and the teachers it still waits for."""

    def __len__(self) -> int:
        return len(self._parked)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._parked

    def add(self, offer: Offer, waits_for: Iterable[str]) -> None:
        """Park a trial until all these have ended well; at once ready where it is nobody."""
        self._parked[offer.config.id] = (offer, set(waits_for))

    def next(self) -> Offer | None:
        """Take out the trial that has been parked longest of those that wait for nobody."""
        for id_, (offer, waits_for) in self._parked.items():
            if not waits_for:
                del self._parked[id_]
                return offer
        return None

    def done(self, id_: str) -> None:
        """Note that a trial has ended well: its students wait for one less."""
        for _, waits_for in self._parked.values():
            waits_for.discard(id_)

    def lost(self, id_: str) -> list[Offer]:
        """Take out everyone who waits for a trial that will never be done."""
        gone = {k: offer for k, (offer, waits_for) in self._parked.items() if id_ in waits_for}
        for key in gone:
            del self._parked[key]
        return list(gone.values())
