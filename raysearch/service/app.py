"""Build the application: routes behind security checks, errors in one line, one document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from raysearch.errors import InputError, RaysearchError
from raysearch.service import dataset_routes, page_routes, replies, result_routes, study_routes
from raysearch.service.audit import Audit
from raysearch.service.errors import Conflict, Forbidden, NotFound, QuotaExceeded, TooManyUploads
from raysearch.service.security import SecurityMiddleware
from raysearch.service.services import Services
from raysearch.version import __version__

ABOUT = """Studies of training methods, model sizes and label budgets, on one Ray cluster.

Every route wants `Authorization: Bearer TOKEN`. Errors are `{"error": "one line"}`."""
STATUS: tuple[tuple[type[RaysearchError], int], ...] = (
    (NotFound, 404),
    (Forbidden, 403),
    (Conflict, 409),
    (QuotaExceeded, 409),
    (TooManyUploads, 409),
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


def make_app(services: Services, audit: Audit) -> SecurityMiddleware:
    """Build the application that a server runs."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        services.queries.close()
        services.database.close()

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
        inner.include_router(part.routes(services))
    _errors(inner, services)
    plain = inner.openapi

    def document() -> dict[str, Any]:
        schema = plain()
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer"}
        schema["security"] = [{"token": []}]
        error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        for methods in schema["paths"].values():
            for operation in methods.values():
                for code in map(str, ERRORS):  # whatever a route answers when all is well
                    operation["responses"][code]["content"] = error
        return schema

    inner.openapi = document  # type: ignore[method-assign]
    return SecurityMiddleware(inner, services.settings, services.tokens, services.sessions, audit)


def _errors(inner: FastAPI, services: Services) -> None:
    def one_line(status: int, text: str) -> JSONResponse:
        line = " ".join(services.settings.paths.scrubbed(text).split())[:1000]
        whole = line.encode("utf-8", "replace").decode()  # half a character is no UTF-8
        return JSONResponse({"error": whole}, status_code=status)

    @inner.exception_handler(RaysearchError)
    def known(request: Request, error: RaysearchError) -> JSONResponse:
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        return one_line(status, str(error))

    @inner.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        return one_line(422, f"{place}: {first['msg']}")

    @inner.exception_handler(HTTPException)
    def plain(request: Request, error: HTTPException) -> JSONResponse:
        answer = one_line(error.status_code, f"{request.method} {request.url.path}: {error.detail}")
        answer.headers.update(error.headers or {})
        return answer

    @inner.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> JSONResponse:
        return one_line(500, "something broke; the service's log says what")
