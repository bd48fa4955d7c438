"""Cache answers about studies until the records change.

While a study runs its records change every second. Then one request triggers a new reading, in
another process, and the others get the last answer until that is done: at most one reading at a
time for each question, and pauses between long ones, so that readers of a large study take no more
than a third of a core from its trials.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import time
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.errors import RaysearchError
from raysearch.run.folder import Mark
from raysearch.service import run_queries

PATIENCE_SECONDS = 0.1
"""How long a reader waits for fresher than what is at hand [s]; not at all where the last reading
took longer than that."""
STALE_SECONDS = 15.0
"""What is older than this is waited for in any case [s]."""
PAUSE = 2.0
"""Pause between two readings, as a multiple of what the last one took."""
SUMMARIES_AT_ONCE = 2
"""Summaries that are read or wait for it: one process reads for everybody."""
BROKEN_SECONDS = 20.0
"""A reading that ended its process counts as one of this length [s]."""
KEPT = 512
"""Answers that are kept at once."""


Key = tuple[str, str, str]
"""Name of the query, folder of the run, and options as sorted JSON."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """One answer."""

    body: bytes
    tag: str
    """Of the body: what a reader sends back to learn that nothing has changed."""
    mark: object
    """The records that it was read off."""
    begun: float
    """When that was, on the monotonic clock [s]."""
    seconds: float
    """How long it took, waiting and the process's own start aside."""


class QueryCache:
    """The answers of a service, and the process that reads them."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._kept: OrderedDict[Key, QueryResult] = OrderedDict()
        self._under_way: dict[Key, asyncio.Task[QueryResult]] = {}
        self._summaries: dict[Key, QueryResult] = {}

    async def get(
        self, what: str, run: Path, given: Mapping[str, Any] | None = None, *, exact: bool = False
    ) -> QueryResult:
        """Return the answer; it may be as old as the reading that is under way.

        With `exact` it is of the records as they are now.

        Raises:
            InputError: what the command line would say.
        """
        given = given or {}
        key = (what, str(run), json.dumps(given, sort_keys=True))
        if exact and (older := self._under_way.get(key)) is not None:
            await asyncio.wait({older})  # it may have begun before the records that this call needs
        kept, now = self._kept.get(key), _mark(what, run)
        if kept is not None and kept.mark == now:
            self._kept.move_to_end(key)
            return kept
        task = self._under_way.get(key)
        age = 0.0 if kept is None else time.monotonic() - kept.begun
        if kept is not None and not exact and task is None:
            if age < min(STALE_SECONDS, (1 + PAUSE) * kept.seconds):
                return kept
        if task is None:
            task = self._enter(key, self._read(key, now))
        if kept is None or exact or age > STALE_SECONDS + kept.seconds:
            return await asyncio.shield(task)
        if kept.seconds > PATIENCE_SECONDS:
            return kept
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        return task.result() if done else kept

    def listed(self, runs: Mapping[Path, Mark]) -> dict[Path, QueryResult]:
        """Return the last summaries of these runs at once; those that have changed are read soon.

        Args:
            runs: in the order in which they are to be read, with their marks.
        """
        keys = {("summary", str(run), "{}"): (run, now) for run, now in runs.items()}
        self._summaries = {k: v for k, v in self._summaries.items() if k in keys}
        for key, (_, now) in keys.items():
            kept = self._summaries.get(key)
            if sum(k[0] == key[0] for k in self._under_way) >= SUMMARIES_AT_ONCE:
                break
            if kept is not None:
                rests = time.monotonic() - kept.begun < (1 + PAUSE) * kept.seconds
                if kept.mark == now or rests:
                    continue
            if key not in self._under_way:
                self._enter(key, self._summary(key, now))
        return {run: self._summaries[k] for k, (run, _) in keys.items() if k in self._summaries}

    async def _summary(self, key: Key, now: Mark) -> QueryResult:
        """Read a summary, kept apart from answers; one that breaks down rests for long."""
        begun = time.monotonic()
        try:
            made = await self._read(key, now)
            self._kept.pop(key, None)
        except RaysearchError:  # the process that reads has ended: perhaps by this very run
            body = json.dumps({"says": run_queries.UNREADABLE}).encode()
            made = QueryResult(body, "", None, begun, BROKEN_SECONDS)
        self._summaries[key] = made
        return made

    def _enter(self, key: Key, work: Coroutine[Any, Any, QueryResult]) -> asyncio.Task[QueryResult]:
        task = asyncio.create_task(work)
        self._under_way[key] = task
        task.add_done_callback(lambda t: self._over(key, t))
        return task

    def _over(self, key: Key, task: asyncio.Task[QueryResult]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # retrieved, so that no warning is logged

    async def _read(self, key: Key, now: object) -> QueryResult:
        what, run, given = key
        loop, begun = asyncio.get_running_loop(), time.monotonic()
        try:
            body, seconds = await loop.run_in_executor(
                self._reader(), run_queries.timed, what, run, json.loads(given)
            )
        except BrokenProcessPool as e:
            self._pool = None
            raise RaysearchError("reading the records has ended early; ask again") from e
        made = QueryResult(body, hashlib.sha256(body).hexdigest()[:24], now, begun, seconds)
        self._kept[key] = made
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return made

    def _reader(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=run_queries.watch_parent,
                initargs=(os.getpid(),),
            )
        return self._pool

    def close(self) -> None:
        """End the reading process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _mark(what: str, run: Path) -> object:
    """Return the state of the files on which an answer depends."""
    return _changed(run.parent / "model") if what == "model" else run_queries.mark(run)


def _changed(folder: Path) -> object:
    try:
        stat = folder.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
