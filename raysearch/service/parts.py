"""The parts of a service that its routes use together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.errors import InputError
from raysearch.service import replies
from raysearch.service.book import ENDED, Book, Spec, State
from raysearch.service.datasets import Datasets, Missing
from raysearch.service.intake import Intake
from raysearch.service.keeper import Keeper, exported
from raysearch.service.reading import begun
from raysearch.service.results import Answered, Results
from raysearch.service.settings import Settings
from raysearch.service.tokens import Token
from raysearch.service.visits import Visits

if TYPE_CHECKING:
    from starlette.requests import Request


@dataclass(slots=True)
class Parts:
    """One service's."""

    settings: Settings
    book: Book
    datasets: Datasets
    intake: Intake
    keeper: Keeper
    visits: Visits
    results: Results = field(default_factory=Results)
    streams: int = 0
    """Live streams that are open."""

    def reply(self, id: str) -> replies.StudyReply:
        """A study without its progress."""
        return self._reply(self.book.spec(id), self.book.state(id))

    def listed(self, owner: str | None = None) -> list[replies.StudyReply]:
        """Every study, the oldest first; one that is deleted meanwhile is left out."""
        out = []
        for spec, state in self.book.all():
            if owner in (None, spec.owner):
                with suppress(Missing):
                    out.append(self._reply(spec, state))
        return out

    def _reply(self, spec: Spec, state: State) -> replies.StudyReply:
        model = self.model(spec.id) is not None
        return replies.study(spec, state, self.why(spec.id, state), model)

    def why(self, id: str, state: State) -> str:
        """What is to be said of its state."""
        if state.state != "queued":
            return state.why
        waits = self.keeper.waits(id)
        return f"{waits}; {state.why}" if state.why else waits

    def model(self, id: str) -> Path | None:
        """Its exported model's folder, once it is whole."""
        state = self.book.state(id)
        if state.verb == "export" and state.state not in ("done", "failed", "stopped"):
            return None
        return exported(self.book.folder(id))

    async def answer(self, what: str, id: str, given: Mapping[str, Any] | None = None) -> Answered:
        """What its records say; to the last record once it has ended."""
        ended = self.book.state(id).state in ENDED
        return await self.results.get(what, self.records(id), given, exact=ended)

    def records(self, id: str) -> Path:
        """The run's folder, where there are records to read; Missing before."""
        run = self.book.run(id)
        if not begun(run):
            raise Missing(f"study '{id}' has no records yet")
        return run


def who(request: Request) -> Token:
    """Whose request it is: the doors have found out."""
    found: Token = request.scope["state"]["who"]
    return found


def made(request: Request, id: str) -> None:
    """Tell the doors what a request has made, for their line in the audit."""
    request.scope["state"]["made"] = f"/{id}"


def owned(spec: Spec, token: Token) -> None:
    """What may hold texts, or changes something, is the owner's alone."""
    if spec.owner != token.owner:
        raise NotYours(f"study '{spec.id}' is {spec.owner}'s")


class NotYours(InputError):
    """It belongs to somebody else."""
