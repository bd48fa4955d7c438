"""The cluster that jobs run on: its size, whether it answers, and a new head for a lost one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from raysearch.service.jobs import Jobs, Unreachable
from raysearch.service.queue import Room

ROOM_SECONDS = 5.0
"""How long the cluster's size is believed [s]."""


class JobCluster:
    """Where jobs run now.

    Args:
        jobs: the jobs of the cluster.
        owner_trials: trials at once of one owner; None: no limit of their own.
        revive: starts a new head where the old one is lost; None where there is nothing to do.
        monotonic: the clock [s].
    """

    def __init__(
        self,
        jobs: Jobs,
        owner_trials: int | None = None,
        revive: Callable[[], Jobs | None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.jobs, self._owner_trials = jobs, owner_trials
        self._revive, self._monotonic = revive, monotonic
        self._size: tuple[float, tuple[int, int]] | None = None
        self.trouble = ""
        """Why Ray does not answer; empty while it does."""

    def room(self) -> Room:
        """Return the cluster's size, at most five seconds old; Unreachable where it is unknown."""
        size, now = self._size, self._monotonic()
        if size is None or now - size[0] > ROOM_SECONDS:
            size = self._size = (now, self.jobs.room())
        return Room(*size[1], self._owner_trials)

    def known_room(self) -> Room | None:
        """Return the cluster's size as it was last seen; None before the first time."""
        return None if self._size is None else Room(*self._size[1], self._owner_trials)

    def size(self) -> tuple[int, int] | None:
        """Return (CPUs, GPUs) that the cluster can ever have; None while that is not known."""
        with suppress(Unreachable):
            self.room()
        return None if self._size is None else self._size[1]

    def forget_size(self) -> None:
        """Drop the cached size, so that the next use reads it anew."""
        self._size = None

    def answered(self) -> None:
        """Note that Ray answers."""
        self.trouble = ""

    def unreachable(self, error: Unreachable) -> None:
        """Note that Ray does not answer, and use a new head where one is started."""
        self.trouble = str(error)
        jobs = self._revive()
        if jobs is not None:
            self.jobs = jobs
            self.forget_size()
