"""Name the paths of a service's root folder; no name leads out of it."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from raysearch.config.names import checked
from raysearch.errors import InputError


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of one service."""

    root: Path

    @property
    def database(self) -> Path:
        """Return where tokens, studies' states, data sets and the audit are kept; mode 0600."""
        return self.root / "service.db"

    @property
    def studies(self) -> Path:
        """Return the folder of studies, each in one of its own."""
        return self.root / "studies"

    @property
    def datasets(self) -> Path:
        """Return the folder of data sets: one for each owner, in it one for each data set."""
        return self.root / "datasets"

    @property
    def ray(self) -> Path:
        """Return the folder of the Ray head that was started here: ray.json, its token, its log."""
        return self.root / "ray"

    def study(self, id: str) -> Path:
        """Return the folder of a study; InputError for what cannot be an id."""
        return self.studies / checked(id, "study")

    def create(self) -> None:
        """Make the folders, closed to others; InputError where that cannot be."""
        try:
            for folder in (self.root, self.studies, self.datasets, self.ray):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.chmod(self.root, 0o700)
        except OSError as e:
            raise InputError(f"{self.root}: cannot be used as a root: {e.strerror}") from e

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the root for this process; InputError where another service does.

        The lock is the kernel's: a killed service leaves a stale file, never a held lock.
        """
        handle = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as e:
            raise InputError(f"{self.root}: another service runs over this root") from e
        finally:
            os.close(handle)

    @contextmanager
    def without_service(self) -> Iterator[None]:
        """Keep services from starting over the root; InputError where one runs already."""
        handle = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield
        except BlockingIOError as e:
            raise InputError(f"{self.root}: a service of an earlier release runs; end it") from e
        finally:
            os.close(handle)

    def scrubbed(self, text: str) -> str:
        """Return a sentence without the root's path, which readers must not see.

        >>> Paths(Path("/srv/rs")).scrubbed("/srv/rs/studies/a/run: is not there")
        'studies/a/run: is not there'
        """
        for root in {str(self.root.resolve()), str(self.root)}:
            text = text.replace(f"{root}/", "")
        return text


def slug(text: str, longest: int = 32) -> str:
    """Return a name made of any text; empty where nothing is left.

    >>> slug("Tickets (new).v2"), slug("../..")
    ('tickets-new-v2', '')
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest].strip("-")
