"""The application: routes behind doors, errors in one line, and a document of it all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from raysearch import __version__
from raysearch.errors import InputError, RaysearchError
from raysearch.service import dataset_routes, page_routes, replies, result_routes, study_routes
from raysearch.service.audit import Audit
from raysearch.service.datasets import Crowded, Missing
from raysearch.service.doors import Doors
from raysearch.service.intake import Full
from raysearch.service.keeper import Busy
from raysearch.service.parts import NotYours, Parts
from raysearch.service.tokens import Tokens

ABOUT = """Studies of training methods, model sizes and label budgets, on one Ray cluster.

Every route wants `Authorization: Bearer TOKEN`. Errors are `{"error": "one line"}`."""
STATUS: tuple[tuple[type[RaysearchError], int], ...] = (
    (Missing, 404),
    (NotYours, 403),
    (Busy, 409),
    (Full, 409),
    (Crowded, 409),
    (InputError, 422),
    (RaysearchError, 500),
)
"""What each error is over HTTP; the first that fits."""
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": replies.Error, "description": "The Host or the body is wrong"},
    401: {"model": replies.Error, "description": "No token, or a wrong or expired one"},
    403: {"model": replies.Error, "description": "It is somebody else's, or the token reads only"},
    404: {"model": replies.Error, "description": "There is no such thing"},
    409: {"model": replies.Error, "description": "Not now, or too many"},
    413: {"model": replies.Error, "description": "The body is too long"},
    422: {"model": replies.Error, "description": "What was asked cannot be done"},
    503: {"model": replies.Error, "description": "The audit cannot be written"},
}


def make_app(parts: Parts, tokens: Tokens, audit: Audit) -> Doors:
    """Build the application that a server runs."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        parts.results.close()

    inner = FastAPI(
        title="raysearch",
        description=ABOUT,
        version=__version__,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        lifespan=life,
        responses=ERRORS,
    )
    for part in (dataset_routes, study_routes, result_routes, page_routes):
        inner.include_router(part.routes(parts))
    _errors(inner, parts)
    plain = inner.openapi

    def document() -> dict[str, Any]:
        found = plain()
        schemes = found.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer"}
        found["security"] = [{"token": []}]
        error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        for methods in found["paths"].values():
            for operation in methods.values():
                for code in map(str, ERRORS):  # whatever a route answers when all is well
                    operation["responses"][code]["content"] = error
        return found

    inner.openapi = document  # type: ignore[method-assign]
    return Doors(inner, parts.settings, tokens, parts.visits, audit)


def _errors(inner: FastAPI, parts: Parts) -> None:
    def said(status: int, text: str) -> JSONResponse:
        line = " ".join(parts.settings.home.scrubbed(text).split())[:1000]
        whole = line.encode("utf-8", "replace").decode()  # half a character is no UTF-8
        return JSONResponse({"error": whole}, status_code=status)

    @inner.exception_handler(RaysearchError)
    def known(request: Request, error: RaysearchError) -> JSONResponse:
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        return said(status, str(error))

    @inner.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        return said(422, f"{place}: {first['msg']}")

    @inner.exception_handler(HTTPException)
    def plain(request: Request, error: HTTPException) -> JSONResponse:
        answer = said(error.status_code, f"{request.method} {request.url.path}: {error.detail}")
        answer.headers.update(error.headers or {})
        return answer

    @inner.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> JSONResponse:
        return said(500, "something broke; the service's log says what")
