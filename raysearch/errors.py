"""Errors, one sentence each: where, what stands there, what may stand there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RaysearchError(Exception):
    """Base of every error this package raises on purpose; its text is one line for a person."""


class InputError(RaysearchError):
    """Something a person wrote or gave cannot be used; the command line exits with 2."""


class RecordError(RaysearchError):
    """A file of records cannot be read or written."""


class Infeasible(RaysearchError):
    """A cell of the search space that cannot be run here (its reason becomes a record)."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to `name`, or None when nothing is close.

    >>> nearest("ag_new", ["sst2", "ag_news"])
    'ag_news'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return close[0] if close else None


def no_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that does not exist, without a place.

    >>> no_name("task", "ag_new", ["ag_news", "sst2"])
    "no task 'ag_new'. Did you mean 'ag_news'? Known: ag_news, sst2"
    """
    names = list(known)
    hint = nearest(name, names)
    guess = f" Did you mean '{hint}'?" if hint else ""
    return f"no {kind} '{name}'.{guess} Known: {', '.join(names) or 'none'}"


def unknown(where: str, kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that does not exist.

    >>> print(unknown("tasks.yaml", "task", "ag_new", ["ag_news", "sst2"]))
    tasks.yaml: no task 'ag_new'. Did you mean 'ag_news'? Known: ag_news, sst2
    """
    return InputError(f"{where}: {no_name(kind, name, sorted(known))}")
