"""How a browser comes in: by a link that works once, which sets a cookie that scripts cannot read.

Links and visits are kept as hashes, so that a visit outlives a restart of the service. They are of
a token by its hash: another token of the same name does not bring them back.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from raysearch.errors import unknown
from raysearch.service.locked import Entry, LockedList
from raysearch.service.tokens import Token, Tokens, digest

COOKIE = "raysearch"
LINK_SECONDS = 600.0
"""How long a link waits to be opened [s]."""
VISIT_SECONDS = 12 * 3600.0
"""How long a browser stays in [s]; never longer than its token holds."""


class Visits:
    """Links that wait and browsers that are in."""

    def __init__(self, path: Path, tokens: Tokens, now: Callable[[], float] = time.time) -> None:
        self._list, self._tokens, self._now = LockedList(path), tokens, now

    def link(self, token: str) -> str:
        """A ticket for the token of this name; InputError when there is none."""
        found = self._tokens.named(token)
        if found is None:
            raise unknown("tokens", "token", token, [t.name for t in self._tokens.all()])
        return self._made("link", found.sha256, LINK_SECONDS)

    def forget(self) -> None:
        """Drop what tokens have left that are no more."""
        there = {t.sha256 for t in self._tokens.all()}
        self._list.change(lambda entries: [e for e in entries if e["token"] in there])

    def enter(self, ticket: str) -> str | None:
        """Tear the ticket and return what the cookie is to hold; None where it is not good."""
        torn: list[Entry] = []

        def without(entries: Sequence[Entry]) -> Sequence[Entry]:
            torn.extend(e for e in entries if e["kind"] == "link" and _same(e, ticket))
            return [e for e in entries if e not in torn]

        if not any(_same(e, ticket) for e in self._list.read()):
            return None
        self._list.change(without)  # of two that come at once one finds it gone
        good = [e for e in torn if e["expires"] > self._now()]
        if not good or self._tokens.held(good[0]["token"]) is None:
            return None
        return self._made("visit", good[0]["token"], VISIT_SECONDS)

    def find(self, cookie: str) -> Token | None:
        """The token of a browser that is in; None where its visit or its token has ended."""
        found = None
        for entry in self._list.read():
            if _same(entry, cookie) and entry["kind"] == "visit":
                found = entry
        if found is None or found["expires"] <= self._now():
            return None
        return self._tokens.held(found["token"])

    def _made(self, kind: str, token: str, seconds: float) -> str:
        text, now = secrets.token_urlsafe(32), self._now()
        entry = {"kind": kind, "token": token, "sha256": digest(text), "expires": now + seconds}
        self._list.change(lambda entries: [*(e for e in entries if e["expires"] > now), entry])
        return text


def _same(entry: Entry, text: str) -> bool:
    return hmac.compare_digest(str(entry["sha256"]), digest(text))
