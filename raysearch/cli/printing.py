"""Lines for a person, on the stream that is theirs."""

from __future__ import annotations

import sys

from raysearch.workflow.listeners import Notify


def printer(as_json: bool = False) -> Notify:
    """Return what prints a line; to standard error where standard output belongs to JSON."""
    stream = sys.stderr if as_json else sys.stdout

    def line(text: str) -> None:
        print(text, file=stream, flush=True)

    return line
