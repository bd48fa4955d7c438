"""Tokens: users of the service, their roles and expiry. The database holds hashes alone.

A token is 256 random bits, which cannot be guessed however fast the hash. A slow hash, made for
passwords that people think up, would cost each request what it costs a thief.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Literal, get_args

from raysearch.config.names import checked
from raysearch.errors import InputError, unknown
from raysearch.service.database import Database

Role = Literal["reader", "submitter"]
ROLES: tuple[Role, ...] = get_args(Role)
PREFIX = "rs_"
DAYS = 90.0
"""How long a token is valid where nothing else is given [days]."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token, without its text."""

    name: str
    owner: str
    """Whose studies and data sets it reaches; several tokens may be one owner's."""
    role: Role
    sha256: str
    created: float
    expires: float
    """Seconds since 1970, as `created`."""


def digest(text: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


class Tokens:
    """The tokens of a service."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database, self._now = database, now

    def all(self) -> tuple[Token, ...]:
        """Return every token, expired ones too, the oldest first."""
        with self._database.snapshot() as db:
            rows = db.execute(
                "SELECT name, owner, role, sha256, created, expires FROM tokens ORDER BY rowid"
            )
            return tuple(Token(*row) for row in rows)

    def add(self, name: str, owner: str, role: str, days: float = DAYS) -> str:
        """Make a token and return its text: it is shown once and kept nowhere.

        Raises:
            InputError: the name is taken or no name, the role none, the time not above 0.
        """
        checked(name, "token")
        checked(owner, "owner")
        if role not in ROLES:
            raise unknown("--role", "role", role, ROLES)
        if not 0 < days <= 3660:
            raise InputError(f"--days: {days:g} given, must be above 0, at most 3660")
        text = PREFIX + secrets.token_urlsafe(32)
        now = self._now()
        made = Token(name, owner, role, digest(text), now, now + 86400 * days)
        with self._database.transaction() as db:
            try:
                db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)", astuple(made))
            except sqlite3.IntegrityError as e:
                raise InputError(f"there is a token '{name}' already; revoke it first") from e
        return text

    def revoke(self, name: str) -> None:
        """Remove a token with its links and browsers; InputError when there is none."""
        with self._database.transaction() as db:
            if not db.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount:
                raise unknown("tokens", "token", name, [t.name for t in self.all()])

    def find(self, text: str) -> Token | None:
        """Return the token of this text unless it has expired; compare all, in constant time."""
        given, match = digest(text), None
        for token in self.all():
            if hmac.compare_digest(token.sha256, given):
                match = token
        return match if match is not None and match.expires > self._now() else None

    def by_hash(self, sha256: str) -> Token | None:
        """Return the token of that hash unless it has expired."""
        for token in self.all():
            if hmac.compare_digest(token.sha256, sha256) and token.expires > self._now():
                return token
        return None

    def named(self, name: str) -> Token | None:
        """Return the token of that name unless it has expired."""
        for token in self.all():
            if token.name == name and token.expires > self._now():
                return token
        return None
