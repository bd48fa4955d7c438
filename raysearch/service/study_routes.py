"""Routes that start, watch and end studies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from raysearch.errors import InputError
from raysearch.service import replies, submission
from raysearch.service.commands import LOG
from raysearch.service.errors import Conflict
from raysearch.service.run_queries import begun
from raysearch.service.services import Services, made, owned, who
from raysearch.service.study_state import ENDED

POLL_SECONDS = 1.0
BEAT_SECONDS = 15.0
"""Seconds between the beats of a stream without news, which show that it is alive."""
MOST_LOG = 2**20

_SCHEMA = submission.Submission.model_json_schema()
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _SCHEMA},
            "application/yaml": {"schema": _SCHEMA},
        },
    }
}


def routes(services: Services) -> APIRouter:
    """Return the routes that start, watch and end studies."""
    router = APIRouter(tags=["studies"])
    studies, reconciler = services.studies, services.reconciler

    async def whole(id: str) -> replies.StudyReply:
        reply = await run_in_threadpool(services.reply, id)
        if begun(studies.run(id)):
            with suppress(Exception):  # where its run cannot be read, its state still can
                reply.progress = json.loads((await services.answer("progress", id)).body)
        return reply

    @router.post("/v1/studies", openapi_extra=BODY)
    async def submit(
        request: Request,
        idempotency_key: Annotated[
            str, Header(description="Sent again with the same key, it makes no second study")
        ] = "",
    ) -> replies.StudyReply:
        """Submit a study as JSON or YAML: the keys are the options of `raysearch frontier`.

        It is checked as the command line checks it, priced, and waits for its turn.
        """
        kind = request.headers.get("content-type", "")
        given = await run_in_threadpool(submission.read, await request.body(), kind)
        owner = who(request).owner
        spec = await run_in_threadpool(services.submissions.submit, owner, given, idempotency_key)
        made(request, spec.id)
        reconciler.wake()
        return await run_in_threadpool(services.reply, spec.id)

    @router.get("/v1/studies")
    def every(
        owner: Annotated[str | None, Query(max_length=80)] = None,
        state: Annotated[str | None, Query(max_length=20)] = None,
    ) -> replies.Studies:
        """List studies, the oldest first."""
        studies = services.listed(owner)
        return replies.Studies(studies=[r for r in studies if state in (None, r.state)])

    @router.get("/v1/studies/{id}")
    async def one(id: str) -> replies.StudyReply:
        """Say how a study stands, how far it is, and why it waits."""
        return await whole(id)

    @router.get(
        "/v1/studies/{id}/events",
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def events(request: Request, id: str) -> StreamingResponse:
        """Follow a study as server-sent events: `study` at each change, `end` when it has ended."""
        studies.folder(id)
        if services.streams >= services.settings.streams:
            raise Conflict(
                f"{services.streams} streams are open already; ask for the study instead"
            )

        async def lines() -> AsyncIterator[bytes]:
            services.streams += 1
            last, quiet = "", 0.0
            try:
                while True:
                    reply = await whole(id)
                    text = reply.model_dump_json()
                    if text != last:
                        last, quiet = text, 0.0
                        yield f"event: study\ndata: {text}\n\n".encode()
                    if reply.state in ENDED:
                        yield f"event: end\ndata: {json.dumps(reply.state)}\n\n".encode()
                        return
                    await asyncio.sleep(POLL_SECONDS)
                    quiet += POLL_SECONDS
                    if quiet >= BEAT_SECONDS:
                        quiet = 0.0
                        yield b": nothing new\n\n"
            except InputError:
                yield b'event: end\ndata: "deleted"\n\n'
            finally:
                services.streams -= 1

        return StreamingResponse(lines(), media_type="text/event-stream")

    @router.post("/v1/studies/{id}/stop")
    def stop(request: Request, id: str) -> replies.StudyReply:
        """Stop a study; what it has recorded stays, and `resume` goes on from there."""
        owned(studies.spec(id), who(request))
        reconciler.stop(id)
        return services.reply(id)

    @router.post("/v1/studies/{id}/resume")
    def resume(request: Request, id: str) -> replies.StudyReply:
        """Go on with a study that was stopped or has failed."""
        owned(studies.spec(id), who(request))
        reconciler.requeue(id, "frontier")
        return services.reply(id)

    @router.post("/v1/studies/{id}/confirm")
    def confirm(
        request: Request, id: str, body: replies.Confirm | None = None
    ) -> replies.StudyReply:
        """Run the best again on fresh draws of data and seeds."""
        owned(studies.spec(id), who(request))
        given = body or replies.Confirm()
        words = []
        if given.draws is not None:
            if not 1 <= given.draws <= 100:
                raise InputError(f"draws: {given.draws} given, must be 1 to 100")
            words.append(f"--draws={given.draws}")
        if given.hours is not None:
            if not 0 < given.hours < 1e6:
                raise InputError(f"hours: {given.hours:g} given, must be above 0")
            words.append(f"--hours={given.hours}")
        reconciler.requeue(id, "confirm", words)
        return services.reply(id)

    @router.post("/v1/studies/{id}/export")
    def export(request: Request, id: str, body: replies.Export | None = None) -> replies.StudyReply:
        """Export the recommended point, or a named one; `model` then gives it out."""
        owned(studies.spec(id), who(request))
        given = body or replies.Export()
        words = []
        if given.point is not None:
            if not given.point.isalnum() or not given.point.isascii() or len(given.point) > 64:
                raise InputError("point: must be a point's or a trial's id")
            words.append(given.point)
        if given.format is not None:
            from raysearch.export import get

            get(given.format)
            words.append(f"--format={given.format}")
        reconciler.requeue(id, "export", [*words, *(["--int8"] if given.int8 else [])])
        return services.reply(id)

    @router.delete("/v1/studies/{id}")
    def delete(request: Request, id: str) -> replies.Deleted:
        """Remove a study with its records; refused while it runs."""
        owned(studies.spec(id), who(request))
        reconciler.delete(id)
        return replies.Deleted(deleted=id)

    @router.get("/v1/studies/{id}/logs", response_class=PlainTextResponse)
    def logs(
        request: Request,
        id: str,
        start: Annotated[int, Query(ge=-MOST_LOG, le=2**40)] = -65536,
    ) -> PlainTextResponse:
        """Return the log of a study's program, from a byte on; below 0: from the end.

        The header `X-Next` says which byte to ask for next.
        """
        owned(studies.spec(id), who(request))
        path = studies.folder(id) / LOG
        if not path.exists():
            return PlainTextResponse("", headers={"X-Next": "0"})
        with path.open("rb") as f:
            size = f.seek(0, 2)
            at = f.seek(max(0, size + start) if start < 0 else min(start, size))
            text = f.read(MOST_LOG)
        shown = services.settings.paths.scrubbed(text.decode(errors="replace"))
        return PlainTextResponse(shown, headers={"X-Next": str(at + len(text))})

    return router
