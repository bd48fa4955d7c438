"""Names that are a folder's name too: no name leads out of a folder."""

from __future__ import annotations

import re

from raysearch.errors import InputError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}\Z")
"""What an id of a service, an owner or a token's name looks like."""


def checked(name: str, kind: str) -> str:
    """Return the name itself where it can be one; InputError otherwise.

    >>> checked("sst2-quick-3fa9", "study")
    'sst2-quick-3fa9'
    """
    if not NAME.match(name):
        raise InputError(f"'{name[:80]}': is no {kind}'s name: a-z, 0-9, - and _")
    return name
