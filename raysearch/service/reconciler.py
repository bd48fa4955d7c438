"""Keep studies going: start the next ones, see how jobs end, take lost ones up again.

The database is the truth and Ray is compared with it: whatever ends (this service, the dashboard,
the head), the next `reconcile` finds out each study's state and continues from there.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from raysearch.run.folder import RunFolder
from raysearch.run.folder import running as driven
from raysearch.service.commands import MODEL
from raysearch.service.datasets import Datasets
from raysearch.service.errors import Conflict
from raysearch.service.job_cluster import JobCluster
from raysearch.service.job_monitor import JobMonitor
from raysearch.service.jobs import Unreachable
from raysearch.service.launcher import StudyLauncher
from raysearch.service.settings import Settings
from raysearch.service.study_repository import StudyRepository
from raysearch.service.study_state import ACTIVE, ENDED, Kind, State, Verb

BUSY_PAUSE, IDLE_PAUSE = 1.0, 5.0
"""Between two reconciliations while a study is active, and while none is [s]."""


class StudyReconciler:
    """One for a root folder; `reconcile` is called from one thread alone."""

    def __init__(
        self,
        settings: Settings,
        studies: StudyRepository,
        datasets: Datasets,
        cluster: JobCluster,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._studies, self._datasets, self._cluster = studies, datasets, cluster
        self._launcher = StudyLauncher(settings, studies, cluster)
        self._monitor = JobMonitor(settings, studies, cluster, self._launcher.submit, now)
        self._wake, self._closing = threading.Event(), threading.Event()

    def work(self) -> None:
        """Reconcile until closed, each second while a study is active, else every five."""
        while not self._closing.is_set():
            try:
                busy = self.reconcile()
            except Exception:  # a study's broken folder must not end the others
                traceback.print_exc()
                busy = True
            self._wake.wait(BUSY_PAUSE if busy else IDLE_PAUSE)
            self._wake.clear()

    def close(self) -> None:
        """Let `work` return; no study is touched."""
        self._closing.set()
        self._wake.set()

    def wake(self) -> None:
        """Have the next reconciliation begin at once."""
        self._wake.set()

    def stop(self, id: str) -> State:
        """Stop a study; one that waits at once, one at work by its driver's own clean end."""
        with self._studies.atomically():
            state = self._studies.state(id)
            if state.state in ENDED:
                raise Conflict(f"study '{id}' is {state.state}, there is nothing to stop")
            after: Kind = "stopped" if state.state == "queued" else "stopping"
            if state.state != after:
                state = self._studies.transition(id, after) or state
        self.wake()
        return state

    def requeue(self, id: str, verb: Verb, words: Sequence[str] = ()) -> State:
        """Queue a study that has ended for another verb: `frontier` goes on with its search."""
        with self._studies.atomically():
            state = self._studies.state(id)
            if state.state not in ENDED:
                raise Conflict(f"study '{id}' is {state.state}; stop it or wait for its end first")
            if verb != "frontier" and not RunFolder(self._studies.run(id)).records.exists():
                raise Conflict(f"study '{id}' has no records to {verb}")
            queued = self._studies.transition(id, "queued", verb=verb, words=list(words), lost=0)
            state = queued or state
        self.wake()
        return state

    def delete(self, id: str) -> None:
        """Remove a study that has ended or waits."""

        def admit(state: State) -> None:
            if state.state in ACTIVE or driven(RunFolder(self._studies.run(id))):
                raise Conflict(f"study '{id}' is {state.state}; stop it first")

        self._studies.delete(id, admit)

    def waits(self, id: str) -> str:
        """Return why a study waits, as of the last reconciliation; empty when it does not."""
        if self._studies.state(id).state != "queued":
            return ""
        if self._cluster.trouble or self._cluster.known_room() is None:
            return f"queued: {self._cluster.trouble or 'Ray has not answered yet'}"
        return self._launcher.reasons.get(id, "queued: just now")

    def reconcile(self) -> bool:
        """Look once at every study; return whether one is active or waits."""
        active = False
        try:
            for spec, state in self._studies.all():
                if state.state in ACTIVE:
                    active = True
                    try:
                        self._monitor.look(spec.id, state)
                    except Unreachable:
                        raise
                    except Exception as e:  # its folder is broken: the others go on
                        self._launcher.report(spec.id, e)
            active = self._launcher.start_all() or active
            self._cluster.answered()
        except Unreachable as e:
            self._cluster.unreachable(e)
            active = True
        self._expire()
        return active

    def _expire(self) -> None:
        """Remove data sets whose time has come, but for those that a study still reads."""
        if not self._datasets.expired():
            return
        with self._datasets.atomically():
            used = self._studies.datasets_in_use()
            for dataset in self._datasets.expired():
                if (dataset.owner, dataset.id) not in used:
                    self._datasets.delete(dataset)


def exported(folder: Path) -> Path | None:
    """Return a study's exported model; None where there is none."""
    model = folder / MODEL
    return model if model.is_dir() else None
