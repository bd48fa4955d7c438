"""Let a browser in by a link that works once, which sets a cookie that scripts cannot read.

Links and sessions are kept as hashes, so that a session outlives a restart of the service. They
belong to a token by its hash: another token of the same name does not bring them back.
"""

from __future__ import annotations

import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable
from typing import Literal

from raysearch.errors import unknown
from raysearch.service.database import Database
from raysearch.service.tokens import Token, Tokens, digest

COOKIE = "raysearch"
LINK_SECONDS = 600.0
"""How long a link waits to be opened [s]."""
VISIT_SECONDS = 12 * 3600.0
"""How long a browser stays in [s]; never longer than its token is valid."""
Kind = Literal["link", "visit"]


class BrowserSessions:
    """Links that wait and browsers that are in."""

    def __init__(
        self, database: Database, tokens: Tokens, now: Callable[[], float] = time.time
    ) -> None:
        self._database, self._tokens, self._now = database, tokens, now

    def link(self, token: str) -> str:
        """Return a ticket for the token of this name; InputError when there is none."""
        with self._database.transaction():
            known = self._tokens.named(token)
            if known is None:
                raise unknown("tokens", "token", token, [t.name for t in self._tokens.all()])
            return self._make("link", known.sha256, LINK_SECONDS)

    def enter(self, ticket: str) -> str | None:
        """Use a ticket up and return the cookie's text; None where the ticket is not good.

        Of two requests that come at once with one ticket, one gets None.
        """
        if self._row("link", ticket) is None:
            return None  # nothing is written for an unknown ticket
        with self._database.transaction() as db:
            row = self._row("link", ticket)
            if row is None:
                return None
            db.execute("DELETE FROM browser_sessions WHERE sha256 = ?", (row["sha256"],))
            if row["expires"] <= self._now() or self._tokens.by_hash(row["token"]) is None:
                return None
            return self._make("visit", row["token"], VISIT_SECONDS)

    def find(self, cookie: str) -> Token | None:
        """Return the token of a browser; None where its session or its token has ended."""
        row = self._row("visit", cookie)
        if row is None or row["expires"] <= self._now():
            return None
        return self._tokens.by_hash(row["token"])

    def _row(self, kind: Kind, text: str) -> sqlite3.Row | None:
        """Return the row of this text; all of the kind are compared, in constant time."""
        given, match = digest(text), None
        with self._database.snapshot() as db:
            rows = db.execute("SELECT * FROM browser_sessions WHERE kind = ?", (kind,))
            for row in rows.fetchall():
                if hmac.compare_digest(str(row["sha256"]), given):
                    match = row
        return match

    def _make(self, kind: Kind, token: str, seconds: float) -> str:
        text, now = secrets.token_urlsafe(32), self._now()
        with self._database.transaction() as db:
            db.execute("DELETE FROM browser_sessions WHERE expires <= ?", (now,))
            db.execute(
                "INSERT INTO browser_sessions (sha256, kind, token, expires) VALUES (?, ?, ?, ?)",
                (digest(text), kind, token, now + seconds),
            )
        return text
