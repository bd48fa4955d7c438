"""Check every request: its Host, the length of its body, its token; and write the audit.

It is in front of all routes, so that every one is covered. Starlette's TrustedHostMiddleware
checks the name; docs/decisions/0011 explains what is kept here and why.
"""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from starlette.middleware.trustedhost import TrustedHostMiddleware

from raysearch.errors import RaysearchError
from raysearch.service.audit import BEGINS, Audit
from raysearch.service.browser_sessions import COOKIE, BrowserSessions
from raysearch.service.settings import Settings
from raysearch.service.tokens import Token, Tokens

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ENTER = "/enter"
UPLOAD = "/v1/datasets"
LONG_PORT = re.compile(r":\d{6,}\Z", re.ASCII)
"""What Starlette takes for a port, and is none."""
TOO_LONG = "the body is longer than this service takes"
CLOSED = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The policy of what is no page."""
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"content-security-policy": CLOSED.encode(),
}
"""Headers of every answer that does not set its own."""


class Refused(Exception):
    """The request does not come in: a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class _TooLong(Exception):
    """The body is longer than allowed."""


class SecurityMiddleware:
    """An ASGI application around another."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        tokens: Tokens,
        sessions: BrowserSessions,
        audit: Audit,
    ) -> None:
        self._app, self._settings = app, settings
        self._tokens, self._sessions, self._audit = tokens, sessions, audit
        # A star would be a pattern for Starlette, and let other names in.
        names = sorted(name for name in settings.hosts if "*" not in name)
        self._hosts = TrustedHostMiddleware(self._admitted, names, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer in one line why not."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # web sockets are not supported
        answer = _Answer(send, scope)
        scope.setdefault("state", {})
        try:
            if LONG_PORT.search(_headers(scope).get("host", "")):
                raise Refused(400, _wrong_host(scope))
            await self._hosts(scope, receive, answer)
        except Refused as e:
            await answer.error(e.status, e.sentence)
        except _TooLong:
            await answer.error(413, TOO_LONG)
        except Exception:
            traceback.print_exc()  # details are in the log, not in the answer
            await answer.error(500, "something broke; the service's log says what")
        finally:
            if scope["method"] not in SAFE or scope["path"] == ENTER:
                await self._ended(scope, answer.status)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check what is left of a request to this service's name."""
        assert isinstance(send, _Answer)
        send.admitted = True
        headers, state = _headers(scope), scope["state"]
        if scope["path"] != ENTER:
            state["who"] = self._who(headers, scope)
        most = self._most(scope)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > most:
            raise _TooLong
        if "who" in state and scope["method"] not in SAFE:
            await self._begins(state["who"], scope)
        await self._app(scope, _counted(receive, most, send), send)

    async def _begins(self, who: Token, scope: Scope) -> None:
        """Write that a change begins; Refused where that cannot be written."""
        line = (who.owner, who.name, scope["method"], scope["path"], BEGINS)
        try:
            await asyncio.to_thread(self._audit.write, *line)
        except (OSError, RaysearchError) as e:
            traceback.print_exc()
            raise Refused(503, "the audit cannot be written; nothing was changed") from e

    async def _ended(self, scope: Scope, status: int) -> None:
        state = scope["state"]
        who: Token | None = state.get("who")  # a link's owner is known later
        try:
            if who is None:
                return await asyncio.to_thread(self._audit.turned_away)
            what = scope["path"] + state.get("made", "")
            line = (who.owner, who.name, scope["method"], what, status)
            await asyncio.to_thread(self._audit.write, *line)
        except (OSError, RaysearchError):
            traceback.print_exc()  # the answer is out

    def _who(self, headers: Mapping[str, str], scope: Scope) -> Token:
        given = headers.get("authorization")
        if given is not None:
            kind, _, text = given.partition(" ")
            token = self._tokens.find(text.strip()) if kind.lower() == "bearer" else None
        else:
            token = self._sessions.find(cookie) if (cookie := _cookie(headers)) else None
            if token is not None and scope["method"] not in SAFE:
                _same_origin(headers)
        if token is None:
            how = "a header 'Authorization: Bearer TOKEN', or a link of `raysearch token link`"
            raise Refused(401, f"no token, or one that is unknown or has expired; needed is {how}")
        if token.role != "submitter" and scope["method"] not in SAFE:
            raise Refused(403, f"token '{token.name}' is a reader's: it changes nothing")
        return token

    def _most(self, scope: Scope) -> int:
        upload = scope["method"] == "POST" and scope["path"] == UPLOAD
        return self._settings.most_dataset if upload else self._settings.most_body


class _Answer:
    """Pass an answer on, with the headers of every answer, and keep its status."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send, self._scope = send, scope
        self.status = 0
        self.admitted = False
        """Whether the Host was one of this service's; before, the answer is Starlette's refusal."""
        self.too_long = False
        """Whether the body went over its limit: the route's own answer is not sent then."""

    async def __call__(self, message: Message) -> None:
        if not self.admitted:
            return await self.error(400, _wrong_host(self._scope))
        if self.too_long and not self.status:
            await self.error(413, TOO_LONG)
        if self.too_long and self.status == 413:
            return None
        return await self._pass(message)

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {k.lower() for k, _ in message["headers"]}
            missing = [(k, v) for k, v in HEADERS.items() if k not in given]
            message = {**message, "headers": [*message["headers"], *missing]}
        await self._send(message)

    async def error(self, status: int, sentence: str) -> None:
        """Answer with one line as JSON, unless an answer is on its way already."""
        if self.status:
            return
        body = json.dumps({"error": sentence}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if status == 413:
            headers.append((b"connection", b"close"))  # what is left of the body is not read
        await self._pass({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if self._scope["method"] == "HEAD" else body
        await self._pass({"type": "http.response.body", "body": body})


def _counted(receive: Receive, most: int, answer: _Answer) -> Receive:
    """Pass the body on as it comes, until it is too long, whatever length was announced."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > most:
                answer.too_long = True
                raise _TooLong
        return message

    return counted


def _headers(scope: Scope) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}


def _wrong_host(scope: Scope) -> str:
    """Return the refusal of a page of another name that resolves to this address."""
    host = _headers(scope).get("host", "")
    return f"Host: '{host[:80]}' is no name of this service; see --name"


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def _same_origin(headers: Mapping[str, str]) -> None:
    """Refuse a browser's change that does not come from a page of this very service."""
    origin, host = headers.get("origin", ""), headers.get("host", "")
    if origin.partition("://")[2] != host or not origin.startswith(("http://", "https://")):
        raise Refused(403, f"Origin: '{origin[:80]}' is not this service")
