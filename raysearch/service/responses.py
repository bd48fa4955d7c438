"""Answers that are bytes of JSON, files, or pages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from raysearch.service.query_cache import QueryResult

PIECE = 2**18


def json_bytes(request: Request, result: QueryResult) -> Response:
    """Return JSON that is bytes already; 304 where the reader has it."""
    tag = f'"{result.tag}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(result.body, media_type="application/json", headers={"ETag": tag})


def file(
    path: Path, media: str, name: str | None = None, headers: Mapping[str, str] | None = None
) -> StreamingResponse:
    """Send a file as it is now: one that takes its place meanwhile is the next reader's."""
    handle = path.open("rb")
    size = os.fstat(handle.fileno()).st_size

    def pieces() -> Iterator[bytes]:
        with handle:
            while piece := handle.read(PIECE):
                yield piece

    more = {"Content-Length": str(size), **(headers or {})}
    if name is not None:
        more["Content-Disposition"] = f'attachment; filename="{name}"'
    return StreamingResponse(pieces(), media_type=media, headers=more)
