"""Start the studies that are next in the queue."""

from __future__ import annotations

import traceback
from collections.abc import Set as AbstractSet
from contextlib import suppress

from raysearch.cluster.quota import environment
from raysearch.errors import RaysearchError, RecordError
from raysearch.run.study_file import read_study_manifest
from raysearch.service import queue
from raysearch.service.commands import STORAGE, program, shell
from raysearch.service.job_cluster import JobCluster
from raysearch.service.job_monitor import records_size
from raysearch.service.jobs import Unreachable
from raysearch.service.settings import Settings
from raysearch.service.study_repository import StudyRepository
from raysearch.service.study_state import ACTIVE, Spec, State, Verb


class StudyLauncher:
    """Starts studies in their order, each with its part of the cluster."""

    def __init__(self, settings: Settings, studies: StudyRepository, cluster: JobCluster) -> None:
        self._settings, self._studies, self._cluster = settings, studies, cluster
        self._turns: dict[str, float] | None = None
        self._reported: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        """Why each study waits, as of the last `start_all`."""

    def start_all(self) -> bool:
        """Start every study that is next; return whether any study waits.

        Raises:
            Unreachable: Ray does not answer.
        """
        waiting, running = self._sides()
        if not waiting:
            self.reasons = {}
            return False
        room = self._cluster.room()
        broken: set[str] = set()
        while (start := queue.following(waiting, running, room, self._last_turns())) is not None:
            try:
                self._start(start)
            except Unreachable:
                raise
            except Exception as e:  # its folder is broken: the others go on
                self._fail(start.id, e)
                broken.add(start.id)
            waiting, running = self._sides(broken)
        self.reasons = queue.reasons(waiting, running, room, self._last_turns())
        return True

    def submit(self, id_: str, state: State) -> None:
        """Submit the job of a study that starts; Unreachable where Ray does not answer."""
        folder = self._studies.folder(id_)
        spec = self._studies.spec(id_)
        words = program(spec, state, folder, self._settings)
        part = environment(state.concurrency, spec.gpus)
        # Override any storage URI inherited from Ray's environment.
        stored = {STORAGE: self._settings.storage or ""}
        command = shell(words, folder, state.job)
        given = {**self._settings.environment, **stored, **part}
        self._cluster.jobs.submit(state.job, command, given)
        with suppress(RecordError):  # the next look finds the job
            self._studies.transition(id_, "running", expected=["starting"])

    def report(self, id_: str, error: Exception) -> None:
        """Print the traceback of a study's broken folder to the log, once."""
        if self._reported.get(id_) != str(error):
            self._reported[id_] = str(error)
            traceback.print_exception(error)

    def _start(self, start: queue.Start) -> None:
        spec, state = self._studies.spec(start.id), self._studies.state(start.id)
        attempt = state.attempt + 1
        job = start.id if attempt == 1 else f"{start.id}-{attempt}"
        # Written before the job is submitted: after a crash the same job is submitted, once.
        moved = self._studies.transition(
            start.id,
            "starting",
            expected=["queued"],
            job=job,
            concurrency=start.trials,
            attempt=attempt,
            recorded=records_size(self._studies.run(start.id)),
        )
        if moved is not None:
            self._last_turns()[spec.owner] = moved.time
            self.submit(start.id, moved)

    def _sides(
        self, without: AbstractSet[str] = frozenset()
    ) -> tuple[list[queue.Waiting], list[queue.Running]]:
        waiting, running = [], []
        for spec, state in self._studies.all():
            if state.state == "queued":
                try:
                    least, most = self._wants(spec, state.verb)
                except Exception as e:  # its run cannot be read
                    self._fail(spec.id, e)
                    continue
                if spec.id not in without:
                    waiting.append(
                        queue.Waiting(spec.id, spec.owner, state.time, most, least, spec.gpus)
                    )
            elif state.state in ACTIVE:
                running.append(queue.Running(spec.id, spec.owner, state.concurrency, spec.gpus))
        return waiting, running

    def _fail(self, id_: str, error: Exception) -> None:
        """Write that a study cannot be started, and why."""
        why = self._settings.paths.scrubbed(" ".join(str(error).split()))[:1000]
        try:
            self._studies.transition(id_, "failed", expected=["queued", "starting"], why=why)
        except RaysearchError as e:  # not even that can be written, or it is gone
            self.report(id_, e)

    def _wants(self, spec: Spec, verb: Verb) -> tuple[int, int | None]:
        """Return trials at once: (at least, at most). Draws keep to the run's own number."""
        if verb == "frontier":
            if not spec.gpus:
                return 1, spec.concurrency
            fit = int(spec.gpus / (spec.gpus_per_trial or 1.0) + 1e-9)
            return 1, min(spec.concurrency or fit, fit)
        if verb == "export":
            return 1, 1
        count = read_study_manifest(self._studies.run(spec.id)).study.concurrency or 1
        room = self._cluster.known_room()
        if room is not None:  # the cluster may have shrunk since
            count = min(count, room.cpus, room.owner_trials or count)
        return max(1, count), max(1, count)

    def _last_turns(self) -> dict[str, float]:
        """Return when each owner's last study started.

        Deleting a study does not change it.
        """
        if self._turns is None:
            self._turns = self._studies.last_starts()
        return self._turns
