"""Keeps studies going: starts whose turn it is, sees how jobs end, takes lost ones up again.

The files are the truth and Ray is asked: whatever ends (this service, the dashboard, the head),
the next `tick` finds out where each study stands and goes on from there.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from raysearch.cluster.quota import environment
from raysearch.errors import InputError, RaysearchError, RecordError
from raysearch.run.folder import Folder
from raysearch.run.folder import running as driven
from raysearch.run.study_file import read_asrun
from raysearch.service import queue
from raysearch.service.book import ACTIVE, ENDED, Book, Kind, Spec, State, Verb, run_in
from raysearch.service.commands import MODEL, STORAGE, exit_code, last_error, program, shell
from raysearch.service.datasets import Datasets
from raysearch.service.jobs import Jobs, Unreachable
from raysearch.service.settings import Settings

LOST = 3
"""So many jobs that vanish in a row, and a study counts as failed."""
LONG_SECONDS = 600.0
"""A job that ran longer than this, and recorded something, starts the count anew [s]."""
STOP_SECONDS = 30.0
"""A job that has not ended so long after it was asked to is asked again [s]."""
ROOM_SECONDS = 5.0
"""How long the cluster's size is believed [s]."""
SIGNALLED = frozenset({130, 137, 143})
"""Exit codes of a program that somebody ended from outside."""


class Busy(InputError):
    """A study is in a state that does not allow this now."""


