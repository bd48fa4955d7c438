"""Compare a study's files with Ray's state of its job, and write down what follows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from raysearch.run.folder import RunFolder
from raysearch.run.folder import running as driven
from raysearch.service.commands import exit_code, last_error
from raysearch.service.job_cluster import JobCluster
from raysearch.service.settings import Settings
from raysearch.service.study_repository import StudyRepository
from raysearch.service.study_state import State, run_in

LOST = 3
"""So many jobs that vanish in a row, and a study counts as failed."""
LONG_SECONDS = 600.0
"""A job that ran longer than this, and recorded something, starts the count anew [s]."""
STOP_SECONDS = 30.0
"""A job that has not ended so long after a request to end is sent another [s]."""
SIGNALLED = frozenset({130, 137, 143})
"""Exit codes of a program that was ended from outside."""


class JobMonitor:
    """Finds out how jobs end.

    Args:
        settings: the service's.
        studies: whose states are written.
        cluster: where the jobs run.
        submit: starts the job of a study in state `starting`.
        now: the clock [s since 1970].
    """

    def __init__(
        self,
        settings: Settings,
        studies: StudyRepository,
        cluster: JobCluster,
        submit: Callable[[str, State], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._studies, self._cluster = settings, studies, cluster
        self._submit, self._now = submit, now
        self._stops: dict[str, float] = {}

    def look(self, id_: str, state: State) -> None:
        """Look at one active study; Unreachable where Ray does not answer."""
        folder = self._studies.folder(id_)
        code = exit_code(folder, state.job)
        if code is not None:
            return self._ended(id_, state, code, folder)
        seen = self._cluster.jobs.look(state.job)
        if seen is None and state.state == "starting":
            return self._submit(id_, state)
        if seen is None or seen.status in ("FAILED", "SUCCEEDED", "STOPPED"):
            if driven(RunFolder(run_in(folder))):
                return None  # its driver still ends; two of them never share a folder
            code = exit_code(folder, state.job)  # written since
            if code is not None:
                return self._ended(id_, state, code, folder)
            return self._vanished(id_, state)
        if state.state == "starting":
            self._studies.transition(id_, "running", expected=["starting"])
        elif state.state == "stopping":
            if self._now() - self._stops.get(state.job, 0) > STOP_SECONDS:
                self._stops[state.job] = self._now()
                self._cluster.jobs.stop(state.job)
        return None

    def _ended(self, id_: str, state: State, code: int, folder: Path) -> None:
        before = [state.state]
        if state.state == "stopping" and code:
            self._studies.transition(id_, "stopped", expected=before)
        elif code == 0:
            self._studies.transition(id_, "done", expected=before, lost=0)
        elif code in SIGNALLED:
            self._vanished(id_, state)
        else:
            why = self._settings.paths.scrubbed(last_error(folder))
            self._studies.transition(id_, "failed", expected=before, why=why)

    def _vanished(self, id_: str, state: State) -> None:
        """Queue a study whose job ended with its head, or was ended from outside.

        It fails at the third time.
        """
        before = [state.state]
        if state.state == "stopping":
            self._studies.transition(id_, "stopped", expected=before)
            return
        size = records_size(run_in(self._studies.folder(id_)))
        far = self._now() - state.time > LONG_SECONDS and size > state.recorded
        lost = 1 if far else state.lost + 1
        if lost >= LOST:
            why = f"its job vanished {lost} times in a row"
            self._studies.transition(id_, "failed", expected=before, lost=lost, why=why)
            return
        why = "its job vanished with its head; it goes on from its records"
        self._studies.transition(id_, "queued", expected=before, lost=lost, why=why)


def records_size(run: Path) -> int:
    """Return how long a run's records are [bytes]."""
    try:
        return RunFolder(run).records.stat().st_size
    except OSError:
        return 0
