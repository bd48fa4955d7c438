"""Verbs for people: one line when something is wrong, exit code 2 for bad input."""

from raysearch.cli.app import app, main

__all__ = ["app", "main"]
