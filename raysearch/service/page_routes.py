"""Routes for browsers: the login, a list of studies, and each study's dashboards."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from raysearch.panels.page import POLICY
from raysearch.panels.template import render
from raysearch.run.folder import PAGES, Mark
from raysearch.service import responses
from raysearch.service.browser_sessions import COOKIE, VISIT_SECONDS
from raysearch.service.errors import NotFound
from raysearch.service.replies import StudyReply
from raysearch.service.run_queries import begun, mark
from raysearch.service.security import ENTER
from raysearch.service.services import Services
from raysearch.service.studies_page import Row, page
from raysearch.service.study_state import ENDED, run_in

FILE = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.(html|js)\Z")
RELOAD_SECONDS = 30
"""An open page of a study at work loads itself anew this often [s]."""
LIST = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
SOON_SECONDS = 3
"""The list loads itself anew after this while some are being read [s]."""


def routes(services: Services) -> APIRouter:
    """Return the routes outside /v1."""
    router = APIRouter(tags=["pages"], include_in_schema=False)

    @router.get(ENTER)
    def enter(request: Request, ticket: Annotated[str, Query(max_length=200)] = "") -> Response:
        """Tear a one-time link's ticket and let the browser in."""
        cookie = services.sessions.enter(ticket)
        if cookie is None:
            return _page(render(__package__, "used_link.html"), status=401)
        request.scope.setdefault("state", {})["who"] = services.sessions.find(cookie)
        # A page that goes on by itself: a cookie that is Strict is not sent where the step to this
        # address came from elsewhere.
        answer = _page(render(__package__, "entered.html", refresh="0;url=/"))
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=int(VISIT_SECONDS),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path="/",
        )
        return answer

    def at_hand() -> list[tuple[StudyReply, Path, Mark | None]]:
        """Return the studies, the oldest first, with the marks of those that have records."""
        looked = []
        for reply in services.listed():
            run = run_in(services.settings.paths.study(reply.id))
            looked.append((reply, run, mark(run) if begun(run) else None))
        return looked

    @router.get("/")
    async def studies_list() -> HTMLResponse:
        """List the studies with links to their dashboards; what is not read yet comes later."""
        studies = await run_in_threadpool(at_hand)
        marks = {run: now for _, run, now in reversed(studies) if now is not None}
        summaries = services.queries.listed(marks)
        rows = []
        for reply, run, now in studies:
            summary = json.loads(summaries[run].body) if run in summaries else None
            if summary is not None:  # an error's sentence may name a folder
                summary["says"] = services.settings.paths.scrubbed(summary.get("says", ""))
            rows.append(Row(reply, now is not None, summary))
        soon = any(r.linked and r.summary is None for r in rows)
        return _page(page(rows, SOON_SECONDS if soon else RELOAD_SECONDS))

    @router.get("/studies/{id}/dashboard")
    def slash(id: str) -> Response:
        """Pages link to their neighbours: they need the slash."""
        services.studies.folder(id)
        return RedirectResponse(f"/studies/{id}/dashboard/", status_code=308)

    @router.get("/studies/{id}/dashboard/{name:path}")
    async def dashboard(request: Request, id: str, name: str) -> Response:
        """Give out a page of a study, written anew where its records have changed."""
        name = name or "index.html"
        run = services.records(id)
        if not FILE.match(name):
            raise NotFound(f"no page '{name[:80]}'")
        if name.endswith(".html"):
            await services.answer("pages", id)
        path = run.parent / "cache" / PAGES / name
        if not path.is_file():
            raise NotFound(f"no page '{name[:80]}' of study '{id}'")
        headers = {"Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'"}
        if name.endswith(".js"):
            stat = path.stat()
            tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
            headers |= {"ETag": tag, "Cache-Control": "private, no-cache"}
            if request.headers.get("if-none-match") == tag:
                return Response(status_code=304, headers=headers)
            return responses.file(path, "text/javascript; charset=utf-8", headers=headers)
        if services.studies.state(id).state not in ENDED:
            headers["Refresh"] = str(RELOAD_SECONDS)
        return responses.file(path, "text/html; charset=utf-8", headers=headers)

    return router


def _page(text: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(text, status_code=status, headers={"Content-Security-Policy": LIST})
