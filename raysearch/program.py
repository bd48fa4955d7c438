"""The program `raysearch`: the verbs for people, and those that run a service."""

from __future__ import annotations

from collections.abc import Sequence

from raysearch.cli.app import group, run
from raysearch.service.verbs import serve, token

app = group(serve, token)


def main(args: Sequence[str] | None = None) -> None:
    """Run the program and exit, as `raysearch.cli.app.run` does."""
    run(app, args)
