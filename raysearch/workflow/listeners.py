"""Who follows a call of the workflow: lines for a person, and events of a running study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from raysearch.search.event import Event

Notify: TypeAlias = Callable[[str], None]
"""Takes one line for a person."""
Watching: TypeAlias = Callable[[], AbstractContextManager[Callable[[Event], None]]]
"""Opens what takes each event of a running study as it comes."""


def ignore(line: str) -> None:
    """Do nothing with a line."""


@contextmanager
def unwatched() -> Iterator[Callable[[Event], None]]:
    """Yield a callback for events that does nothing."""
    yield lambda event: None
