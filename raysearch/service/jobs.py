"""Ray's Jobs, as the service uses them: submit under our own ids, look, stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from raysearch.cluster.resources import Node
from raysearch.errors import RaysearchError

NO_JOB = "Request failed with status code 404"
"""Ray's client's text for a missing job: the answer's status, wherever else 404 occurs."""


class Unreachable(RaysearchError):
    """Ray does not answer now; nothing is known of any job."""


@dataclass(frozen=True, slots=True)
class Look:
    """The state of a job in Ray."""

    status: Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]
    message: str = ""


class Jobs(Protocol):
    """Where studies run. Every call may raise Unreachable."""

    def submit(self, job: str, command: str, environment: Mapping[str, str]) -> None:
        """Start a job; one of that id that is there already is left as it is."""

    def look(self, job: str) -> Look | None:
        """Return a job's state; None when there is none of that id."""

    def stop(self, job: str) -> None:
        """Request a job's end."""

    def room(self) -> tuple[int, int]:
        """Return (CPUs, GPUs) of the cluster, machines that it would still start included."""


class RayJobs:
    """The Jobs of a Ray cluster, by the address of its dashboard."""

    def __init__(self, address: str, *, grows: bool = False) -> None:
        """Connect to a dashboard.

        `grows`: the cluster may be one that Ray's launcher made, whose machines come when needed.
        """
        self._address, self._grows = address, grows
        self._client: Any = None

    def submit(self, job: str, command: str, environment: Mapping[str, str]) -> None:
        """Start a job; one of that id that is there already is left as it is."""
        if self.look(job) is None:
            self._ask(
                "submit_job",
                entrypoint=command,
                submission_id=job,
                runtime_env={"env_vars": dict(environment)},
            )

    def look(self, job: str) -> Look | None:
        """Return a job's state; None when there is none of that id."""
        try:
            info = self._ask("get_job_info", job)
        except Unreachable as e:
            if str(e.__cause__).startswith(NO_JOB):
                return None
            raise
        return Look(str(getattr(info.status, "value", info.status)), info.message or "")  # type: ignore[arg-type]

    def stop(self, job: str) -> None:
        """Request a job's end."""
        self._ask("stop_job", job)

    def room(self) -> tuple[int, int]:
        """Return (CPUs, GPUs) of the nodes that are alive, and of those that may still come."""
        from ray.util.state import list_nodes

        from raysearch.cluster.autoscaler import pending_nodes

        try:
            nodes = list_nodes(address=self._address, detail=True, timeout=20)
        except Exception as e:  # RayStateApiException and what requests raises
            self._client = None
            raise Unreachable(f"Ray at {self._address} does not answer: {e}") from e
        has = [n.resources_total or {} for n in nodes if n.state == "ALIVE"]
        alive = [Node("", float(r.get("CPU", 0)), float(r.get("GPU", 0))) for r in has]
        if self._grows:
            alive += pending_nodes(alive)
        return int(sum(n.cpus for n in alive)), int(sum(n.gpus for n in alive))

    def _ask(self, what: str, *args: Any, **named: Any) -> Any:
        from ray.job_submission import JobSubmissionClient

        try:
            if self._client is None:
                self._client = JobSubmissionClient(self._address)
            return getattr(self._client, what)(*args, **named)
        except Exception as e:  # RuntimeError with the HTTP status, ConnectionError, requests' own
            self._client = None
            text = " ".join(str(e).split())[:300]
            raise Unreachable(f"Ray at {self._address}: {text}") from e
