"""What the routes of a service use together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.service import replies
from raysearch.service.browser_sessions import BrowserSessions
from raysearch.service.database import Database
from raysearch.service.datasets import Datasets
from raysearch.service.errors import Forbidden, NotFound
from raysearch.service.job_cluster import JobCluster
from raysearch.service.query_cache import QueryCache, QueryResult
from raysearch.service.reconciler import StudyReconciler, exported
from raysearch.service.run_queries import begun
from raysearch.service.settings import Settings
from raysearch.service.study_repository import StudyRepository
from raysearch.service.study_state import ENDED, Spec, State
from raysearch.service.submissions import Submissions
from raysearch.service.tokens import Token, Tokens

if TYPE_CHECKING:
    from starlette.requests import Request


@dataclass(slots=True)
class Services:
    """The parts of one service."""

    settings: Settings
    database: Database
    studies: StudyRepository
    datasets: Datasets
    submissions: Submissions
    cluster: JobCluster
    reconciler: StudyReconciler
    tokens: Tokens
    sessions: BrowserSessions
    queries: QueryCache = field(default_factory=QueryCache)
    streams: int = 0
    """Live streams that are open."""

    def reply(self, id: str) -> replies.StudyReply:
        """Return a study without its progress."""
        return self._reply(self.studies.spec(id), self.studies.state(id))

    def listed(self, owner: str | None = None) -> list[replies.StudyReply]:
        """Return every study, the oldest first; one that is deleted meanwhile is left out."""
        out = []
        for spec, state in self.studies.all():
            if owner in (None, spec.owner):
                with suppress(NotFound):
                    out.append(self._reply(spec, state))
        return out

    def _reply(self, spec: Spec, state: State) -> replies.StudyReply:
        model = self.model(spec.id) is not None
        return replies.study(spec, state, self.why(spec.id, state), model)

    def why(self, id: str, state: State) -> str:
        """Return the reason for its state."""
        if state.state != "queued":
            return state.why
        waits = self.reconciler.waits(id)
        return f"{waits}; {state.why}" if state.why else waits

    def model(self, id: str) -> Path | None:
        """Return its exported model's folder, once it is whole."""
        state = self.studies.state(id)
        if state.verb == "export" and state.state not in ("done", "failed", "stopped"):
            return None
        return exported(self.studies.folder(id))

    async def answer(
        self, what: str, id: str, given: Mapping[str, Any] | None = None
    ) -> QueryResult:
        """Return an answer from its records; up to the last record once it has ended."""
        ended = self.studies.state(id).state in ENDED
        return await self.queries.get(what, self.records(id), given, exact=ended)

    def records(self, id: str) -> Path:
        """Return the run's folder, where there are records to read; NotFound before."""
        run = self.studies.run(id)
        if not begun(run):
            raise NotFound(f"study '{id}' has no records yet")
        return run


def who(request: Request) -> Token:
    """Return the token of a request, which the middleware has checked."""
    token: Token = request.scope["state"]["who"]
    return token


def made(request: Request, id: str) -> None:
    """Note what a request has made, for its line in the audit."""
    request.scope["state"]["made"] = f"/{id}"


def owned(spec: Spec, token: Token) -> None:
    """Raise Forbidden for another owner's study: what holds texts or changes it is the owner's."""
    if spec.owner != token.owner:
        raise Forbidden(f"study '{spec.id}' is {spec.owner}'s")