class Keeper:
    """One for a root folder; `tick` is called from one thread alone."""

    def __init__(
        self,
        settings: Settings,
        book: Book,
        datasets: Datasets,
        jobs: Jobs,
        revive: Callable[[], Jobs | None] = lambda: None,
    ) -> None:
        self._settings, self._book, self._datasets, self._jobs = settings, book, datasets, jobs
        self._revive = revive
        self._lock = threading.RLock()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._room: tuple[float, tuple[int, int]] | None = None
        self._asked: dict[str, float] = {}
        self._turns: dict[str, float] | None = None
        self._why: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self.trouble = ""
        """Why Ray cannot be asked; empty while it answers."""

    def work(self) -> None:
        """Tick until closed: each second while a study is active, else every five or when woken."""
        while not self._closing.is_set():
            try:
                busy = self.tick()
            except Exception:  # a study's broken folder must not end the others
                traceback.print_exc()
                busy = True
            self._wake.wait(1.0 if busy else 5.0)
            self._wake.clear()

    def close(self) -> None:
        """Let `work` return; no study is touched."""
        self._closing.set()
        self._wake.set()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def stop(self, id: str) -> State:
        """Stop a study; one that waits at once, one at work by its driver's own clean end."""
        with self._lock:
            state = self._book.state(id)
            if state.state in ENDED:
                raise Busy(f"study '{id}' is {state.state}, there is nothing to stop")
            if state.state == "queued":
                state = self._book.move(id, "stopped")
            elif state.state != "stopping":
                state = self._book.move(id, "stopping")
        self.wake()
        return state

    def again(self, id: str, verb: Verb, words: Sequence[str] = ()) -> State:
        """Queue a study that has ended for another verb: `frontier` goes on with its search."""
        with self._lock:
            state = self._book.state(id)
            if state.state not in ENDED:
                raise Busy(f"study '{id}' is {state.state}; stop it or wait for its end first")
            if verb != "frontier" and not (self._book.run(id) / "records.jsonl").exists():
                raise Busy(f"study '{id}' has no records to {verb}")
            state = self._book.move(id, "queued", verb=verb, words=list(words), lost=0)
        self.wake()
        return state

    def delete(self, id: str) -> None:
        """Remove a study that has ended or waits."""
        with self._lock:
            state = self._book.state(id)
            if state.state in ACTIVE or driven(Folder(self._book.run(id))):
                raise Busy(f"study '{id}' is {state.state}; stop it first")
            self._book.delete(id)

    def waits(self, id: str) -> str:
        """Why a study waits, as of the last tick; empty when it does not."""
        state = self._book.state(id)
        if state.state != "queued":
            return ""
        if self.trouble or self._room is None:
            return f"queued: {self.trouble or 'Ray has not answered yet'}"
        return self._why.get(id, "queued: just now")

    def tick(self) -> bool:
        """Look once at every study; whether one is active or waits."""
        active = False
        try:
            for spec, state in self._book.all():
                if state.state in ACTIVE:
                    active = True
                    try:
                        self._look(spec.id, state)
                    except Unreachable:
                        raise
                    except Exception as e:  # its folder is broken: the others go on
                        self._tell(spec.id, e)
            active = self._start_all() or active
            self.trouble = ""
        except Unreachable as e:
            self.trouble = str(e)
            jobs = self._revive()
            if jobs is not None:
                self._jobs, self._room = jobs, None
            active = True
        self._expire()
        return active

    def _look(self, id_: str, state: State) -> None:
        """Compare what the files say with what Ray says, and write down what follows."""
        folder = self._book.folder(id_)
        code = exit_code(folder, state.job)
        if code is not None:
            return self._ended(id_, state, code, folder)
        seen = self._jobs.look(state.job)
        if seen is None and state.state == "starting":
            return self._submit(id_, state)
        if seen is None or seen.status in ("FAILED", "SUCCEEDED", "STOPPED"):
            if driven(Folder(run_in(folder))):
                return None  # its driver still ends; two of them never share a folder
            code = exit_code(folder, state.job)  # written since
            if code is not None:
                return self._ended(id_, state, code, folder)
            return self._vanished(id_, state)
        if state.state == "starting":
            self._move(id_, "starting", "running")
        elif (
            state.state == "stopping" and time.time() - self._asked.get(state.job, 0) > STOP_SECONDS
        ):
            self._asked[state.job] = time.time()
            self._jobs.stop(state.job)
        return None

    def _ended(self, id_: str, state: State, code: int, folder: Path) -> None:
        if state.state == "stopping" and code:
            self._move(id_, state.state, "stopped")
        elif code == 0:
            self._move(id_, state.state, "done", lost=0)
        elif code in SIGNALLED:
            self._vanished(id_, state)
        else:
            why = self._settings.home.scrubbed(last_error(folder))
            self._move(id_, state.state, "failed", why=why)

    def _vanished(self, id_: str, state: State) -> None:
        """A job ended that nobody has ended: its head went down, or somebody killed it."""
        if state.state == "stopping":
            self._move(id_, state.state, "stopped")
            return
        far = time.time() - state.time > LONG_SECONDS and self._recorded(id_) > state.recorded
        lost = 1 if far else state.lost + 1
        if lost >= LOST:
            why = f"its job vanished {lost} times in a row"
            self._move(id_, state.state, "failed", lost=lost, why=why)
            return
        why = "its job vanished with its head; it goes on from its records"
        self._move(id_, state.state, "queued", lost=lost, why=why)

    def _recorded(self, id_: str) -> int:
        """How long its records are [bytes]."""
        try:
            return (self._book.run(id_) / "records.jsonl").stat().st_size
        except OSError:
            return 0

    def _start_all(self) -> bool:
        waiting, running = self._sides()
        if not waiting:
            self._why = {}
            return False
        found = self._cluster()
        broken: set[str] = set()
        while (start := queue.following(waiting, running, found, self._last_turns())) is not None:
            try:
                self._start(start)
            except Unreachable:
                raise
            except Exception as e:  # its folder is broken: the others' turns do not wait for it
                self._fails(start.id, e)
                broken.add(start.id)
            waiting, running = self._sides()
            waiting = [w for w in waiting if w.id not in broken]
        self._why = queue.reasons(waiting, running, found, self._last_turns())
        return True

    def _start(self, start: queue.Start) -> None:
        spec, state = self._book.spec(start.id), self._book.state(start.id)
        attempt = state.attempt + 1
        job = start.id if attempt == 1 else f"{start.id}-{attempt}"
        given = {"job": job, "concurrency": start.trials, "attempt": attempt}
        given["recorded"] = self._recorded(start.id)
        # Written before Ray hears of it: after a crash the same job is submitted, once.
        moved = self._move(start.id, "queued", "starting", **given)
        if moved is not None:
            self._last_turns()[spec.owner] = moved.time
            self._submit(start.id, moved)

    def _submit(self, id_: str, state: State) -> None:
        folder = self._book.folder(id_)
        spec = self._book.spec(id_)
        words = program(spec, state, folder, self._settings)
        part = environment(state.concurrency, spec.gpus)
        # Whatever Ray's own environment says: the operator's word alone.
        stored = {STORAGE: self._settings.storage or ""}
        command = shell(words, folder, state.job)
        self._jobs.submit(state.job, command, {**self._settings.environment, **stored, **part})
        with suppress(RecordError):  # the next look says it: the job is there
            self._move(id_, "starting", "running")

    def _move(self, id_: str, before: Kind, after: Kind, **change: object) -> State | None:
        """Append the next state, unless somebody has stopped the study in between."""
        with self._lock:
            if self._book.state(id_).state != before:
                return None
            return self._book.move(id_, after, **change)

    def _sides(self) -> tuple[list[queue.Waiting], list[queue.Running]]:
        waiting, running = [], []
        for spec, state in self._book.all():
            if state.state == "queued":
                try:
                    least, most = self._wants(spec, state.verb)
                except Exception as e:  # its run cannot be read
                    self._fails(spec.id, e)
                    continue
                waiting.append(
                    queue.Waiting(spec.id, spec.owner, state.time, most, least, spec.gpus)
                )
            elif state.state in ACTIVE:
                running.append(queue.Running(spec.id, spec.owner, state.concurrency, spec.gpus))
        return waiting, running

    def _fails(self, id_: str, error: Exception) -> None:
        """A study cannot be started, and says so."""
        why = self._settings.home.scrubbed(" ".join(str(error).split()))[:1000]
        try:
            for before in ("queued", "starting"):
                self._move(id_, before, "failed", why=why)
        except RaysearchError as e:  # not even that can be written, or it is gone
            self._tell(id_, e)

    def _tell(self, id_: str, error: Exception) -> None:
        """The log hears of a broken folder, once."""
        if self._told.get(id_) != str(error):
            self._told[id_] = str(error)
            traceback.print_exception(error)

    def _wants(self, spec: Spec, verb: Verb) -> tuple[int, int | None]:
        """Trials at once: (at least, at most). Draws keep to the number that the run began with."""
        if verb == "frontier":
            if not spec.gpus:
                return 1, spec.concurrency
            many = int(spec.gpus / (spec.gpus_per_trial or 1.0) + 1e-9)
            return 1, min(spec.concurrency or many, many)
        if verb == "export":
            return 1, 1
        many = read_asrun(self._book.run(spec.id)).study.concurrency or 1
        room = self._known_room()
        if room is not None:  # the cluster may have shrunk since
            many = min(many, room.cpus, room.owner_trials or many)
        return max(1, many), max(1, many)

    def _cluster(self) -> queue.Room:
        held = self._room
        if held is None or time.monotonic() - held[0] > ROOM_SECONDS:
            held = self._room = (time.monotonic(), self._jobs.room())
        return queue.Room(*held[1], self._settings.owner_trials)

    def room(self) -> tuple[int, int] | None:
        """(CPUs, GPUs) that the cluster can ever have; None while that is not known."""
        with suppress(Unreachable):
            self._cluster()
        held = self._room
        return None if held is None else held[1]

    def _known_room(self) -> queue.Room | None:
        if self._room is None:
            return None
        return queue.Room(*self._room[1], self._settings.owner_trials)

    def _last_turns(self) -> dict[str, float]:
        if self._turns is None:
            self._turns = {}
            for spec, _ in self._book.all():
                try:
                    states = self._book.states(spec.id)
                except (RaysearchError, OSError):
                    continue  # just deleted
                starts = [s.time for s in states if s.state == "starting"]
                self._turns[spec.owner] = max([self._turns.get(spec.owner, 0.0), *starts])
        return self._turns

    def _expire(self) -> None:
        """Remove data sets whose time has come, but for those that a study still reads."""
        if not self._datasets.expired():
            return
        with self._datasets.lock:
            used = self.reads()
            for dataset in self._datasets.expired():
                if (dataset.owner, dataset.id) not in used:
                    self._datasets.delete(dataset)

    def reads(self) -> set[tuple[str, str]]:
        """(owner, id) of the data sets of studies that run or wait."""
        return {
            (spec.owner, dataset)
            for spec, state in self._book.all()
            if state.state not in ENDED
            for dataset in spec.datasets
        }


def exported(folder: Path) -> Path | None:
    """A study's exported model; None where there is none."""
    found = folder / MODEL
    return found if found.is_dir() else None
