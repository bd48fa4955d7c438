"""`python -m raysearch`."""

from raysearch.cli import main

main()
