"""Tokens: who comes in, as what, until when. The file holds hashes alone.

A token is 256 random bits, which nobody guesses however fast the hash: a slow one, made for
passwords that people think up, would cost each request what it costs a thief, and buy nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from raysearch.errors import InputError, unknown
from raysearch.service.home import checked
from raysearch.service.locked import Entry, LockedList

Role = Literal["reader", "submitter"]
ROLES: tuple[Role, ...] = get_args(Role)
PREFIX = "rs_"
DAYS = 90.0
"""How long a token holds where nothing else is said [days]."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token, without itself."""

    name: str
    owner: str
    """Whose studies and data sets it reaches; several tokens may be one owner's."""
    role: Role
    sha256: str
    created: float
    expires: float
    """Seconds since 1970, as `created`."""


def digest(text: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


class Tokens:
    """The tokens of a root folder."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._list = LockedList(path)
        self._now = now

    def all(self) -> tuple[Token, ...]:
        """Every token, expired ones too."""
        return tuple(Token(**e) for e in self._list.read())

    def add(self, name: str, owner: str, role: str, days: float = DAYS) -> str:
        """Make a token and return it: it is shown once and kept nowhere.

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
        entry = asdict(Token(name, owner, role, digest(text), now, now + 86400 * days))

        def with_it(entries: Sequence[Entry]) -> Sequence[Entry]:
            if any(e["name"] == name for e in entries):
                raise InputError(f"there is a token '{name}' already; revoke it first")
            return [*entries, entry]

        self._list.change(with_it)
        return text

    def revoke(self, name: str) -> None:
        """Forget a token: its next request is refused; InputError when there is none."""

        def without(entries: Sequence[Entry]) -> Sequence[Entry]:
            if all(e["name"] != name for e in entries):
                raise unknown("tokens", "token", name, [e["name"] for e in entries])
            return [e for e in entries if e["name"] != name]

        self._list.change(without)

    def find(self, text: str) -> Token | None:
        """The token that this is, unless it has expired; all are compared, in constant time."""
        given, found = digest(text), None
        for token in self.all():
            if hmac.compare_digest(token.sha256, given):
                found = token
        return found if found is not None and found.expires > self._now() else None

    def held(self, sha256: str) -> Token | None:
        """The token of that hash, unless it has expired."""
        for token in self.all():
            if hmac.compare_digest(token.sha256, sha256) and token.expires > self._now():
                return token
        return None

    def named(self, name: str) -> Token | None:
        """The token of that name, unless it has expired."""
        for token in self.all():
            if token.name == name and token.expires > self._now():
                return token
        return None
