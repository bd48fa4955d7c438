"""The errors of the service; each has a status over HTTP."""

from __future__ import annotations

from raysearch.errors import InputError


class NotFound(InputError):
    """There is no such thing, or it is somebody else's."""


class Forbidden(InputError):
    """It belongs to somebody else."""


class Conflict(InputError):
    """A study is in a state that does not allow this now."""


class QuotaExceeded(InputError):
    """An owner keeps as many as is allowed, or too many submissions are being checked."""


class TooManyUploads(InputError):
    """Too many uploads at once; later there is room."""
